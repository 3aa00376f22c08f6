"""The type check for macOS, whose linker and libraries run on no other system."""

from __future__ import annotations

from release.compiler import Compiler
from release.platforms import Platform
from release.run import WORK, Run

# A C compiler and an archiver that only make the files that they are asked for: what depends on
# C code is checked, and the C code itself is not.
MAKES_EMPTY_FILES = """#!/bin/sh
for argument; do
    case $previous:$argument in
        -o:*) : > "$argument" ;;
        *:*.a) : > "$argument" ;;
    esac
    previous=$argument
done
"""


def check(run: Run, platform: Platform, compiler: Compiler) -> None:
    tool = WORK / platform.name / "makes-empty-files"
    tool.parent.mkdir(parents=True, exist_ok=True)
    tool.write_text(MAKES_EMPTY_FILES)
    tool.chmod(0o755)
    name = platform.target.replace("-", "_")
    variables = {
        **run.variables(platform, compiler),
        f"CC_{name}": str(tool),
        f"AR_{name}": str(tool),
        # Else Apple's own tools are asked where it is.
        "SDKROOT": "/",
    }
    options = ["--locked", "--target", platform.target, "--features", "capi,python"]
    run.command(compiler.cargo, "check", *options, **variables)
