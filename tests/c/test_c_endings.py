"""Calls in C that a host makes when it ends, or when one of its threads does."""

from __future__ import annotations

import subprocess

import pytest
from c_library import FLAGS, CLibrary
from project import TESTS

pytestmark = pytest.mark.usefixtures("for_programs")


@pytest.mark.parametrize(
    "mode",
    [
        *["after", "first", "bulk_last", "destructor", "key", "no_thread", "silent"],
        *["on_a_thread", "in_flight"],
    ],
)
def test_an_ending(mode: str, c_library: CLibrary) -> None:
    program = c_library.compile(TESTS / "c" / "endings.c", *FLAGS)
    done = subprocess.run([program, mode], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    # The program's own last line, and no text of a panic.
    assert done.stderr.endswith(" checks, 0 failures\n") and done.stderr.count("\n") == 1
