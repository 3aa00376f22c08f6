"""`skypostal update`: where keys come from, and that none is an argument or is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from command_line import COMMAND, Terminal, at_terminal, environment, run
from update_command import UPDATE, outcome_of

from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, Sandbox


@pytest.mark.parametrize("option", ["--app_key", "--app-key", "--customer_key", "--apikey"])
def test_no_option_takes_a_key(sandbox: Sandbox, option: str) -> None:
    for arguments in [
        (*UPDATE, option, CUSTOMER_KEY),
        (*UPDATE, f"{option}={CUSTOMER_KEY}"),
        (option, APP_KEY, *UPDATE),
    ]:
        done = run(*arguments, url=sandbox.url)
        assert done.returncode == 2 and not sandbox.requests
        assert f"{option}: keys are not taken as arguments" in done.stderr
        assert "SKYPOSTAL_APP_KEY" in done.stderr and "--key-file" in done.stderr


def test_a_key_in_the_wrong_place_is_not_repeated(sandbox: Sandbox) -> None:
    for arguments in [
        (CUSTOMER_KEY,),
        (*UPDATE, CUSTOMER_KEY),
        (*UPDATE, f"-{CUSTOMER_KEY}"),
        (f"--{CUSTOMER_KEY}",),
        ("doctor", APP_KEY),
    ]:
        assert run(*arguments, url=sandbox.url).returncode == 2


CHANGE = (*UPDATE, "--customer_gender", "M")


@pytest.mark.parametrize("text", ["{}", "{}\n", "  {}\r\n\n", "\ufeff{}\n"])
def test_a_file_or_standard_input_gives_the_key(
    sandbox: Sandbox, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_text(text.format(CUSTOMER_KEY), encoding="utf-8")
    for wrong in (None, "wrong"):  # the file wins over the variable
        given = {"SKYPOSTAL_CUSTOMER_KEY": wrong}
        done = run(*CHANGE, "--key-file", str(file), url=sandbox.url, **given)
        assert (done.returncode, done.stderr) == (0, "")
        key = file.read_text("utf-8")
        done = run(*CHANGE, "--key-file", "-", stdin=key, url=sandbox.url, **given)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_file_gives_the_application_key(sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "app key"
    file.write_text(f"{APP_KEY}\n")
    for given in ("wrong", None):  # the file wins over the variable
        done = run(*CHANGE, "--app-key-file", str(file), url=sandbox.url, SKYPOSTAL_APP_KEY=given)
        assert (done.returncode, done.stderr) == (0, "")
    file.write_text("the old key")
    assert run(*CHANGE, "--app-key-file", str(file), url=sandbox.url).returncode == 3
    done = run(*CHANGE, "--app-key-file", str(tmp_path / "none"), url=sandbox.url)
    assert done.returncode == 2 and "app_key: cannot be read from" in done.stderr
    assert "nothing was sent. Correct the file with the application key, or what" in done.stderr


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_file_that_others_can_read_is_told(
    sandbox: Sandbox, tmp_path: Path, mode: int
) -> None:
    file = tmp_path / "key"
    file.write_text(CUSTOMER_KEY)
    file.chmod(mode)
    done = run(*CHANGE, "--key-file", str(file), url=sandbox.url)
    assert done.returncode == 0
    assert done.stderr == f"skypostal update: warning: others can read {file}; chmod 600 it\n"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file or directory"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe", "is not UTF-8"),
        (f"{CUSTOMER_KEY}\n{APP_KEY}\n".encode(), "holds more than a key"),
    ],
)
def test_a_key_file_without_a_key_is_refused(
    sandbox: Sandbox, tmp_path: Path, content: bytes | None, problem: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.touch(0o600)
        file.write_bytes(content)
    done = run(*UPDATE, "--key-file", str(file), url=sandbox.url)
    assert outcome_of(done) == (2, "usage", "not_sent")
    assert f"--key-file {file}: {problem} (see" in done.stderr
    assert run(*UPDATE, "--key-file", str(tmp_path), url=sandbox.url).returncode == 2
    assert run(*UPDATE, "--key-file", "-", url=sandbox.url).returncode == 2


PROMPT = " (not shown): "


@pytest.mark.parametrize("option", [(), ("--key-file", "-")])
def test_a_terminal_is_asked_for_the_key_without_an_echo(
    sandbox: Sandbox, option: Sequence[str]
) -> None:
    given = environment(sandbox.url, SKYPOSTAL_CUSTOMER_KEY=None)
    terminal = Terminal(*COMMAND, *CHANGE, *option, **given)
    terminal.wait_for(PROMPT)
    terminal.type(f"{CUSTOMER_KEY}\n")
    code, seen = terminal.end()  # which fails if the key is to be seen
    host = urlsplit(sandbox.url).netloc
    assert code == 0 and seen.startswith(f"customer_key of box {BOX_ID} at {host}{PROMPT}\nUpdated")


def test_what_is_wrong_is_told_before_a_key_is_asked_for(sandbox: Sandbox) -> None:
    code, seen = at_terminal(
        *UPDATE, "--customer_gender", "X", url=sandbox.url, SKYPOSTAL_CUSTOMER_KEY=None
    )
    assert code == 2 and PROMPT not in seen


@pytest.mark.parametrize(("typed", "code", "says"), [
    ("\x03", 130, "interrupted"), ("\x04", 2, "customer_key: is required"),
    ("\n", 2, "customer_key: is required"),
])  # fmt: skip
def test_the_question_can_be_left(sandbox: Sandbox, typed: str, code: int, says: str) -> None:
    terminal = Terminal(*COMMAND, *UPDATE, **environment(sandbox.url, SKYPOSTAL_CUSTOMER_KEY=None))
    terminal.wait_for(PROMPT)
    terminal.type(typed)
    ended, seen = terminal.end()
    assert ended == code and says in seen and "nothing was sent" in seen
    assert not sandbox.requests
