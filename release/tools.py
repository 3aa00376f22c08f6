"""The programs that a release needs beside a compiler for Rust."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

from release.errors import Problem
from release.platforms import Platform

# The Debian package of a program, where it is not the program's name.
PACKAGES = [
    (r"aarch64-linux-gnu-(objcopy|strip)", "binutils-aarch64-linux-gnu"),
    (r"x86_64-linux-gnu-(objcopy|strip)", "binutils"),
    (r"(x86_64|i686)-w64-mingw32-\w+", "gcc-mingw-w64"),
    (r"llvm-\w+", "llvm"),
    (r"dpkg-deb", "dpkg"),
]


def require(platforms: list[Platform]) -> None:
    """Raises a problem that names every program that is missing and what brings it."""
    missing = {name for platform in platforms for name in _needed(platform)}
    missing = {name for name in missing if shutil.which(name) is None}
    if missing:
        names = ", ".join(sorted(missing))
        packages = " ".join(sorted({_package(name) for name in missing}))
        raise Problem(f"{names}: missing. On Debian: apt-get install {packages}")


def _needed(platform: Platform) -> Iterator[str]:
    if platform.c_archive:
        yield from ["make", f"{platform.binutils}objcopy", f"{platform.binutils}strip"]
    if platform.linker == "mingw":
        yield from [f"{platform.binutils}gcc", "llvm-dlltool"]
    if platform.debian:
        yield from ["dpkg-deb", "readelf"]


def _package(program: str) -> str:
    for pattern, package in PACKAGES:
        if re.fullmatch(pattern, program):
            return package
    return {"readelf": "binutils"}.get(program, program)
