"""The guide of the command line shows what happens."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from command_line import Terminal, environment, run, serving
from fault_cases import status
from fault_server import GOOD
from project import ROOT

from skypostal.sandbox import Sandbox

GUIDE = (ROOT / "docs" / "cli.md").read_text()


def test_the_examples_of_the_guide_are_real(sandbox: Sandbox, tmp_path: Path) -> None:
    (exports,) = re.findall(r"```sh\n(export .*?)```", GUIDE, re.S)
    examples = re.findall(r"```console\n\$ (.*?)\n(.*?)```", GUIDE, re.S)
    assert len(examples) == 7
    folder = str(Path(sys.executable).parent)
    given = {**os.environ, "NO_COLOR": "1", "PATH": f"{folder}:{os.environ['PATH']}"}
    for command, expected in examples:
        port = sandbox.url.rpartition(":")[2]
        line = f"{exports}\n{command}".replace("8765", port)
        seen = Terminal("bash", "-c", line, **given).end()[1]
        # What is of this run alone.
        for pattern in (rf"{re.escape(port)}|8765", r"Python .*", r"in \d+ ms", r"\d+ s from"):
            seen, expected = (re.sub(pattern, "…", text) for text in (seen, expected))
        assert seen == expected, command


def test_the_loop_of_the_guide_tries_again(sandbox: Sandbox, tmp_path: Path) -> None:
    (loop,) = re.findall(r"```sh\n(for .*?)```", GUIDE, re.S)
    given = environment("", PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    busy = status("503 Service Unavailable")
    with serving(busy, busy, busy, GOOD) as server:
        given["SKYPOSTAL_BASE_URL"] = server.url
        code = loop.replace("sleep 1", "sleep 0").replace("update", "update --max-retries 0")
        done = subprocess.run(["bash", "-c", f"{code}\necho $status $attempt"], env=given,
                              cwd=tmp_path, capture_output=True, text=True)  # fmt: skip
        assert (done.stdout, server.requests) == ("5 3\n", 3)
        done = subprocess.run(["bash", "-c", f"{code}\necho $status $attempt"], env=given,
                              cwd=tmp_path, capture_output=True, text=True)  # fmt: skip
    assert done.stdout == "0 1\n"
    assert json.loads((tmp_path / "record.json").read_text())["cust_id"] == 51736835


def test_the_guide_and_the_help_tell_the_same_statuses() -> None:
    in_guide = re.findall(r"^\| (\d+) \|", GUIDE, re.M)
    in_help = re.findall(r"^  (\d+) ", run("update", "--help").stdout, re.M)
    assert in_guide == in_help == ["0", "1", "2", "3", "4", "5", "6", "130"]


def test_the_commands_of_the_guide_for_keys_and_completion_work(tmp_path: Path) -> None:
    assert "read -rs SKYPOSTAL_APP_KEY; export SKYPOSTAL_APP_KEY" in GUIDE
    code = "read -rs SKYPOSTAL_APP_KEY; export SKYPOSTAL_APP_KEY; env | grep -c SKYPOSTAL_APP_KEY"
    done = subprocess.run(["bash", "-c", code], input="k\n", capture_output=True, text=True)
    assert done.stdout == "1\n"
    (lines,) = re.findall(r"```sh\npip .*?\n(.*?)```", GUIDE, re.S)
    given = environment(
        "", HOME=str(tmp_path), PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    )
    subprocess.run(["bash", "-c", lines], env=given, check=True)
    assert "_shtab_skypostal" in next(tmp_path.rglob("skypostal")).read_text()
