"""The C library in its host: small stacks, forks, surroundings; and the header's own example."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from c_library import FLAGS, CLibrary, example_of
from fault_server import FaultServer, close, read
from project import ROOT, TESTS

from skypostal.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("for_programs")


def run(library: CLibrary, name: str, *arguments: str) -> None:
    program = library.compile(TESTS / "c" / f"{name}.c", *FLAGS)
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("mode", ["constants", "small_stack", "surroundings", "faults"])
def test_the_host(c_library: CLibrary, mode: str) -> None:
    run(c_library, "host", mode)


def test_no_connection_takes_the_place_of_a_closed_stream(c_library: CLibrary) -> None:
    run(c_library, "closed_streams")


def test_forks_while_other_threads_call(c_library: CLibrary, sandbox: Sandbox) -> None:
    run(c_library, "forks", "busy")
    used: dict[str, set[int]] = {"Parent": set(), "Child": set()}
    for request in sandbox.requests:
        used[json.loads(request.body)["customer_first_name"]].add(request.connection)
    assert len(used["Child"]) == 20
    assert not used["Child"] & used["Parent"]


@pytest.mark.parametrize("mode", ["fork_namespace", "fork_by_handler", "clone_namespace"])
def test_a_child_with_its_parents_number(mode: str, c_library: CLibrary, sandbox: Sandbox) -> None:
    run(c_library, "forks", mode)
    names = [json.loads(request.body)["customer_first_name"] for request in sandbox.requests]
    assert names == ["Parent", "Parent", "Child", "Child", "Parent", "Parent"]
    # A call and a run have a connection each, in either process.
    assert [request.connection for request in sandbox.requests] == [1, 2, 3, 4, 1, 2]


@pytest.mark.parametrize("suffix,standard", [("c", "c89"), ("cpp", "c++98")])
def test_the_headers_example_runs(
    suffix: str,
    standard: str,
    c_library: CLibrary,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    source = tmp_path / f"header_example.{suffix}"
    source.write_text(example_of(ROOT / "include" / "skypostal.h"))
    program = c_library.compile(source, f"-std={standard}")

    def run() -> tuple[int, str]:
        done = subprocess.run([program], capture_output=True, text=True)
        return done.returncode, done.stdout

    assert run() == (0, "updated: New Name\n")
    sandbox.answer_next('[{"_verify": true, "customer_first_name": null}]')
    assert run() == (0, "updated: (no first name)\n")
    monkeypatch.setenv("SKYPOSTAL_APP_KEY", "not the key")
    status, text = run()
    assert status == 8 and text.startswith("not updated: the service refused the update")
    monkeypatch.setenv("SKYPOSTAL_BASE_URL", "nonsense")
    status, text = run()
    assert status == 2 and text.startswith("not updated: base_url: ")
    with FaultServer([[read, close]] * 3) as server:
        monkeypatch.setenv("SKYPOSTAL_BASE_URL", server.url)
        status, text = run()
    assert status == 5 and text.startswith("perhaps updated, run this again: ")
