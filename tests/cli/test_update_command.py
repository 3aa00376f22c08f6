"""`skypostal update`: the output for people and for programs, and its streams."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Sequence

import pytest
from command_line import COMMAND, at_terminal, environment, run, serving
from fault_cases import accepted, ok
from update_command import UPDATE, outcome_of

from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, Sandbox


def test_in_a_pipe_an_update_is_one_json_object(sandbox: Sandbox) -> None:
    done = run(
        *UPDATE,
        *("--customer_first_name", "Zoë 😀", "--customer-last-name=-O'Neill"),
        *("--customer_tax_number", "0123456789012345678901234.50"),
        url=sandbox.url,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii() and done.stdout.count("\n") == 1
    assert '"customer_tax_number": 123456789012345678901234.50,' in done.stdout
    record = json.loads(done.stdout)
    assert list(record) == [
        "cust_id",
        "customer_first_name",
        "customer_last_name",
        "customer_identity_number",
        "customer_tax_number",
        "customer_birth_date",
        "customer_gender",
    ]
    assert record["customer_first_name"] == "Zoë 😀"
    assert sandbox.customers[BOX_ID]["customer_last_name"] == "-O'Neill"


def test_at_a_terminal_an_update_is_a_table_of_the_record(sandbox: Sandbox) -> None:
    code, seen = at_terminal(*UPDATE, "--customer_first_name", "Zoë", url=sandbox.url)
    assert (code, seen) == (
        0,
        f"""\
Updated at {sandbox.url[7:]}. The record now, with * at what was given:

  cust_id                   51736835
* customer_first_name       Zoë
  customer_last_name        Old Last
  customer_identity_number  123456789
  customer_tax_number       0
  customer_birth_date       1975-02-01
  customer_gender           F
""",
    )


@pytest.mark.parametrize(("option", "as_json"), [("--json", True), ("--no-json", False)])
def test_an_option_chooses_the_output(sandbox: Sandbox, option: str, as_json: bool) -> None:
    update = (*UPDATE, "--customer_gender", "M", option)
    in_pipe = run(*update, url=sandbox.url).stdout
    assert in_pipe.startswith("{") is as_json
    assert at_terminal(*update, url=sandbox.url) == (0, in_pipe)


@pytest.mark.parametrize("options", [(), ("--json",), ("--no-json",), ("--dry-run",)])
def test_an_update_of_nothing_is_said_and_gives_the_record(
    sandbox: Sandbox, options: Sequence[str]
) -> None:
    done = run(*UPDATE, *options, url=sandbox.url)
    said = "skypostal update: nothing was given to change\n"
    if options == ("--dry-run",):
        said += "This was a dry run: nothing was sent.\n"
    assert (done.returncode, done.stderr) == (0, said)
    assert ("Old Last" in done.stdout) is (options != ("--dry-run",))
    assert "Updated" not in done.stdout
    code, seen = at_terminal(*UPDATE, "--no-json", url=sandbox.url)
    assert code == 0 and f"nothing was given to change\nThe record at {sandbox.url[7:]}:\n" in seen
    # It is no reason to hide another one.
    assert "nothing was given" not in run(*UPDATE, url=sandbox.url, SKYPOSTAL_APP_KEY=None).stderr


def test_what_the_service_sends_does_not_steer_a_terminal() -> None:
    member = rb'"customer_first_name":"\u001b[2J\u009bA\u202e","customer_tax_number":0.0000001'
    with serving(ok(accepted(member))) as server:
        code, seen = at_terminal(*UPDATE, url=server.url)
    assert code == 0 and not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", seen)
    assert r"\x1b[2J\x9bA" in seen and r"\u202e" in seen
    assert "customer_tax_number       0.0000001" in seen
    assert "customer_birth_date       -" in seen


@pytest.mark.parametrize(
    "changes",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
)
def test_any_locale_can_show_the_record(sandbox: Sandbox, changes: dict[str, str | None]) -> None:
    first_name = ("--customer_first_name", "Zoë 😀")
    assert run(*UPDATE, *first_name, url=sandbox.url).returncode == 0
    record = json.loads(run(*UPDATE, url=sandbox.url, **changes).stdout)
    assert record["customer_first_name"] == "Zoë 😀"
    plain = subprocess.run(
        [*COMMAND, *UPDATE, "--no-json"], env=environment(sandbox.url, **changes),
        capture_output=True,
    )  # fmt: skip
    assert plain.returncode == 0 and b"customer_first_name       Zo" in plain.stdout
    done = run(*UPDATE, "--customer_gender", "é", url=sandbox.url, **changes)
    assert done.returncode == 2 and "customer_gender: " in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (*UPDATE, "--customer_gender", "M"),
        (*UPDATE, "--customer_gender", "M", "--no-json"),
        ("update", "--help"),
    ],
)
def test_a_reader_who_has_left_is_no_failure(sandbox: Sandbox, arguments: Sequence[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, *arguments], env=environment(sandbox.url), stdout=writing,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_streams_do_no_harm(sandbox: Sandbox, closed: str) -> None:
    command = " ".join([*COMMAND, *UPDATE, closed])
    assert subprocess.run(command, shell=True, env=environment(sandbox.url)).returncode == 0
    command = " ".join([*COMMAND, "update", closed])
    assert subprocess.run(command, shell=True, env=environment(sandbox.url)).returncode == 2


def test_a_dry_run_shows_what_a_real_run_sends(sandbox: Sandbox) -> None:
    fields = ("--customer_first_name", 'Zoë "\ufffe', "--customer_tax_number", "007.50")
    shown = json.loads(run(*UPDATE, *fields, "--dry-run", url=sandbox.url).stdout)
    assert not sandbox.requests
    assert run(*UPDATE, *fields, url=sandbox.url).returncode == 0
    (sent,) = sandbox.requests
    assert (shown["method"], shown["url"]) == (sent.method, sandbox.url + sent.path)
    assert shown["headers"] == {name.lower(): value for name, value in sent.headers.items()}
    hidden = sent.body.decode().replace(APP_KEY, "***").replace(CUSTOMER_KEY, "***")
    assert shown["body"] == hidden and hidden.count("***") == 2


def test_a_dry_run_at_a_terminal_says_that_nothing_was_sent(sandbox: Sandbox) -> None:
    code, seen = at_terminal(*UPDATE, "--customer_gender", "M", "--dry-run", url=sandbox.url)
    assert code == 0 and seen.startswith(f"POST {sandbox.url}/wcf-services/")
    assert seen.splitlines()[-2].startswith('{"user_code":396,"app_key":"***",')
    assert seen.endswith("This was a dry run: nothing was sent.\n")
    assert not sandbox.requests


def test_a_dry_run_checks_as_a_real_one(sandbox: Sandbox) -> None:
    done = run(*UPDATE, "--customer_gender", "X", "--dry-run", url=sandbox.url)
    assert outcome_of(done) == (2, "invalid_field", "not_sent")
    done = run(*UPDATE, "--dry-run", url=sandbox.url, SKYPOSTAL_APP_KEY=None)
    assert outcome_of(done) == (2, "configuration", "not_sent")
