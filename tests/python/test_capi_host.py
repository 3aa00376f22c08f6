"""The C library in its host: small stacks, forks, surroundings; and the header's own example."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, CLibrary

from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, USER_CODE, Sandbox

FLAGS = ("-std=c99", "-D_POSIX_C_SOURCE=200809L", "-Wstrict-prototypes")


@pytest.fixture(autouse=True)
def _credentials(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYPOSTAL_BASE_URL", sandbox.url)
    monkeypatch.setenv("SKYPOSTAL_USER_CODE", str(USER_CODE))
    monkeypatch.setenv("SKYPOSTAL_APP_KEY", APP_KEY)
    monkeypatch.setenv("SKYPOSTAL_CUSTOMER_BOX_ID", str(BOX_ID))
    monkeypatch.setenv("SKYPOSTAL_CUSTOMER_KEY", CUSTOMER_KEY)


def run(library: CLibrary, mode: str) -> None:
    program = library.compile(ROOT / "tests" / "c" / "host.c", *FLAGS)
    done = subprocess.run([program, mode], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "mode",
    ["constants", "small_stack", "surroundings", "faults"],
)
def test_the_host(c_library: CLibrary, mode: str) -> None:
    run(c_library, mode)


def test_forks_while_other_threads_call(c_library: CLibrary, sandbox: Sandbox) -> None:
    run(c_library, "fork_busy")
    used: dict[str, set[int]] = {"Parent": set(), "Child": set()}
    for request in sandbox.requests:
        used[json.loads(request.body)["customer_first_name"]].add(request.connection)
    assert len(used["Child"]) == 20
    assert not used["Child"] & used["Parent"]


def test_the_headers_example_runs(c_library: CLibrary, tmp_path: Path) -> None:
    header = (ROOT / "include" / "skypostal.h").read_text()
    lines = re.findall(r"^ \*     (.*)$", header[: header.index("*/")], re.MULTILINE)
    body = "\n".join(lines).replace("the customer's key", CUSTOMER_KEY)
    source = tmp_path / "header_example.c"
    source.write_text(
        f"#include <skypostal.h>\n#include <stdio.h>\n\nint main(void)\n{{\n{body}\nreturn 0;\n}}\n"
    )
    program = c_library.compile(source, "-std=c89", "-Wstrict-prototypes")
    done = subprocess.run([program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "updated: New Name\n")
