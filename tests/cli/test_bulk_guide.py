"""The guide of `skypostal bulk` shows what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from bulk_command import wait_until
from code_blocks import code_blocks
from command_line import Terminal, run
from project import ROOT

from skypostal.sandbox import Sandbox

GUIDE = ROOT / "docs" / "bulk.md"


def test_the_guide_shows_what_happens(sandbox: Sandbox, tmp_path: Path) -> None:
    port = sandbox.url.rpartition(":")[2]
    (exports,) = [block.code for block in code_blocks(GUIDE, "sh")]
    (table,) = code_blocks(GUIDE, "csv")
    (tmp_path / table.title).write_text(table.code, encoding="utf-8")
    given = {
        **os.environ,
        "NO_COLOR": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    steps = [
        step.partition("\n")[::2]
        for block in code_blocks(GUIDE, "console")
        for step in re.split(r"^\$ ", block.code, flags=re.M)[1:]
    ]
    assert len(steps) == 7
    for command, expected in steps:
        script = f"{exports.replace('8765', port)}\ncd {tmp_path}\n{command}"
        if "did not end" in expected:
            sandbox.delay(60, times=2)
            before = len(sandbox.requests)
            killed = script.replace("skypostal", "exec skypostal")
            process = subprocess.Popen(["bash", "-c", killed], env=given)
            wait_until(lambda: len(sandbox.requests) > before)  # noqa: B023
            process.kill()
            process.wait()
            sandbox.clear_faults()
        seen = Terminal("bash", "-c", script, **given).end()[1]
        # What is of this run alone.
        seen, expected = (re.sub(r"in 0:.*/s", "…", text) for text in (seen, expected))
        assert re.sub(r"[^\n]*\r", "", seen) == expected, command


def test_the_guide_and_the_help_tell_the_same_statuses() -> None:
    in_guide = re.findall(r"^\| (\d+) \|", GUIDE.read_text(), re.M)
    in_help = re.findall(r"^  (\d+) ", run("bulk", "--help").stdout, re.M)
    assert in_guide == in_help == ["0", "1", "2", "3", "4", "5", "6", "130"]
