"""skypostal.1, the man page of the command."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from project import ROOT

from release.man_page import FILE, page

COMMANDS = ["update", "bulk", "doctor", "sandbox", "completion"]


def test_the_page_is_what_the_parsers_say() -> None:
    assert FILE.read_text(encoding="utf-8") == page(), "run `make man`"


def rendered() -> dict[str, str]:
    """What `man` shows of each command, and what stands before."""
    command = ["groff", "-man", "-ww", "-Tascii", "-P-cbou", "-rLL=500n", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    _, *parts = re.split(r"^(\S.*)\n", done.stdout, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2]))


@pytest.mark.toolchains
def test_man_shows_all_that_help_does() -> None:
    shown = rendered()
    assert {"NAME", "SYNOPSIS", "DESCRIPTION"} < {*shown}
    assert {f"SKYPOSTAL {name.upper()}" for name in COMMANDS} < {*shown}
    for name in COMMANDS:
        command = [sys.executable, "-m", "skypostal", name, "--help"]
        help = subprocess.check_output(command, cwd=ROOT, text=True)
        part = shown[f"SKYPOSTAL {name.upper()}"]
        for option in re.findall(r"^  (--\S+)", help, re.MULTILINE):
            assert option.rstrip(",") in part
        # Without the usage, the headings and --help itself.
        said = re.sub(r"^\S.*:$|-h, --help .*", "", help.partition("\n\n")[2], flags=re.MULTILINE)
        assert [word for word in re.findall(r"\w+", said) if word not in part] == []


@pytest.mark.toolchains
def test_man_finds_the_page_by_its_words() -> None:
    done = subprocess.check_output(["lexgrog", FILE], text=True)
    assert "skypostal - update a customer's personal information at SkyPostal" in done
