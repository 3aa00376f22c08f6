"""The Makefile says what is missing or too old, and the lock files hold what the lists ask for."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from locks import locked
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from project import ROOT

LISTS = ["tests/requirements", "tests/engines-requirements", "benches/requirements"]
LISTS += ["release/requirements"]
PYTHONS = [f"3.{minor}" for minor in range(9, 16)]

NEEDS_CARGO = "skypostal needs cargo 1.85 or newer (found: {}). Debian 13: apt-get install cargo. "
NEEDS_CARGO += "Elsewhere: rustup update stable && rustup default stable. "
NEEDS_CARGO += "See 'Build' in README.md for how to get rustup."
NEEDS_PYTHON = "skypostal needs Python 3.9 or newer (found: {}). Name another one: "
NEEDS_PYTHON += "make PYTHON=python3.13. Debian 13: apt-get install python3-venv."
NEEDS_RUSTFMT = "skypostal needs rustfmt, which is missing. Debian 13: apt-get install rustfmt. "
NEEDS_RUSTFMT += "Elsewhere: rustup component add rustfmt."
NEEDS_VENV = (
    "skypostal needs Python's venv with pip, which is missing. Run: apt-get install python3-venv"
)
NEEDS_CC = "skypostal needs a C compiler, which is missing. Run: apt-get install gcc"
NEEDS_CXX = "skypostal needs a C++ compiler, which is missing. Run: apt-get install g++"

# What the tool says of its version, or None where there is no such tool, and what make then says.
OLD_OR_MISSING = [
    ("cargo", "cargo 1.63.0 (fd9c4297c 2022-07-01)", NEEDS_CARGO),
    ("cargo", "cargo 1.84.1 (66221abde 2024-11-19)", NEEDS_CARGO),
    ("cargo", "cargo 0.99.0", NEEDS_CARGO),
    ("cargo", "error: rustup could not choose a version of cargo to run", NEEDS_CARGO),
    ("cargo", None, NEEDS_CARGO),
    ("python3", "Python 3.8.18", NEEDS_PYTHON),
    ("python3", "Python 2.7.18", NEEDS_PYTHON),
    ("python3", None, NEEDS_PYTHON),
    # New enough, and without anything beside.
    ("python3", "Python 3.9.2", NEEDS_VENV),
    ("cargo", "cargo 1.85.0 (d73d2caf9 2024-12-31)", NEEDS_RUSTFMT),
    ("cargo", "cargo 2.0.0", NEEDS_RUSTFMT),
    ("cc", None, NEEDS_CC),
    ("g++", None, NEEDS_CXX),
]
VARIABLES = {"cargo": "CARGO", "python3": "PYTHON", "cc": "CC", "g++": "CXX"}


@pytest.mark.parametrize(("tool", "version", "expected"), OLD_OR_MISSING)
def test_make_names_what_is_needed_what_was_found_and_what_helps(
    tool: str, version: str | None, expected: str, tmp_path: Path
) -> None:
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    command = ["make", "--silent", "test"]
    if version is None:
        command.append(f"{VARIABLES[tool]}=no-such-tool")
    else:
        # It has a version, and fails at all else.
        program = tmp_path / tool
        program.write_text(f'#!/bin/sh\n[ "$*" = --version ] && echo "{version}"\n')
        program.chmod(0o755)
        environment["PATH"] = f"{tmp_path}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    said, make_s_own = done.stderr.splitlines()
    assert said == expected.format(version or "none")
    assert make_s_own.startswith("make: *** ")


def test_the_readme_names_all_that_make_asks_for_on_debian() -> None:
    """Its first line of apt is the one that CI runs on a Debian 13 that has nothing else."""
    makefile = (ROOT / "Makefile").read_text()
    asked = set(re.findall(r"apt-get install ([\w+-]+)", makefile[makefile.index("\nRUSTUP") :]))
    lines = re.findall(r"^apt-get install (.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {"gcc", "g++", "cargo", "git", "python3-venv"} < asked
    assert set(lines[0].split()) == asked | {"make"}
    # Of the line for other systems, rustup brings the rest.
    assert set(lines[1].split()) == {"make", "curl"} | asked - {"cargo", "rustfmt", "rust-clippy"}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("python", PYTHONS)
def test_a_lock_has_one_version_of_all_that_its_list_asks_for(name: str, python: str) -> None:
    pins = locked(name, python)
    for requirement in listed(ROOT / f"{name}.in"):
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            pin = pins[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(pin, prereleases=True), requirement


def listed(file: Path) -> list[Requirement]:
    requirements = []
    for line in file.read_text().splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("-r "):
            requirements += listed(file.parent / line[len("-r ") :])
        elif line:
            requirements.append(Requirement(line))
    return requirements


def test_make_locks_for_the_pythons_that_are_supported() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.findall(r"^PYTHONS := (.*)$", makefile, re.MULTILINE) == [" ".join(PYTHONS)]
    assert re.findall(r"^LOCKS := (.*)$", makefile, re.MULTILINE) == [" ".join(LISTS)]
    assert 'requires-python = ">=3.9"' in (ROOT / "pyproject.toml").read_text()


def made(*arguments: str) -> str:
    """The commands that make would run, without the variables of the make that runs the tests."""
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    command = ["make", "--dry-run", "--old-file=.venv/develop", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(
    ("target", "arguments", "command"),
    [
        ("test-rust", "retry", "cargo test --locked --features capi retry"),
        ("test-python", "-k proxy", "tests/python tests/cli tests/sandbox -k proxy --python-only"),
        ("test-python", "tests/cli/test_cli.py", "pytest tests/cli/test_cli.py --python-only"),
        ("test-c", "-k misuse", "pytest tests/c tests/cpp -k misuse"),
    ],
)  # fmt: skip
def test_the_loop_runs_one_test(target: str, arguments: str, command: str) -> None:
    last = made(target, f"ARGS={arguments}").splitlines()[-1]
    assert " ".join(last.split()).endswith(command)


def test_a_change_of_rust_alone_makes_the_editable_install_anew() -> None:
    (rule,) = re.findall(r"^\.venv/develop: (.*)$", made("--print-data-base"), re.MULTILINE)
    causes = rule.split()
    assert {"src/lib.rs", "Cargo.lock", "pyproject.toml"} < set(causes)
    assert [cause for cause in causes if cause.startswith(("python/", "tests/", "README"))] == []


def test_make_test_and_pre_commit_use_make_lint() -> None:
    tests = made("test")
    for line in made("lint").splitlines():
        assert line in tests
    assert "entry: make lint\n" in (ROOT / ".pre-commit-config.yaml").read_text()


@pytest.mark.parametrize("folder", ["benches/rust", "fuzz"])
def test_the_lock_of_a_crate_beside_has_what_the_library_depends_on(folder: str) -> None:
    """Cargo refuses the lock otherwise, and `make bench` and `make fuzz` fail."""
    manifest = (ROOT / "Cargo.toml").read_text()
    sections = re.split(r"^\[(.*)\]$", manifest, flags=re.MULTILINE)[1:]
    normal = [
        line
        for header, lines in zip(sections[::2], sections[1::2])
        if re.search(r"(^|\.)dependencies$", header)
        for line in lines.splitlines()
        if " = " in line and not line.startswith("#") and "optional = true" not in line
    ]
    wanted = {line.partition(" = ")[0] for line in normal}
    optional = set(re.findall(r"^([\w-]+) = .*optional = true", manifest, re.MULTILINE))
    assert {"reqwest", "windows-registry", "openssl-probe"} < wanted
    lock = (ROOT / folder / "Cargo.lock").read_text()
    (package,) = re.findall(r'^name = "skypostal"\n(.*?)^\]', lock, re.MULTILINE | re.DOTALL)
    locked = set(re.findall(r'^ "([\w-]+)[" ]', package, re.MULTILINE))
    assert wanted <= locked <= wanted | optional
