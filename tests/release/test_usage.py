"""What `make release` says to a wrong use, before it builds anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT

from release import tools
from release.errors import Problem
from release.platforms import PLATFORMS


def said(*arguments: str, **changes: str) -> str:
    """The one line that a release which cannot begin prints."""
    done = subprocess.run(
        [sys.executable, "-m", "release", *arguments],
        cwd=ROOT,
        env={**os.environ, **changes},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_an_unknown_platform() -> None:
    assert said("linux-arm") == (
        "make release: PLATFORMS: there is no 'linux-arm'; there are linux-x86_64, linux-aarch64, "
        "linux-musl-x86_64, windows-x86_64, windows-x86, macos-aarch64"
    )


def test_another_optimisation() -> None:
    assert said("--lto", "thin") == "make release: LTO: must be fat or off, and is 'thin'"


def test_a_compiler_without_the_standard_library_of_the_target(tmp_path: Path) -> None:
    rustc = tmp_path / "rustc"
    rustc.write_text(f"#!/bin/sh\necho {tmp_path}\n")
    rustc.chmod(0o755)
    code = "import release.compiler as c, release.platforms as p\n"
    code += f"c.DEBIAN = ('cargo', {str(rustc)!r})\n"
    code += "try: c.compiler_for(p.PLATFORMS['linux-aarch64'])\n"
    code += "except Exception as e: print(e)\n"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "RUSTC": str(rustc)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (
        "linux-aarch64 needs Rust's standard library for aarch64-unknown-linux-gnu. Run: rustup "
        "target add aarch64-unknown-linux-gnu; or on Debian 12: apt-get install rustc-web "
        "cargo-web rust-web-src\n"
    )


def test_programs_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Problem) as raised:
        tools.require([PLATFORMS["linux-aarch64"], PLATFORMS["windows-x86"]])
    assert str(raised.value) == (
        "aarch64-linux-gnu-objcopy, aarch64-linux-gnu-strip, dpkg-deb, i686-w64-mingw32-gcc, "
        "i686-w64-mingw32-objcopy, i686-w64-mingw32-strip, llvm-dlltool, make, readelf: missing. "
        "On Debian: apt-get install binutils binutils-aarch64-linux-gnu dpkg gcc-mingw-w64 llvm "
        "make"
    )


def test_the_list_for_debian_has_every_package_that_a_release_asks_for() -> None:
    listed = (ROOT / "release" / "debian-packages.txt").read_text()
    packages = {line.partition("#")[0].strip() for line in listed.splitlines()}
    # What make test needs brings the rest.
    brought = {"binutils", "make", "dpkg"}
    assert {package for _, package in tools.PACKAGES} <= packages | brought
