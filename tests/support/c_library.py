"""The C library as `make install` puts it, and programs that are compiled against it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from project import ROOT, TESTS, make

from skypostal.sandbox import CUSTOMER_KEY

# For the programs of tests/c.
FLAGS = ("-std=c99", "-D_POSIX_C_SOURCE=200809L", "-Wstrict-prototypes")
# Runs a program, which fails for any memory that is lost or misused.
VALGRIND = [
    *["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full"],
    f"--suppressions={TESTS / 'c' / 'valgrind.supp'}",
    "--show-leak-kinds=definite,indirect,possible",
    "--errors-for-leak-kinds=definite,indirect,possible",
]


class CLibrary:
    """The library and its header as `make install` puts them, in a prefix of their own."""

    def __init__(self, prefix: Path, *, debug: bool = False) -> None:
        make("install", f"PREFIX={prefix}")
        self.prefix = prefix
        self.folder = prefix / "lib"
        if debug:
            # The build that `cargo test` links, which `make test` has made already.
            build = ["cargo", "test", "--no-run", "--test", "rust"]
            subprocess.run([*build, "--locked", "--features", "capi"], cwd=ROOT, check=True)
            for name in ["libskypostal.so", "libskypostal.a"]:
                shutil.copy(ROOT / "target" / "debug" / "deps" / name, self.folder)

    def compile(self, source: Path, *flags: str) -> Path:
        """Compiles and links a C or C++ program, any warning being an error."""
        compiler = "c++" if source.suffix == ".cpp" else "cc"
        program = self.folder / f"{source.stem}-{source.suffix[1:]}"
        command: list[str] = [compiler, "-Wall", "-Wextra", "-Werror", "-pedantic-errors", *flags]
        command += [str(source), "-o", str(program), f"-I{self.prefix / 'include'}"]
        command += [f"-L{self.folder}", f"-Wl,-rpath,{self.folder}", "-lskypostal", "-lpthread"]
        subprocess.run(command, check=True)
        return program


def example_of(header: Path) -> str:
    """The program at the top of a header, with the sandbox's customer in place of the example's."""
    text = header.read_text()
    lines = re.findall(r"^ \*(?:     (.*))?$", text[: text.index("*/")], re.MULTILINE)
    return "\n".join(lines).replace("the customer's key", CUSTOMER_KEY) + "\n"
