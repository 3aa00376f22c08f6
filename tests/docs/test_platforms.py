"""The page about platforms, and the README's table, agree with what `make release` builds."""

from __future__ import annotations

import re

from linux_pythons import PYTHONS
from project import ROOT

from release.platforms import PLATFORMS

PAGE = (ROOT / "docs" / "platforms.md").read_text()
README = (ROOT / "README.md").read_text()
WHEELS = {
    "linux-x86_64": "manylinux_2_17_x86_64",
    "linux-aarch64": "manylinux_2_17_aarch64",
    "linux-musl-x86_64": "musllinux_1_2_x86_64",
    "windows-x86_64": "win_amd64",
}


def rows(text: str) -> dict[str, list[str]]:
    """The cells of the table whose first column names platforms."""
    table = text[text.index("| platform |") :].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {first.strip("`"): others for first, *others in cells}


def test_the_page_names_each_platform_and_what_is_built_for_it() -> None:
    found = rows(PAGE)
    assert list(found) == list(PLATFORMS)
    for name, (python, c, _, limits) in found.items():
        platform = PLATFORMS[name]
        wheel = f"`{WHEELS[name]}` wheel" if platform.wheel else python
        assert python == wheel and ("wheel" in python) == bool(platform.wheel), name
        assert ("archive" in c) == platform.c_archive, name
        assert (".deb" in c) == bool(platform.debian), name
        if platform.glibc:
            assert f"glibc {platform.glibc} or newer" in limits


def test_the_page_names_each_python_that_a_wheel_is_tried_on() -> None:
    found = rows(PAGE)
    for python in PYTHONS:
        assert python.platform in WHEELS
        if "that runs the tests" not in python.name:
            assert python.version in found[python.platform][2], python.name


def test_what_did_not_run_on_the_system_itself_is_said() -> None:
    for name, (*_, tried, limits) in rows(PAGE).items():
        assert ("not" in tried + limits) == (name != "linux-x86_64"), name


def test_the_readme_has_the_same_platforms() -> None:
    page, readme = rows(PAGE), rows(README)
    linked = [name for name in PLATFORMS if PLATFORMS[name].linker]
    assert list(readme) == linked
    for name, (python, c, tried) in readme.items():
        assert ("wheel" in python) == bool(PLATFORMS[name].wheel)
        assert ("archive" in c, ".deb" in c) == (
            "archive" in page[name][1],
            ".deb" in page[name][1],
        )
        assert ("not yet" in tried) == ("not yet" in page[name][2])
    assert README.index("\n## Install\n") == README.index("\n## "), "the first section"


def test_the_command_of_the_page_builds_a_platform_that_there_is() -> None:
    (names,) = re.findall(r"^make release-build PLATFORMS=(\S+)", PAGE, re.MULTILINE)
    assert names in PLATFORMS


def test_a_free_threaded_python_turns_its_lock_on() -> None:
    # No such Python is at hand; PyO3 compiles this into the module's slots there.
    source = (ROOT / "src" / "python" / "mod.rs").read_text()
    assert ("#[pymodule(gil_used = true)]" in source) == ("turns the GIL on again" in PAGE)
    assert "Free Threading" not in (ROOT / "pyproject.toml").read_text()
