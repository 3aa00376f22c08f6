"""The command `skypostal` as a whole: help, the names of commands, the time to start."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from command_line import COMMAND, run
from update_command import UPDATE

from skypostal import __version__
from skypostal.sandbox import BOX_ID, CUSTOMER_KEY, Sandbox


def test_the_command_is_the_module(sandbox: Sandbox) -> None:
    script = Path(sys.executable).with_name("skypostal")
    for command in ([str(script)], COMMAND):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, f"skypostal {__version__}\n")


@pytest.mark.parametrize("command", ["", "update", "bulk", "doctor", "sandbox", "completion"])
def test_help_fits_a_terminal(command: str) -> None:
    done = run(*command.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) < 80
    assert done.stdout.startswith(f"usage: skypostal {command}".rstrip())


def test_no_command_and_a_wrong_one_say_which_there_are() -> None:
    done = run()
    assert done.returncode == 2 and re.search("  update  +change a customer", done.stderr)
    assert "did you mean update?" in run("updaet").stderr
    assert "there are update, bulk, doctor, sandbox, completion" in run("frobnicate").stderr
    assert "unknown option --frobnicate" in run("--frobnicate", "update").stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ("update --env production", "--env; did you mean --environment?"),
        ("update --env=production", "--env; did you mean --environment?"),
        ("bulk --env test", "--env; did you mean --environment?"),
        ("doctor --ENV test", "--ENV; did you mean --environment?"),
        ("sandbox --hos x", "--hos; did you mean --host?"),
        ("update --customer-b 1", "did you mean --customer_box_id or --customer_birth_date?"),
        ("update --customer_frist_name A", "did you mean --customer_first_name?"),
        ("update --frobnicate", "unknown option --frobnicate (see"),
        ("--env production update", "--env; did you mean skypostal update --environment?"),
        ("--dry-run bulk", "--dry-run; did you mean skypostal update --dry-run?"),
        ("--app-key k update", "--app-key: keys are not taken as arguments"),
    ],
)
def test_an_abbreviation_is_refused_with_what_it_may_stand_for(arguments: str, hint: str) -> None:
    done = run(*arguments.split())
    assert done.returncode == 2 and hint in done.stderr


def test_the_start_is_light() -> None:
    code = "import sys, skypostal; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert "skypostal.errors" in modules
    assert not {"argparse", "skypostal._cli", "skypostal.sandbox"} & set(modules.split())
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "skypostal", "update", "--help"],
        capture_output=True, text=True,
    )  # fmt: skip
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "argparse" in imported
    heavy = {"json", "socket", "http", "sqlite3", "ssl", "subprocess", "asyncio", "logging",
             "difflib", "decimal", "skypostal.sandbox", "shtab"}  # fmt: skip
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True
    )
    assert not (heavy & imported) - set(bare.stdout.split())


@pytest.mark.parametrize("option", ["-v", "--verbose"])
def test_the_log_is_shown_when_it_is_asked_for(
    sandbox: Sandbox, tmp_path: Path, option: str
) -> None:
    line = re.compile(
        rf"^[\d:, -]+ skypostal DEBUG POST {urlsplit(sandbox.url).netloc}: 200 in ", re.M
    )
    assert not line.search(run(*UPDATE, url=sandbox.url).stderr)
    assert len(line.findall(run(*UPDATE, option, url=sandbox.url).stderr)) == 1
    assert not line.search(run(*UPDATE, option, url=sandbox.url, SKYPOSTAL_LOG="warning").stderr)
    table = tmp_path / "customers.csv"
    row = f"{BOX_ID},{CUSTOMER_KEY},Ana"
    table.write_text(f"customer_box_id,customer_key,customer_first_name\n{row}\n")
    done = run("bulk", str(table), "--out", str(tmp_path / "report.csv"), option, url=sandbox.url)
    assert len(line.findall(done.stderr)) == 1
