"""`python -m release [--lto off] [PLATFORM ...]`, which `make release` runs."""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import time

from release import c_library, debian, macos, tools, wheels
from release.compiler import Compiler, compiler_for
from release.errors import Problem
from release.platforms import Platform, chosen
from release.run import OUTPUT, WORK, Run
from release.source import ROOT, source


def main() -> int:
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("--lto", default="fat", help="off for a quick try")
    parser.add_argument("platforms", nargs="*", metavar="PLATFORM")
    arguments = parser.parse_args()
    try:
        if arguments.lto not in ("fat", "off"):
            raise Problem(f"LTO: must be fat or off, and is {arguments.lto!r}")
        build(Run(source(), lto=arguments.lto == "fat"), chosen(arguments.platforms))
    except Problem as problem:
        print(f"make release: {problem}", file=sys.stderr)
        return 1
    return 0


def build(run: Run, platforms: list[Platform]) -> None:
    begun = time.monotonic()
    compilers = {platform.name: compiler_for(platform) for platform in platforms}
    tools.require(platforms)
    print(run.described(), flush=True)
    # The files there belong to one run.
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    if any(platform.wheel for platform in platforms):
        with run.step("all", "sdist"):
            wheels.build_sdist(run)
    for platform in platforms:
        shutil.rmtree(WORK / platform.name, ignore_errors=True)
        _build_for(run, platform, compilers[platform.name])
    _describe(run, compilers)
    _list(time.monotonic() - begun)


def _build_for(run: Run, platform: Platform, compiler: Compiler) -> None:
    if platform.wheel:
        with run.step(platform.name, "wheel"):
            wheels.build_wheel(run, platform, compiler)
    if platform.c_archive:
        with run.step(platform.name, "C library"):
            c_library.build_c_library(run, platform, compiler)
        with run.step(platform.name, "C archive"):
            c_library.build_c_archive(run, platform, compiler)
    if platform.debian:
        with run.step(platform.name, "Debian packages"):
            debian.build_debian_packages(run, platform, compiler)
    if not platform.linker:
        with run.step(platform.name, "type check"):
            macos.check(run, platform, compiler)


def _describe(run: Run, compilers: dict[str, Compiler]) -> None:
    """Writes what all was built from, and the checksums."""
    built_by = [f"{name}: {compiler.version()}" for name, compiler in compilers.items()]
    (OUTPUT / "RELEASE.txt").write_text("\n".join([run.described(), *built_by, ""]))
    sums = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(OUTPUT.iterdir())
    ]
    (OUTPUT / "SHA256SUMS").write_text("".join(sums))


def _list(seconds: float) -> None:
    print(f"\n{seconds / 60:.0f} min; in {OUTPUT.relative_to(ROOT)}:")
    for file in sorted(OUTPUT.iterdir()):
        print(f"{file.stat().st_size / 2**20:8.2f} MiB  {file.name}")


sys.exit(main())
