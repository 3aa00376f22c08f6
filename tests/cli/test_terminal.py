"""What the commands do at a terminal alone: colours, and the question before production changes."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Sequence

import pytest
from bulk_command import Bulk, rows_of, write
from command_line import COMMAND, Terminal, at_terminal, environment, run
from update_command import ONCE, UPDATE

from skypostal.sandbox import BOX_ID, CUSTOMER_KEY, Sandbox

GREEN, YELLOW, RED, END = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[0m"
COLORED = {"NO_COLOR": None, "TERM": "xterm"}


@pytest.mark.parametrize(("options", "changes", "colored"), [
    ((), {}, True),
    ((), {"NO_COLOR": "1"}, False),
    ((), {"NO_COLOR": ""}, True),
    ((), {"TERM": "dumb"}, False),
    (("--color", "never"), {}, False),
    (("--color=always",), {"NO_COLOR": "1"}, True),
])  # fmt: skip
@pytest.mark.parametrize("command", [(*UPDATE, "--customer_gender", "M", "--no-json"), ("doctor",)])
def test_a_terminal_has_colours(
    sandbox: Sandbox,
    command: Sequence[str],
    options: Sequence[str],
    changes: dict[str, str | None],
    colored: bool,
) -> None:
    code, seen = at_terminal(*command, *options, url=sandbox.url, **{**COLORED, **changes})
    assert code == 0 and (GREEN in seen) is colored and ("\x1b" in seen) is colored
    done = run(*command, *options, url=sandbox.url, **{**COLORED, **changes})
    assert ("\x1b" in done.stdout + done.stderr) is ("--color=always" in options)


def test_each_state_has_its_colour(sandbox: Sandbox) -> None:
    given = {**COLORED, "SKYPOSTAL_USER_CODE": None}
    _, seen = at_terminal("doctor", url=sandbox.url, **given)
    assert f"{GREEN}ok{END}       version " in seen
    assert f"{YELLOW}warning{END}  credentials  SKYPOSTAL_USER_CODE is not set\n" in seen
    _, seen = at_terminal("doctor", url="ftp://x", **COLORED)
    assert f"{RED}problem{END}  settings " in seen
    _, seen = at_terminal(*UPDATE, "--customer_gender", "X", url=sandbox.url, **COLORED)
    assert seen.startswith(f"{RED}skypostal update: customer_gender: ")
    _, seen = at_terminal(*UPDATE, "--custmer_gender", "X", url=sandbox.url, **COLORED)
    assert seen.startswith(f"{RED}skypostal update: unknown option")
    _, seen = at_terminal(*UPDATE, url=sandbox.url, **COLORED)
    assert seen.startswith(f"{YELLOW}skypostal update: nothing was given to change{END}\n")


def test_bulk_has_colours(bulk: Bulk, sandbox: Sandbox) -> None:
    write(bulk.table, [*rows_of([1]), ["2", "wrong", "Eva"], ["x", "key", "Leo"]])
    arguments = bulk.arguments("--skip-bad")
    code, seen = at_terminal(*arguments, url=bulk.url, **COLORED)
    assert code == 3
    assert f"{RED}{bulk.table}:4: customer_box_id: " in seen
    counts = f"{GREEN}1 updated{END}, {RED}1 refused{END}, {RED}1 bad{END}"
    assert f"\n3 rows: {counts}.\n" in seen


@pytest.fixture
def closed() -> Iterator[str]:
    """A proxy at which nothing listens: what goes to production ends there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def to_production(proxy: str) -> list[str]:
    return ["--environment", "production", "--proxy", proxy]


QUESTION = "This changes box 811111 at api-box.skypostal.com, production. Type yes to go on: "


@pytest.mark.parametrize(("typed", "code", "says"), [
    ("yes\n", 4, "nothing was sent"),  # no connection
    ("YES \n", 4, "nothing was sent"),
    ("y\n", 2, "box 811111 is as before: yes was not typed (see"),
    ("\n", 2, "yes was not typed"),
    ("\x04", 2, "yes was not typed"),
    ("\x03", 130, "interrupted"),
])  # fmt: skip
def test_production_is_changed_from_a_terminal_after_a_yes(
    closed: str, typed: str, code: int, says: str
) -> None:
    terminal = Terminal(*COMMAND, *ONCE, *to_production(closed), **environment(""))
    terminal.wait_for(QUESTION)
    terminal.type(typed)
    ended, seen = terminal.end()
    assert (ended, seen.count("Type yes")) == (code, 1) and says in seen
    assert ("no connection" in seen) is (code == 4)


def test_the_question_for_the_key_names_the_environment(closed: str) -> None:
    given = environment("", SKYPOSTAL_CUSTOMER_KEY=None)
    terminal = Terminal(*COMMAND, *ONCE, *to_production(closed), **given)
    terminal.wait_for("customer_key of box 811111 at api-box.skypostal.com, production (not shown)")
    terminal.type(f"{CUSTOMER_KEY}\n")
    terminal.wait_for(QUESTION)
    terminal.type("\x03")
    assert terminal.end()[0] == 130
    given = {**given, "SKYPOSTAL_BASE_URL": ""}
    terminal = Terminal(*COMMAND, *ONCE, "--proxy", closed, **given)
    terminal.wait_for("customer_key of box 811111 at api-box-test.skypostal.com, test (not shown)")
    terminal.type(f"{CUSTOMER_KEY}\n")
    code, seen = terminal.end()
    assert code == 4 and "yes" not in seen


def test_nothing_is_asked_without_need(closed: str, sandbox: Sandbox) -> None:
    production = to_production(closed)
    for arguments, code in [
        ((*ONCE, *production, "--yes"), 4),
        ((*ONCE, *production, "--dry-run"), 0),
        # What cannot be sent needs no yes.
        ((*ONCE, *production, "--customer_gender", "X"), 2),
    ]:
        ended, seen = at_terminal(*arguments, url="")
        assert ended == code and "Type yes" not in seen
    done = run(*ONCE, *production, url="", stdin="no\n")
    assert done.returncode == 4 and "Type yes" not in done.stderr
    assert "Type yes" not in at_terminal(*UPDATE, url=sandbox.url)[1]


def test_production_by_its_address_is_asked_for_too(closed: str) -> None:
    given = environment("https://api-box.skypostal.com")
    terminal = Terminal(*COMMAND, *ONCE, "--proxy", closed, **given)
    terminal.wait_for(QUESTION)
    terminal.type("no\n")
    assert terminal.end()[0] == 2


def test_bulk_asks_once_for_all_rows(bulk: Bulk, closed: str) -> None:
    write(bulk.table, [*rows_of([1, 2]), ["x", "key", "Leo"]])
    arguments = bulk.arguments("--skip-bad", "--max-retries", "0", *to_production(closed))
    question = "This changes 2 of 3 rows at api-box.skypostal.com, production. Type yes to go on: "
    for typed, code in [("no\n", 2), ("yes\n", 5)]:
        terminal = Terminal(*COMMAND, *arguments, **environment(""))
        terminal.wait_for(question)
        terminal.type(typed)
        ended, seen = terminal.end()
        assert (ended, seen.count("Type yes")) == (code, 1)
        if code == 2:
            assert "skypostal bulk: yes was not typed\nNothing was sent." in seen
            assert not bulk.out.exists() and not bulk.journal.exists()
    assert re.search(r"^failed,not_sent,1,connect,", bulk.out.read_text(), re.M)
    bulk.out.unlink()
    code, seen = at_terminal(*arguments, "--yes", url="")
    assert code == 5 and "Type yes" not in seen


def test_a_report_of_updated_rows_asks_nothing(bulk: Bulk, sandbox: Sandbox, closed: str) -> None:
    write(bulk.table, [[str(BOX_ID), CUSTOMER_KEY, "Ana"]])
    assert bulk().returncode == 0
    bulk.out.rename(bulk.table)
    code, seen = at_terminal(*bulk.arguments(*to_production(closed)), url="")
    assert code == 0 and "Type yes" not in seen
