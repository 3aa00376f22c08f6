"""The wheel for Windows x64 in python.org's CPython under Wine, and what its tests say there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from project import ROOT, TESTS
from released import wheels
from windows_python import ARCHIVES, WindowsPython
from wine import Wine

import skypostal

pytestmark = pytest.mark.release

FOLDERS = ("python", "cli", "sandbox")


def not_run() -> dict[str, str]:
    """Returns the tests and modules that are not run on Windows, each with its reason."""
    reasons, reason = {}, ""
    for line in (TESTS / "release" / "windows-not-run.txt").read_text().splitlines():
        if line.startswith("    "):
            reasons[line.strip()] = reason
        elif line:
            reason = line.rstrip(":")
    return reasons


NOT_RUN = not_run()


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wine]:
    with Wine(tmp_path_factory.mktemp("wine") / "prefix") as wine:
        yield wine


@pytest.fixture(scope="module", params=ARCHIVES)
def python(
    request: pytest.FixtureRequest, wine: Wine, tmp_path_factory: pytest.TempPathFactory
) -> WindowsPython:
    python = WindowsPython(wine, tmp_path_factory.mktemp("windows"), request.param)
    python.install(wheels()["windows-x86_64"])
    return python


@pytest.fixture(scope="module")
def tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tests and what they read, and without the package."""
    # Not by mktemp: pytest under Wine takes its link to the newest folder for another folder.
    folder = tmp_path_factory.getbasetemp() / "on-windows"
    folder.mkdir()
    for name in ("pyproject.toml", "Cargo.toml", "README.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, folder)
    for name in ("tests", "docs", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_tests_on_windows(
    python: WindowsPython, tests: Path, tmp_path: Path, folder: str
) -> None:
    listed = [
        name
        for name, reason in NOT_RUN.items()
        if name.startswith(f"tests/{folder}/")
        # A reason that begins with a version is one of that version alone.
        and (not reason.startswith("Python 3") or reason.startswith(f"Python {python.version} "))
    ]
    modules = [name for name in modules_of(folder) if name not in listed]
    left_out, outcomes = tmp_path / "left-out.json", tmp_path / "outcomes.json"
    left_out.write_text(json.dumps(listed))
    command: list[str | Path] = [python.program, "-m", "pytest", "-q", "--python-only"]
    command += ["--tb=short", "--rootdir=.", "-p", "no:cacheprovider", "-p", "outcomes"]
    command += ["--outcomes", outcomes, "--leave-out", left_out, *modules]
    environment = {**os.environ, "PYTHONPATH": python.wine.path(tests / "tests" / "support")}
    done = python.wine.run(*command, env=environment, cwd=tests, timeout=3600)
    assert outcomes.exists(), done.stdout + done.stderr
    report = json.loads(outcomes.read_text())
    print(f"\n{folder}: {len(report['outcomes'])} run, {len(report['left out'])} not run")
    others = {name: how for name, how in report["outcomes"].items() if how != "passed"}
    assert others == {}, done.stdout
    # A test that was renamed, or that is gone, must not stay in the list.
    found = {name.partition("[")[0] for name in report["left out"]} | set(report["left out"])
    single = [name for name in listed if "::" in name and name.partition("::")[0] not in listed]
    assert sorted(name for name in single if name not in found) == []
    assert sorted(name for name in listed if "::" not in name and not (ROOT / name).exists()) == []


def test_the_command(python: WindowsPython) -> None:
    done = python.wine.run(python.home / "Scripts" / "skypostal.exe", "--version")
    assert (done.returncode, done.stdout) == (0, f"skypostal {skypostal.__version__}\n")


def modules_of(folder: str) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in sorted((TESTS / folder).glob("test_*.py"))]
