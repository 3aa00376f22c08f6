"""The archive with the C library, as `make install` puts it."""

from __future__ import annotations

import shutil
from pathlib import Path

from release import windows
from release.archive import pack
from release.compiler import Compiler
from release.platforms import Platform
from release.run import WORK, Run
from release.source import ROOT


def build_c_library(run: Run, platform: Platform, compiler: Compiler) -> None:
    """Builds the library into the platform's folder, from where `install` takes it."""
    if platform.is_windows:
        windows.build_c_library(run, platform, compiler)
        return
    run.command("make", "c-library", *_settings(platform), **run.variables(platform, compiler))


def build_c_archive(run: Run, platform: Platform) -> None:
    name = f"skypostal-{run.source.version}-{platform.name}"
    stage = WORK / platform.name / "archive"
    shutil.rmtree(stage, ignore_errors=True)
    folder = stage / name
    if platform.is_windows:
        windows.install(run, platform, folder)
    else:
        install(run, platform, stage, PREFIX=f"/{name}", DOCDIR=f"/{name}")
    shutil.copytree(ROOT / "examples", folder / "examples")
    shutil.copy(ROOT / "docs" / "c.md", folder / "GUIDE.txt")
    run.keep(pack(folder, run.source.time, as_zip=platform.is_windows))


def install(run: Run, platform: Platform, stage: Path, **places: str) -> None:
    """Installs what was built below a folder."""
    settings = [f"{name}={value}" for name, value in places.items()]
    run.command("make", "install", *_settings(platform), f"DESTDIR={stage}", *settings)


def _settings(platform: Platform) -> list[str]:
    """Returns the variables of the Makefile that name another platform."""
    target = platform.target
    if platform.linker == "zig":
        build = f"cargo-zigbuild rustc --target {target}.{platform.glibc}"
    else:
        build = f"$(CARGO) rustc --target {target}"
    return [
        f"C_LIBRARY={WORK / platform.name / 'lib'}",
        f"CARGO_RUSTC={build}",
        f"BUILT=target/{target}/release",
        f"OBJCOPY={platform.binutils}objcopy",
        f"STRIP={platform.binutils}strip",
    ]
