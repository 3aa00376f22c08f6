"""What the tests share: short names for our own pytest fixtures, and the C library as installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from skypostal import Client
from skypostal.sandbox import CUSTOMER_KEY, Sandbox

ROOT = Path(__file__).resolve().parents[2]

# Runs a program, which fails for any memory that is lost or misused.
VALGRIND = [
    *["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full"],
    f"--suppressions={ROOT / 'tests' / 'c' / 'valgrind.supp'}",
    "--show-leak-kinds=definite,indirect,possible",
    "--errors-for-leak-kinds=definite,indirect,possible",
]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no credentials of the machine reach a test."""
    for name in list(os.environ):
        if name.startswith(("SKYPOSTAL_", "REQUESTS_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def sandbox(skypostal_sandbox: Sandbox) -> Sandbox:
    return skypostal_sandbox


@pytest.fixture
def client(skypostal_client: Client) -> Client:
    return skypostal_client


@pytest.fixture
def environment(skypostal_environment: None) -> None:
    """The sandbox in the variables that Python and C read."""


class CLibrary:
    """The library and its header, in a folder of their own."""

    def __init__(self, folder: Path, *, debug: bool = False) -> None:
        self.folder = folder
        # Built here, since the Python module's build leaves a library of the same name. The debug
        # build is the one that `cargo test` links, which `make test` has made already.
        build = "test --no-run --test client" if debug else "build --release"
        command = ["cargo", *build.split(), "--locked", "--features", "capi"]
        subprocess.run(command, cwd=ROOT, check=True)
        for name in ["libskypostal.so", "libskypostal.a"]:
            shutil.copy(ROOT / "target" / ("debug/deps" if debug else "release") / name, folder)
        (folder / "libskypostal.so.0").symlink_to("libskypostal.so")

    def compile(self, source: Path, *flags: str) -> Path:
        """Compiles and links a C or C++ program, any warning being an error."""
        compiler = "c++" if source.suffix == ".cpp" else "cc"
        program = self.folder / f"{source.stem}-{source.suffix[1:]}"
        command: list[str] = [compiler, "-Wall", "-Wextra", "-Werror", "-pedantic-errors", *flags]
        command += [str(source), "-o", str(program), f"-I{ROOT / 'include'}"]
        command += [f"-L{self.folder}", f"-Wl,-rpath,{self.folder}", "-lskypostal", "-lpthread"]
        subprocess.run(command, check=True)
        return program


@pytest.fixture(scope="session")
def c_library(tmp_path_factory: pytest.TempPathFactory) -> CLibrary:
    return CLibrary(tmp_path_factory.mktemp("c"))


@pytest.fixture(scope="session")
def debug_c_library(tmp_path_factory: pytest.TempPathFactory) -> CLibrary:
    return CLibrary(tmp_path_factory.mktemp("debug-c"), debug=True)


def example_of(header: Path) -> str:
    """The program at the top of a header, with the sandbox's customer in place of the example's."""
    text = header.read_text()
    lines = re.findall(r"^ \*(?:     (.*))?$", text[: text.index("*/")], re.MULTILINE)
    return "\n".join(lines).replace("the customer's key", CUSTOMER_KEY) + "\n"
