"""The files that `make release` has built, by platform."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

from project import ROOT

from release.platforms import PLATFORMS, Platform

FOLDER = ROOT / "build" / "release"


def c_archives() -> dict[str, Path]:
    """Returns the archive with the C library of each platform that was built, by its name."""
    return {
        name: path
        for name, platform in PLATFORMS.items()
        for path in FOLDER.glob(f"skypostal-*-{name}.*")
        if platform.c_archive
    }


def wheels() -> dict[str, Path]:
    """Returns the wheel of each platform that was built, by the platform's name."""
    return {
        name: path
        for name, platform in PLATFORMS.items()
        for path in FOLDER.glob("skypostal-*.whl")
        if platform.wheel and is_for(path, platform)
    }


def is_for(wheel: Path, platform: Platform) -> bool:
    tag = wheel.stem.split("-")[-1]
    if platform.is_windows:
        return tag == {"x86_64": "win_amd64", "i686": "win32"}[platform.processor]
    system = "musllinux" if "musl" in platform.target else "manylinux"
    return tag.startswith(system) and tag.endswith(platform.processor)


def files_in(artifact: Path) -> dict[str, bytes]:
    """Returns what is in a wheel or an archive, by names without the archive's own folder."""
    if artifact.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(artifact) as zipped:
            files = {name: zipped.read(name) for name in zipped.namelist()}
    else:
        files = {}
        with tarfile.open(artifact) as tar:
            for entry in tar.getmembers():
                content = tar.extractfile(entry) if entry.isfile() else None
                if content is not None:
                    files[entry.name] = content.read()
    if artifact.suffix == ".whl":
        return files
    return {name.partition("/")[2]: content for name, content in files.items()}


def unpack(archive: Path, folder: Path) -> Path:
    """Unpacks a C archive as its user does; the folder in it."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder)
    (unpacked,) = folder.iterdir()
    return unpacked
