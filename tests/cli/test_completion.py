"""`skypostal completion`: what a shell completes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Terminal, environment, run

BASH = """
eval "$(cat)"
try() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    "$(complete -p skypostal | sed 's/.*-F \\([^ ]*\\).*/\\1/')"
    echo "${COMPREPLY[*]}"
}
try skypostal ""
try skypostal update --customer_
try skypostal update --customer_gender ""
try skypostal doctor --environment ""
try skypostal update --key-file ca
try skypostal bulk ca
try skypostal bulk card.key --out ca
try skypostal bulk --conc
"""


def test_bash_completes(tmp_path: Path) -> None:
    (tmp_path / "card.key").touch()
    script = run("completion", "bash").stdout
    done = subprocess.run(
        ["bash", "--norc", "-c", BASH], input=script, cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.stdout.splitlines(), done.stderr) == (
        [
            "update bulk doctor sandbox completion",
            "--customer_box_id --customer_first_name --customer_last_name"
            " --customer_identity_number --customer_tax_number --customer_birth_date"
            " --customer_gender",
            "M F",
            "test production",
            *["card.key"] * 3,
            "--concurrency",
        ],
        "",
    )


@pytest.mark.toolchains
def test_zsh_completes(tmp_path: Path) -> None:
    (tmp_path / "_skypostal").write_text(run("completion", "zsh").stdout)
    terminal = Terminal("zsh", "-f", **environment("", PS1="ready> ", TERM="dumb"))
    terminal.wait_for("ready> ")
    terminal.type(f"fpath=({tmp_path} $fpath); autoload -U compinit; compinit -u -D; echo do''ne\n")
    terminal.wait_for("done")
    terminal.type("skypostal update --customer_gen\t")
    terminal.wait_for("--customer_gender ")
    terminal.type("F\x15skypostal comp\t")
    terminal.wait_for("completion ")
    terminal.type("\x15exit\n")
    terminal.end()


@pytest.mark.toolchains
def test_fish_completes(tmp_path: Path) -> None:
    (tmp_path / "skypostal.fish").write_text(run("completion", "fish").stdout)
    for typed, completed in [
        ("skypostal ", {"update", "bulk", "doctor", "sandbox", "completion"}),
        ("skypostal update --customer_gen", {"--customer_gender"}),
        ("skypostal update --customer_gender ", {"M", "F"}),
    ]:
        code = f"source {tmp_path}/skypostal.fish; complete -C '{typed}'"
        done = subprocess.run(["fish", "--no-config", "-c", code], capture_output=True, text=True)
        assert completed <= {line.partition("\t")[0] for line in done.stdout.splitlines()}


def test_completion_without_shtab_says_what_to_install() -> None:
    code = "import sys; sys.modules['shtab'] = None; import skypostal.__main__ as m; m.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "completion", "bash"], capture_output=True, text=True
    )
    assert "pip install 'skypostal[completion]'" in done.stderr and done.stdout == ""
