"""What CI runs: make targets that exist, with actions that cannot change under their name."""

from __future__ import annotations

import re
import shlex
import subprocess

from project import ROOT

WORKFLOW = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
# Commands that prepare a machine; all the rest is make.
PREPARES = ("sudo apt-get ", "rustup target add ")


def commands() -> list[str]:
    found = re.findall(r"^ +- run: (.+)$", WORKFLOW, re.MULTILINE)
    assert len(found) == len(re.findall(r"^[ -]+run: ", WORKFLOW, re.MULTILINE))
    return [command for command in found if not command.startswith(PREPARES)]


def targets() -> set[str]:
    """What make knows."""
    listed = subprocess.run(
        ["make", "--print-data-base", "--question", "no-such-target"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout
    return set(re.findall(r"(?<!# Not a target:\n)^([\w-]+):", listed, re.MULTILINE))


def test_the_workflow_runs_make_targets_that_exist() -> None:
    known = targets()
    assert {"test", "release-build"} <= known and "no-such-target" not in known
    for command in commands():
        words = shlex.split(command.removeprefix("sudo --preserve-env=PATH "))
        assert words[0] == "make", command
        assert words[1] in known, command
        assert all("=" in word for word in words[2:]), command


def test_the_ci_script_runs_make_targets_that_exist() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    named = re.findall(r"\bmake ([a-z-]+)", script)
    assert {"test", "demo", "memcheck", "release-build", "release-test"} <= set(named) <= targets()


def test_an_action_is_pinned_by_its_hash_and_gets_no_right_to_write() -> None:
    used = re.findall(r"^ +- uses: (.+)$", WORKFLOW, re.MULTILINE)
    assert used and all(re.fullmatch(r"actions/checkout@[0-9a-f]{40} # v\S+", u) for u in used)
    assert re.findall(r"^ *permissions:\n((?: +.*\n)+)", WORKFLOW, re.MULTILINE) == [
        "  contents: read\n"
    ]
    assert WORKFLOW.count("persist-credentials: false") == len(used)


def test_the_modules_for_windows_run_there_whole() -> None:
    windows = WORKFLOW[WORKFLOW.index("\n  windows:") :]
    modules = re.findall(r"tests/\w+/test_\w+\.py", windows)
    not_run = (ROOT / "tests" / "release" / "windows-not-run.txt").read_text()
    assert modules and not [module for module in modules if module in not_run]
    assert all((ROOT / module).exists() for module in re.findall(r"tests/\w+/\w+\.py", WORKFLOW))
