"""A Chromium without a window, which opens the site from its folder."""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service


class Browser:
    """Looks at one page at a time. Nothing is downloaded: browser and driver are Debian's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        options = webdriver.ChromeOptions()
        options.binary_location = _installed("chromium")
        # CI runs as root, where Chromium has no sandbox of its own.
        for argument in ["--headless=new", "--no-sandbox", "--hide-scrollbars"]:
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        # Chromium leaves a folder behind each time that it ends. The name is short, for a socket.
        self._temporary = tempfile.TemporaryDirectory(prefix="site-")
        service = Service(
            _installed("chromedriver", package="chromium-driver"),
            env={**os.environ, "TMPDIR": self._temporary.name},
        )
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.implicitly_wait(5)

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.driver.quit()
        self._temporary.cleanup()

    def resize(self, width: int, height: int = 900) -> None:
        """Makes the screen that wide, in CSS pixels; a narrow one is a telephone's."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1}
        self._command("Emulation.setDeviceMetricsOverride", **metrics, mobile=width < 600)

    def prefer(self, scheme: str) -> None:
        """Sets what the operating system asks for, light or dark."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._command("Emulation.setEmulatedMedia", features=[feature])

    def open(self, page: str) -> None:
        self.driver.get((self._folder / page).as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """Returns what a JavaScript function body returns."""
        return self.driver.execute_script(script, *arguments)

    def complaints(self) -> list[str]:
        """Returns what the console has got since the last time."""
        return [
            entry["message"]
            for entry in self.driver.execute("getLog", {"type": "browser"})["value"]
        ]

    def screenshot(self, file: Path) -> None:
        """Writes what the whole page looks like, not only what the screen shows."""
        taken = self._command("Page.captureScreenshot", captureBeyondViewport=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(taken["data"]))

    def _command(self, name: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, parameters)


def _installed(program: str, package: str = "") -> str:
    path = shutil.which(program)
    if path is None:
        pytest.fail(f"a tool is missing: apt-get install {package or program}")
    return path
