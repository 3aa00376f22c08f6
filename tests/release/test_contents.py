"""What is in build/release, and that its checksums are right."""

from __future__ import annotations

import hashlib

import pytest
from released import FOLDER, c_archives, wheels

pytestmark = pytest.mark.release


def test_something_was_built() -> None:
    assert c_archives() or wheels(), "`make release` builds what is tested here"


def test_the_checksums() -> None:
    listed = dict(
        reversed(line.split("  ")) for line in (FOLDER / "SHA256SUMS").read_text().splitlines()
    )
    assert listed == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in FOLDER.iterdir()
        if path.name != "SHA256SUMS"
    }
