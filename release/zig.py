"""The C compiler and linker for Linux, which links for any glibc, and for musl.

maturin and cargo-zigbuild would each set up one of their own. With another linker cargo compiles
all crates again, in every run.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from release.errors import Problem
from release.platforms import Platform

# The names that Rust's standard library takes from libgcc_s.so.1, by the version of each.
UNWINDER = {
    "GCC_3.0": ["DeleteException", "GetDataRelBase", "GetGR", "GetIP", "GetLanguageSpecificData",
                "GetRegionStart", "GetTextRelBase", "RaiseException", "Resume", "SetGR", "SetIP"],
    "GCC_3.3": ["Backtrace", "FindEnclosingFunction", "GetCFA"],
    "GCC_4.2.0": ["GetIPInfo"],
}  # fmt: skip


def variables(platform: Platform, folder: Path) -> dict[str, str]:
    """Returns what cargo and the cc crate read; the compiler itself is put into the folder."""
    system = f"{platform.processor}-linux-" + (
        f"gnu.{platform.glibc}" if platform.glibc else "musl"
    )
    tools = Path(sys.executable).parent
    # `cargo-zigbuild zig` leaves out what rustc gives a linker and zig does not know.
    command = [str(tools / "cargo-zigbuild"), "zig", "cc", "--", "-fno-sanitize=all"]
    compiler = folder / "zig-cc"
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["#!/bin/sh", f"export CARGO_ZIGBUILD_PYTHON_PATH={shlex.quote(sys.executable)}"]
    if platform.glibc:
        lines.append(_links_libgcc_s(folder, system))
    lines.append(f'exec {shlex.join([*command, "-target", system])} "$@"')
    compiler.write_text("\n".join([*lines, ""]))
    compiler.chmod(0o755)
    name = platform.target.replace("-", "_")
    return {f"CC_{name}": str(compiler), f"CARGO_TARGET_{name.upper()}_LINKER": str(compiler)}


def _links_libgcc_s(folder: Path, system: str) -> str:
    """Returns the line of a shell that puts a stub of libgcc_s.so.1 in its place.

    zig links an unwinder of its own in place of libgcc_s. glibc ends a thread by the unwinder of
    libgcc_s, through the frames of a library that the thread is in: CPython up to 3.13 does it to
    threads that are left at its end. Two unwinders in one stack crash.
    """
    names = [f"_Unwind_{name}" for version in UNWINDER.values() for name in version]
    source, script, stub = folder / "gcc_s.c", folder / "gcc_s.map", folder / "libgcc_s.so"
    source.write_text("".join(f"void {name}(void) {{}}\n" for name in names))
    script.write_text(
        "".join(
            f"{version} {{ {' '.join(f'_Unwind_{name};' for name in found)} }};\n"
            for version, found in UNWINDER.items()
        )
    )
    flags = ["-shared", "-nostdlib", "-Wl,-soname,libgcc_s.so.1", f"-Wl,--version-script={script}"]
    command = [sys.executable, "-m", "ziglang", "cc", "-target", system, *flags]
    done = subprocess.run([*command, source, "-o", stub], capture_output=True, text=True)
    if done.returncode != 0:
        raise Problem(f"zig cannot make a stub of libgcc_s: {done.stderr.strip()}")
    replaced = f'-lgcc_s) set -- "$@" {shlex.quote(str(stub))}'
    return f'for word; do shift; case $word in {replaced} ;; *) set -- "$@" "$word" ;; esac; done'
