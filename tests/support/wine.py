"""Windows programs under Wine, in a prefix that is the test run's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path, PureWindowsPath
from types import TracebackType

import pytest
from project import TESTS

# The compiler for each processor, and the folder of a 64-bit prefix where its system DLLs are.
COMPILERS = {"x86_64": "x86_64-w64-mingw32-gcc", "x86": "i686-w64-mingw32-gcc"}
PRIVATE = {
    "WINEDEBUG": "-all",
    # Neither .NET nor a browser is installed into the prefix.
    "WINEDLLOVERRIDES": "mscoree,mshtml=",
    "DISPLAY": "",
}


class Wine:
    """A Wine with its own prefix. Leaving the context ends each of its processes.

    `launcher` is what stands before `wine`, such as a chroot that has another one.
    """

    def __init__(self, prefix: Path, *, processor: str = "x86_64", launcher: tuple[str, ...] = ()):
        self.prefix = prefix
        self.processor = processor
        self._launcher = launcher

    def __enter__(self) -> Wine:
        if not self._launcher and shutil.which("wine") is None:
            pytest.fail("a tool is missing: apt-get install wine")
        self.prefix.mkdir(parents=True)
        self._prepare("wineserver", "--persistent")
        self._prepare("wine", "wineboot", "--init")
        self._prepare("wine", "winecfg", "-v", "win10")
        self._add_random_numbers()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._prepare("wineserver", "--kill", check=False)
        self._prepare("wineserver", "--wait", check=False)
        # Half a gigabyte, which pytest would keep for three runs.
        shutil.rmtree(self.prefix, ignore_errors=True)

    def run(
        self,
        *command: str | Path,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program and returns how it ended. A `Path` is given as Windows names it."""
        return subprocess.run(
            self._command(*command, cwd=cwd),
            env=self._environment(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
        )

    def start(self, *command: str | Path, env: dict[str, str], cwd: Path) -> subprocess.Popen[str]:
        """Starts a program. A SIGINT reaches it as Ctrl-C."""
        return subprocess.Popen(
            self._command(*command, cwd=cwd),
            env=self._environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )

    def path(self, path: Path) -> str:
        """Returns the name of a file of this machine in Windows."""
        return "Z:" + str(PureWindowsPath(path.resolve()))

    @property
    def system_folder(self) -> Path:
        """Where the prefix has the system's DLLs for programs of its processor."""
        windows = self.prefix / "drive_c" / "windows"
        both = (windows / "syswow64").exists()
        return windows / ("syswow64" if both and self.processor == "x86" else "system32")

    def _command(self, *command: str | Path, cwd: Path | None = None) -> list[str]:
        words = [self.path(word) if isinstance(word, Path) else word for word in command]
        return [*self._launcher, "env", "-C", str(cwd or self.prefix.parent), "wine", *words]

    def _environment(self, given: dict[str, str] | None = None) -> dict[str, str]:
        return {
            **(os.environ if given is None else given),
            **PRIVATE,
            "WINEPREFIX": str(self.prefix),
        }

    def _prepare(self, *command: str, check: bool = True) -> None:
        """Runs a program of Wine. What it starts outlives it, and must not hold a pipe of ours."""
        subprocess.run(
            [*self._launcher, *command],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=check,
            timeout=300,
        )

    def _add_random_numbers(self) -> None:
        library = self.system_folder / "bcryptprimitives.dll"
        if not library.exists():
            command = [COMPILERS[self.processor], "-shared"]
            command += [str(TESTS / "support" / "process_prng.c"), "-o", str(library)]
            subprocess.run([*command, "-ladvapi32"], check=True)
