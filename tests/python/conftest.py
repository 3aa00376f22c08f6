"""What the tests share: short names for our own pytest fixtures, and the C library as installed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from skypostal import Client
from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, USER_CODE, Sandbox

if TYPE_CHECKING:
    from bulk_command import Bulk

ROOT = Path(__file__).resolve().parents[2]

# A shell ignores it for what runs in its background, and all that this starts would too.
signal.signal(signal.SIGINT, signal.default_int_handler)

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
def bulk(sandbox: Sandbox, tmp_path: Path) -> Bulk:
    """Of a sandbox that knows the boxes 1 to 20."""
    from bulk_command import Bulk, add_customers

    add_customers(sandbox, range(1, 21))
    return Bulk(tmp_path, sandbox.url)


@pytest.fixture
def environment(skypostal_environment: None) -> None:
    """The sandbox in the variables that Python and C read."""


def make(*arguments: str) -> None:
    """Runs make as a user does, whatever the make that runs the tests was told."""
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    subprocess.run(["make", *arguments], cwd=ROOT, env=environment, check=True)


def environment_of(sandbox: Sandbox) -> dict[str, str]:
    """What a program that a test starts finds in its environment."""
    return {
        **os.environ,
        "SKYPOSTAL_BASE_URL": sandbox.url,
        "SKYPOSTAL_USER_CODE": str(USER_CODE),
        "SKYPOSTAL_APP_KEY": APP_KEY,
        "SKYPOSTAL_CUSTOMER_BOX_ID": str(BOX_ID),
        "SKYPOSTAL_CUSTOMER_KEY": CUSTOMER_KEY,
    }


@pytest.fixture
def for_programs(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in the environment of the test, which all that it starts inherits."""
    for name, value in environment_of(sandbox).items():
        monkeypatch.setenv(name, value)


class CLibrary:
    """The library and its header as `make install` puts them, in a prefix of their own."""

    def __init__(self, prefix: Path, *, debug: bool = False) -> None:
        make("install", f"PREFIX={prefix}")
        self.prefix = prefix
        self.folder = prefix / "lib"
        if debug:
            # The build that `cargo test` links, which `make test` has made already.
            build = ["cargo", "test", "--no-run", "--test", "client"]
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
