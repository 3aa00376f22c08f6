"""Environments of other Pythons, and the tests that run in them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
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
class Outcomes:
    """The ends of tests: by name those that ran, and the names of those that were left out."""

    ran: dict[str, str]
    left_out: list[str]
    output: str

    def others(self) -> dict[str, str]:
        """Returns those that neither passed nor were left out."""
        return {name: how for name, how in self.ran.items() if how != "passed"}


def run_tests(
    python: Path, tests: Iterable[str], left_out: Collection[str], folder: Path
) -> Outcomes:
    """Runs tests in a copy of this project that lacks the package's source."""
    project = folder / "project"
    for name in READ_BY_TESTS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, project / name, ignore=ignored)
    for name in ("pyproject.toml", "Cargo.toml", "README.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, project / name)
    names, outcomes = folder / "left-out.json", folder / "outcomes.json"
    names.write_text(json.dumps(list(left_out)))
    command: list[str | Path] = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "outcomes", f"--leave-out={names}", f"--outcomes={outcomes}"]
    command += [f"--basetemp={folder / 'tmp'}", *tests]
    environment = {**os.environ, "PYTHONPATH": str(project / "tests" / "support")}
    # An emulated Python takes minutes to compile what it imports, unless it may keep it.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert outcomes.exists(), done.stdout + done.stderr
    report = json.loads(outcomes.read_text())
    return Outcomes(report["outcomes"], report["left out"], done.stdout)
