"""Fixtures that the tests share: short names for those of our own plugin, and the C library."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from c_library import CLibrary
from faces import Face, driver, python
from project import ROOT, TESTS, environment_of

from skypostal import Client
from skypostal.sandbox import Sandbox

if TYPE_CHECKING:
    from bulk_command import Bulk

# A shell ignores it for what runs in its background, and all that this starts would too.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--python-only", action="store_true", help="without what must be compiled")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--python-only"):
        compiled = [item for item in items if needs_compiler(item)]
        config.hook.pytest_deselected(items=compiled)
        items[:] = [item for item in items if item not in compiled]


def needs_compiler(item: pytest.Item) -> bool:
    return "c_library" in getattr(item, "fixturenames", ()) or "compiled" in item.keywords


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
def silent(sandbox: Sandbox) -> str:
    """The address of a server that never responds to its first request."""
    sandbox.delay(60)
    return sandbox.url


@pytest.fixture
def bulk(sandbox: Sandbox, tmp_path: Path) -> Bulk:
    """The command `skypostal bulk` for a sandbox that has the boxes 1 to 20."""
    # Imported here, because the tests that other Pythons run have no package that it needs.
    from bulk_command import Bulk, add_customers

    add_customers(sandbox, range(1, 21))
    return Bulk(tmp_path, sandbox.url)


@pytest.fixture
def environment(skypostal_environment: None) -> None:
    """The sandbox in the variables that Python and C read."""


@pytest.fixture
def for_programs(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in the environment of the test, which all that it starts inherits."""
    for name, value in environment_of(sandbox).items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def c_library(tmp_path_factory: pytest.TempPathFactory) -> CLibrary:
    return CLibrary(tmp_path_factory.mktemp("c"))


@pytest.fixture(scope="session")
def debug_c_library(tmp_path_factory: pytest.TempPathFactory) -> CLibrary:
    return CLibrary(tmp_path_factory.mktemp("debug-c"), debug=True)


@pytest.fixture(scope="session")
def c_face(c_library: CLibrary) -> Face:
    return driver(c_library.compile(TESTS / "c" / "fault_driver.c", "-std=c89"))


@pytest.fixture(scope="session")
def rust_face(tmp_path_factory: pytest.TempPathFactory) -> Face:
    # With the C face, as the library is, so that both are compiled once.
    build = ["cargo", "build", "--locked", "--release", "--features", "capi"]
    subprocess.run([*build, "--example", "fault_driver"], cwd=ROOT, check=True)
    program = tmp_path_factory.mktemp("rust") / "fault_driver"
    shutil.copy(ROOT / "target" / "release" / "examples" / "fault_driver", program)
    return driver(program)


@pytest.fixture
def face(request: pytest.FixtureRequest) -> Face:
    """The face that the test's parameter names; its program is built once, and only if needed."""
    if request.param == "python":
        return python
    compiled: Face = request.getfixturevalue(f"{request.param}_face")
    return compiled
