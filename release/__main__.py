"""`python -m release [--lto off] [PLATFORM ...]`, which `make release` runs."""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys

from release import c_library, wheels
from release.compiler import compiler_for
from release.errors import Problem
from release.platforms import Platform, chosen
from release.run import OUTPUT, Run
from release.source import source


def main() -> int:
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("--lto", choices=["fat", "off"], default="fat")
    parser.add_argument("platforms", nargs="*", metavar="PLATFORM")
    arguments = parser.parse_args()
    try:
        build(Run(source(), lto=arguments.lto != "off"), chosen(arguments.platforms))
    except Problem as problem:
        print(f"make release: {problem}", file=sys.stderr)
        return 1
    return 0


def build(run: Run, platforms: list[Platform]) -> None:
    compilers = {platform.name: compiler_for(platform) for platform in platforms}
    print(run.source.described(), flush=True)
    # What stands there belongs to one run.
    shutil.rmtree(OUTPUT, ignore_errors=True)
    with run.step("all", "sdist"):
        wheels.build_sdist(run)
    for platform in platforms:
        compiler = compilers[platform.name]
        if platform.wheel:
            with run.step(platform.name, "wheel"):
                wheels.build_wheel(run, platform, compiler)
        if platform.c_archive:
            with run.step(platform.name, "C library"):
                c_library.build_c_library(run, platform, compiler)
            with run.step(platform.name, "C archive"):
                c_library.build_c_archive(run, platform)
    artifacts = sorted(OUTPUT.iterdir())
    sums = [(hashlib.sha256(file.read_bytes()).hexdigest(), file.name) for file in artifacts]
    (OUTPUT / "SHA256SUMS").write_text("".join(f"{sha}  {name}\n" for sha, name in sums))
    for file in artifacts:
        print(f"{file.stat().st_size / 2**20:6.1f} MiB  {file.relative_to(OUTPUT.parents[1])}")


sys.exit(main())
