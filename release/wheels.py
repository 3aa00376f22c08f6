"""The Python packages: a wheel for each platform, and the sdist."""

from __future__ import annotations

import sys

from release.compiler import Compiler
from release.platforms import Platform
from release.run import WORK, Run

MATURIN = (sys.executable, "-m", "maturin")


def build_sdist(run: Run) -> None:
    folder = WORK / "sdist"
    run.command(*MATURIN, "sdist", "--out", folder, SOURCE_DATE_EPOCH=str(run.source.time))
    run.keep(*folder.glob("*.tar.gz"))


def build_wheel(run: Run, platform: Platform, compiler: Compiler) -> None:
    folder = WORK / platform.name / "wheel"
    options = ["--release", "--locked", "--target", platform.target]
    options += ["--compatibility", platform.wheel, "--out", str(folder)]
    if platform.linker == "zig":
        options.append("--zig")
    run.command(*MATURIN, "build", *options, **run.variables(platform, compiler))
    run.keep(*folder.glob("*.whl"))
