"""What `make release` has built, by platform."""

from __future__ import annotations

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
