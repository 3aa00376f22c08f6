"""The picture of the modules in ARCHITECTURE.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from project import ROOT

SRC = ROOT / "src"
LIB = (SRC / "lib.rs").read_text()
# For the fuzzers alone, which are no part of the library.
MODULES = sorted(set(re.findall(r"^(?:pub )?mod (\w+);$", LIB, re.MULTILINE)) - {"fuzzing"})
# The module of each name that lib.rs gives a shorter path.
EXPORTED = {
    name: module
    for module, names in re.findall(r"^pub use (\w+)::\{?([^;}]+)\}?;$", LIB, re.MULTILINE)
    for name in re.findall(r"\w+", names)
}


def rows() -> list[list[str]]:
    """The modules of each row of the picture, from the top."""
    (picture,) = re.findall(
        r"^```text title=\"modules\"\n(.*?)^```",
        (ROOT / "ARCHITECTURE.md").read_text(),
        re.M | re.S,
    )
    return [re.findall(r"[a-z_]+", line.partition("|")[2]) for line in picture.splitlines()]


def uses(module: str) -> set[str]:
    """The modules that the code of one names; its tests and its comments may name others."""
    files: list[Path] = [SRC / f"{module}.rs", *(SRC / module).rglob("*.rs")]
    code = "\n".join(path.read_text() for path in files if path.exists() and path.stem != "tests")
    code = re.sub(r"//.*", "", code)
    named = set(re.findall(r"\bcrate::(\w+)", code))
    for group in re.findall(r"\bcrate::\{(.*?)\};", code, re.DOTALL):
        named |= set(re.findall(r"\w+", group))
    return {EXPORTED.get(name, name) for name in named} & set(MODULES) - {module}


def test_the_picture_has_each_module_once() -> None:
    assert sorted(name for row in rows() for name in row) == MODULES
    assert len(rows()) > 4


@pytest.mark.parametrize("module", MODULES)
def test_a_module_uses_those_of_its_row_and_below(module: str) -> None:
    (at,) = [at for at, row in enumerate(rows()) if module in row]
    below = {name for row in rows()[at:] for name in row}
    assert uses(module) - below == set()


def test_the_rows_are_in_use() -> None:
    """A module that nothing uses, or a scan that sees nothing, would pass the other tests."""
    used = {name for module in MODULES for name in uses(module)}
    assert set(MODULES) - used <= {"capi", "python"}
