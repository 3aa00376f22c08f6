"""What docs/c-windows.md shows is what happens."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from bulk_command import wait_until
from code_blocks import code_blocks
from project import ROOT
from windows_library import WindowsLibrary

from skypostal.sandbox import CUSTOMER_KEY, Sandbox

pytestmark = pytest.mark.release

# Of skypostal.h.
CANCELLED = 10
PAGE = ROOT / "docs" / "c-windows.md"


def test_the_commands_for_mingw(windows: WindowsLibrary, sandbox: Sandbox, tmp_path: Path) -> None:
    compiler = tmp_path / "tools" / "gcc"
    compiler.parent.mkdir()
    compiler.write_text(f'#!/bin/sh\nexec {windows.tool("gcc")} -static-libgcc "$@"\n')
    compiler.chmod(0o755)
    (tmp_path / "skypostal").symlink_to(windows.folder)
    shutil.copy(windows.folder / "examples" / "update.c", tmp_path)
    environment = {**os.environ, "PATH": f"{compiler.parent}:{os.environ['PATH']}"}
    blocks = code_blocks(PAGE, "sh")
    assert len(blocks) == 2
    for block in blocks:
        program = tmp_path / "update.exe"
        program.unlink(missing_ok=True)
        subprocess.run(["sh", "-euc", block.code], cwd=tmp_path, env=environment, check=True)
        done = windows.run(program, "New", "Last", "", "M", sandbox=sandbox)
        assert (done.returncode, done.stderr) == (0, "")
        assert "cust_id: 51736835\n" in done.stdout


def test_ctrl_c_ends_the_call(windows: WindowsLibrary, sandbox: Sandbox, tmp_path: Path) -> None:
    (block,) = code_blocks(PAGE, "c")
    source = tmp_path / "ctrl_c.c"
    source.write_text(block.code.replace("the customer's key", CUSTOMER_KEY))
    program = windows.compile(source, "-std=c89", "-Wstrict-prototypes")
    assert windows.run(program, sandbox=sandbox).stdout == "updated\n"
    sandbox.delay(60)
    with windows.start(program, sandbox=sandbox) as running:
        try:
            wait_until(lambda: len(sandbox.requests) == 2)
            begun = time.monotonic()
            running.send_signal(signal.SIGINT)
            output, _ = running.communicate(timeout=25)
        finally:
            running.kill()
    assert running.returncode == CANCELLED
    assert output == "the caller ended the call (delivery unknown, 1 attempt)\n"
    # Without the cancel, the timeout of the call would have ended it.
    assert time.monotonic() - begun < 25
