"""Which cargo and rustc build for a target.

A toolchain that has the target's standard library builds as usual. One that has only the library's
source builds it too, by cargo's unstable build-std.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from release.errors import Problem
from release.platforms import Platform

# The compiler of rustc-web, where a rustup comes first in PATH.
DEBIAN = ("/usr/bin/cargo", "/usr/bin/rustc")


@dataclass(frozen=True)
class Compiler:
    """A cargo and its rustc, and whether they build the standard library of the target."""

    cargo: str
    rustc: str
    builds_std: bool

    def variables(self) -> dict[str, str]:
        """Returns what cargo, cargo-zigbuild and maturin read from the environment."""
        variables = {"CARGO": self.cargo, "RUSTC": self.rustc}
        if self.builds_std:
            # Unstable options in variables reach a cargo that another program starts.
            variables["RUSTC_BOOTSTRAP"] = "1"
            variables["CARGO_UNSTABLE_BUILD_STD"] = "std,panic_unwind"
            # maturin and cargo-zigbuild ask `rustc` by its name.
            variables["PATH"] = f"{Path(self.rustc).parent}{os.pathsep}{os.environ['PATH']}"
        return variables

    def version(self) -> str:
        return _printed(self.rustc, "--version")

    def source_folders(self) -> list[str]:
        """Returns where the source of the standard library is, by its link and by its real name."""
        folder = Path(_printed(self.rustc, "--print", "sysroot"), "lib/rustlib/src/rust")
        return sorted({str(folder), str(folder.resolve())})


def compiler_for(platform: Platform) -> Compiler:
    """Returns the compiler in PATH, or one that builds the target's standard library."""
    in_path = os.environ.get("CARGO", "cargo"), os.environ.get("RUSTC", "rustc")
    if _has_std(in_path[1], platform.target):
        return Compiler(*in_path, builds_std=False)
    for cargo, rustc in [in_path, DEBIAN]:
        if shutil.which(cargo) and _has_source_of_std(rustc):
            return Compiler(cargo, rustc, builds_std=True)
    raise Problem(
        f"{platform.name} needs Rust's standard library for {platform.target}. Run: rustup target "
        f"add {platform.target}; or on Debian 12: apt-get install rustc-web cargo-web rust-web-src"
    )


def _has_std(rustc: str, target: str) -> bool:
    folder = _printed(rustc, "--print", "target-libdir", "--target", target)
    return bool(folder) and any(Path(folder).glob("libstd-*"))


def _has_source_of_std(rustc: str) -> bool:
    sysroot = _printed(rustc, "--print", "sysroot")
    return bool(sysroot) and Path(sysroot, "lib/rustlib/src/rust/library/Cargo.lock").exists()


def _printed(*command: str) -> str:
    """Returns what a command prints, or nothing where it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
