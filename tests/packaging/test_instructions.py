"""A call takes no more instructions and allocations than it did: see instructions.py."""

from __future__ import annotations

import json

import instructions
import pytest
from c_library import CLibrary
from project import TESTS

# Another compiler, C library or Python moves a count by some percent; a second reading of the
# response or another parse of the URL moves it by more. Two runs on one machine differ by 1 %.
TOLERANCE = 0.10


@pytest.mark.memcheck
def test_nothing_takes_more_than_it_did(c_library: CLibrary) -> None:
    source = TESTS / "c" / "calls.c"
    program = c_library.compile(source, "-std=c99", "-D_POSIX_C_SOURCE=200809L")
    kept = json.loads(instructions.KEPT.read_text())
    seen = instructions.count(program)
    assert kept.keys() == seen.keys()
    told = [
        f"{what}: {seen[what]:,}, {seen[what] / kept[what]:.2f} times the {it:,} kept"
        for what, it in kept.items()
    ]
    print("\n".join(told))
    # Far fewer are to be kept, so that what was won is not lost again unseen.
    far = [it for it, what in zip(told, kept) if abs(seen[what] / kept[what] - 1) > TOLERANCE]
    assert not far, "\n".join([*far, "if that is meant: make instructions"])
