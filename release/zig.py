"""The C compiler and linker for Linux, which links for any glibc, and for musl.

maturin and cargo-zigbuild would each set up one of their own. With another linker cargo compiles
all crates again, in every run.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from release.platforms import Platform


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
    compiler.write_text(
        "#!/bin/sh\n"
        f"export CARGO_ZIGBUILD_PYTHON_PATH={shlex.quote(sys.executable)}\n"
        f'exec {shlex.join([*command, "-target", system])} "$@"\n'
    )
    compiler.chmod(0o755)
    name = platform.target.replace("-", "_")
    return {f"CC_{name}": str(compiler), f"CARGO_TARGET_{name.upper()}_LINKER": str(compiler)}
