"""Environments of other Pythons, and the tests that run in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locks import locked
from project import ROOT

# Folders of this project that tests read. The package's source is not among them.
READ_BY_TESTS = ["tests", "docs", "examples", "release"]
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def run(*command: str | Path, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    output: str = done.stdout
    return output


def new_environment(folder: Path, python: str | Path = sys.executable) -> Path:
    """Makes an environment without pip and returns its Python."""
    run(python, "-m", "venv", "--without-pip", folder)
    return folder / "bin" / "python"


def install(
    folder: Path, *what: str | Path, python: str | Path = sys.executable, **options: Any
) -> Path:
    """Installs into a new environment and returns the folder of its programs."""
    program = new_environment(folder, python)
    run(*PIP, f"--python={program}", "install", *what, **options)
    run(*PIP, f"--python={program}", "check")
    return program.parent


def requirements(names: Iterable[str], version: str) -> list[str]:
    """Returns those of the packages that a version of Python needs, as they are locked for it."""
    versions = locked("tests/requirements", version)
    return [f"{name}=={versions[name]}" for name in names if name in versions]


@dataclass(frozen=True)
class Outcome:
    """How tests ended: how many passed, and what pytest says of each other one."""

    passed: int
    others: dict[str, str]
    deselected: int


def run_tests(
    python: Path, tests: Iterable[str], not_run: Collection[str], folder: Path
) -> Outcome:
    """Runs tests in a copy of this project that lacks the package's source."""
    project = folder / "project"
    for name in READ_BY_TESTS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, project / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, project / name)
    report = folder / "report.xml"
    command: list[str | Path] = [
        python,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--junitxml={report}",
    ]
    command += [f"--basetemp={folder / 'tmp'}", *(f"--deselect={test}" for test in not_run), *tests]
    # An emulated Python takes minutes to compile what it imports, unless it may keep it.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert report.exists(), done.stdout + done.stderr
    others: dict[str, str] = {}
    passed = 0
    for case in xml.parse(report).getroot().iter("testcase"):
        ends = [end for end in case if end.tag in ("failure", "error", "skipped")]
        if ends:
            module = case.get("classname", "").replace(".", "/")
            others[f"{module}.py::{case.get('name')}"] = f"{ends[0].tag}: {ends[0].get('message')}"
        else:
            passed += 1
    last = done.stdout.splitlines()[-1].replace(",", "").split()
    deselected = int(last[last.index("deselected") - 1]) if "deselected" in last else 0
    return Outcome(passed, others, deselected)
