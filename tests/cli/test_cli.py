"""The command, run as people and programs run it: in a pipe, and at a terminal."""

from __future__ import annotations

import datetime
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import trustme
from command_line import (
    COMMAND,
    Done,
    Terminal,
    at_terminal,
    environment,
    run,
    serving,
)
from fault_cases import BUSY, HALF, LOST, accepted, ok, status, with_head
from fault_server import GOOD, Script, close, hang, pause_for, read, send
from project import ROOT
from proxy_server import PASSWORD, Proxy
from tls_server import Server, accept_updates

from skypostal import __version__
from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, USER_CODE, Sandbox

UPDATE = ("update", "--customer_box_id", str(BOX_ID))
ONCE = (*UPDATE, "--max-retries", "0")
BEFORE = "The customer is as before"
PERHAPS = "The customer may have been changed"


# Updates


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
    in_pipe = run(*UPDATE, option, url=sandbox.url).stdout
    assert in_pipe.startswith("{") is as_json
    assert at_terminal(*UPDATE, option, url=sandbox.url) == (0, in_pipe)


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


# Exit statuses


def outcome_of(done: Done[str]) -> tuple[int, str, str]:
    """The exit status, the kind and the delivery; standard error must say the same."""
    error = json.loads(done.stdout)["error"]
    assert {"kind", "message", "delivery", "attempts"} <= set(error)
    first, _, second = done.stderr.partition("\n")
    assert first.startswith(f"skypostal update: {error['message']}")
    if error["kind"] != "usage":
        assert second.startswith(PERHAPS if error["delivery"] == "unknown" else BEFORE)
    return done.returncode, error["kind"], error["delivery"]


CORRECT_IT = [
    (("update",), "invalid_field", "customer_box_id: is required", "Correct --customer_box_id"),
    ((*UPDATE, "--customer_gender", "X"), "invalid_field", "customer_gender: ", "Correct --cust"),
    ((*UPDATE, "--customer_first_name", ""), "invalid_field", "leave it out to keep", ""),
    (("update", "--customer_box_id", "x"), "invalid_field", "is not an integer", ""),
    (("update", "--customer_box_id", "9" * 30), "invalid_field", "is out of range", ""),
    (("update", "--customer_box_id", "-5"), "invalid_field", "is not positive", ""),
    ((*UPDATE, "--customer_tax_number", "1e3"), "invalid_field", "customer_tax_number: ", ""),
    ((*UPDATE, "--customer_birth_date", "2001-02-29"), "invalid_field", "customer_birth_date", ""),
    ((*UPDATE, "--user_code", "0"), "invalid_field", "user_code: is not positive", "--user_code"),
    ((*UPDATE, "--base-url", "http://example.org"), "configuration", "base_url: ", "doctor"),
    ((*UPDATE, "--ca-file", "/none.pem"), "configuration", "ca_file: /none.pem", "Correct ca_file"),
    ((*UPDATE, "--timeout", "nan"), "configuration", "timeout: ", "Correct timeout"),
    ((*UPDATE, "--proxy", "socks5://h:1"), "configuration", "proxy: ", "Correct proxy"),
    ((*UPDATE, "--timeout", "x"), "usage", "--timeout: invalid float value", "--help"),
    ((*UPDATE, "--max-retries", "-1"), "usage", "--max-retries: is not 0 or a greater", ""),
    ((*UPDATE, "--environment", "live"), "usage", "invalid choice: 'live' (choose from", ""),
    ((*UPDATE, "--customer_last_name", "-x"), "usage", "write --option=VALUE", ""),
    ((*UPDATE, "--customer_last_name", "New", "Last"), "usage", "put quotes around", ""),
    ((*UPDATE, "--customer_frist_name", "A"), "usage", "did you mean --customer_first_name?", ""),
    ((*UPDATE, "--first-name", "A"), "usage", "did you mean --customer_first_name?", ""),
    ((*UPDATE, "--dryrun"), "usage", "did you mean --dry-run?", ""),
    ((*UPDATE, "--quiet"), "usage", "unknown option --quiet (see skypostal update --help)", ""),
    ((*UPDATE, "--customer_first", "A"), "usage", "unknown option --customer_first;", ""),
    ((*UPDATE, "--proxy", f"http://u:{PASSWORD}@h:1"), "usage", "set HTTPS_PROXY", ""),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "kind", "message", "advice"), CORRECT_IT)
def test_2_says_what_to_correct(
    sandbox: Sandbox, arguments: Sequence[str], kind: str, message: str, advice: str
) -> None:
    done = run(*arguments, url=sandbox.url)
    assert outcome_of(done) == (2, kind, "not_sent")
    assert message.strip() in done.stderr.splitlines()[0] and advice in done.stderr
    assert not sandbox.requests


@pytest.mark.parametrize("name", ["app_key", "user_code", "customer_key"])
def test_2_for_a_missing_credential_names_its_variable(sandbox: Sandbox, name: str) -> None:
    variable = f"SKYPOSTAL_{name.upper()}"
    done = run(*UPDATE, url=sandbox.url, **{variable: None})
    assert outcome_of(done)[0] == 2 and outcome_of(done)[2] == "not_sent"
    assert done.stderr.startswith(f"skypostal update: {name}: is ")
    assert variable in done.stderr.splitlines()[1]


def test_an_option_wins_over_a_malformed_variable(sandbox: Sandbox) -> None:
    given = ("--user_code", str(USER_CODE))
    for option in [(), ("--dry-run",)]:
        done = run(*UPDATE, *given, *option, url=sandbox.url, SKYPOSTAL_USER_CODE="12x")
        assert done.returncode == 0


@pytest.mark.parametrize(
    ("scripts", "code", "kind", "delivery", "advice"),
    [
        ([status("404 Not Found")], 3, "status", "rejected", "doctor"),
        ([status("403 Forbidden")], 3, "status", "rejected", "doctor"),
        ([status(BUSY, b"", "Retry-After: 7")], 5, "status", "unknown", "asks to wait 7 s"),
        ([status("429 Too Many Requests")], 4, "status", "rejected", ""),
        ([status("500 Internal Server Error")], 5, "status", "unknown", ""),
        ([status("407 Proxy Authentication Required")], 4, "connect", "not_sent", "doctor"),
        ([LOST], 5, "lost", "unknown", "doctor"),
        ([[read, send(HALF), close]], 5, "lost", "unknown", ""),
        ([[read, hang]], 5, "timeout", "unknown", ""),
        ([ok(b"[]")], 5, "response", "unknown", ""),
        ([with_head("HTTP/1.1 200 OK", "Content-Length: 0")], 5, "response", "unknown", ""),
        (
            [ok(b'[{"_verify":false,"error":{"system_error":true}}]')],
            5,
            "refused",
            "unknown",
            "ask Sky",
        ),
        ([ok(b'[{"_verify":true,"error":{"system_error":true}}]')], 5, "refused", "unknown", "ask"),
        ([ok(b'[{"_verify":true,"error":"oh"}]')], 5, "refused", "unknown", "Run the same command"),
    ],
)
def test_what_the_service_does_has_a_status(
    scripts: Sequence[Script], code: int, kind: str, delivery: str, advice: str
) -> None:
    with serving(*scripts) as server:
        done = run(*ONCE, "--timeout", "1", url=server.url)
    assert outcome_of(done) == (code, kind, delivery)
    assert advice in done.stderr.splitlines()[1]
    assert json.loads(done.stdout)["error"]["attempts"] == 1


def test_3_for_a_wrong_key(sandbox: Sandbox) -> None:
    done = run(*UPDATE, url=sandbox.url, SKYPOSTAL_CUSTOMER_KEY="wrong")
    assert outcome_of(done) == (3, "refused", "rejected")
    assert "customer's key changes with the e-mail address" in done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["description"] and error["system_error"] is False


def test_4_without_a_network() -> None:
    for url in ("http://127.0.0.1:9", "https://nonexistent.invalid"):
        done = run(*ONCE, url=url)
        assert outcome_of(done) == (4, "connect", "not_sent")
        assert "`skypostal doctor` looks for the cause" in done.stderr


def test_4_for_a_certificate_that_is_not_trusted() -> None:
    server = Server(accept_updates(trustme.CA().issue_cert("localhost")))
    assert outcome_of(run(*UPDATE, url=f"https://localhost:{server.port}"))[:2] == (4, "tls")
    server.close()


def test_6_when_the_record_cannot_be_written(sandbox: Sandbox) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, *UPDATE, "--customer_first_name", "Ana"],
            env=environment(sandbox.url), stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 6
    assert done.stderr == "skypostal: cannot write to standard output: No space left on device\n"
    assert sandbox.customers[BOX_ID]["customer_first_name"] == "Ana"


@pytest.mark.parametrize("arguments", [UPDATE, (*UPDATE, "--no-json"), ("update", "--help")])
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


@pytest.mark.parametrize(
    ("start", "delivery", "says"),
    [("listening", "unknown", PERHAPS), ("full", "not_sent", "nothing was sent")],
)
def test_ctrl_c_says_whether_the_customer_was_changed(start: str, delivery: str, says: str) -> None:
    with serving([read, hang], start=start) as server:
        process = subprocess.Popen(
            [*COMMAND, *UPDATE], env=environment(server.url),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        deadline = time.monotonic() + 10
        while start == "listening" and not server.requests:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        # There is no sign of a connection that does not complete.
        time.sleep(1.5 if start == "full" else 0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    done = Done([], process.returncode, out, err)
    assert outcome_of(done) == (130, "cancelled", delivery)
    assert says in err and "Traceback" not in err
    assert json.loads(out)["error"]["attempts"] == 1


def test_an_interrupt_tells_its_delivery() -> None:
    code = """if True:
        import signal, skypostal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            skypostal.update_personal_info(customer_box_id=1, customer_key="k")
        except KeyboardInterrupt as interrupt:
            print(interrupt.delivery, interrupt.attempts)
    """
    with serving([read, lambda _: os.kill(process.pid, signal.SIGINT), pause_for(10)]) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", code], env=environment(server.url), stdout=subprocess.PIPE
        )
        assert process.communicate(timeout=10)[0] == b"unknown 1\n"


# Keys


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


@pytest.mark.parametrize("text", ["{}", "{}\n", "  {}\r\n\n", "\ufeff{}\n"])
def test_a_file_or_standard_input_gives_the_key(
    sandbox: Sandbox, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_text(text.format(CUSTOMER_KEY), encoding="utf-8")
    for wrong in (None, "wrong"):  # the file wins over the variable
        given = {"SKYPOSTAL_CUSTOMER_KEY": wrong}
        done = run(*UPDATE, "--key-file", str(file), url=sandbox.url, **given)
        assert (done.returncode, done.stderr) == (0, "")
        key = file.read_text("utf-8")
        done = run(*UPDATE, "--key-file", "-", stdin=key, url=sandbox.url, **given)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_file_that_others_can_read_is_told(
    sandbox: Sandbox, tmp_path: Path, mode: int
) -> None:
    file = tmp_path / "key"
    file.write_text(CUSTOMER_KEY)
    file.chmod(mode)
    done = run(*UPDATE, "--key-file", str(file), url=sandbox.url)
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


PROMPT = "customer_key (not shown): "


@pytest.mark.parametrize("option", [(), ("--key-file", "-")])
def test_a_terminal_is_asked_for_the_key_without_an_echo(
    sandbox: Sandbox, option: Sequence[str]
) -> None:
    given = environment(sandbox.url, SKYPOSTAL_CUSTOMER_KEY=None)
    terminal = Terminal(*COMMAND, *UPDATE, *option, **given)
    terminal.wait_for(PROMPT)
    terminal.type(f"{CUSTOMER_KEY}\n")
    code, seen = terminal.end()  # which fails if the key is to be seen
    assert code == 0 and seen.startswith(f"{PROMPT}\nUpdated")


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


# Dry runs


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


# The doctor


def doctor(*arguments: str, url: str = "", **changes: str | None) -> tuple[int, dict[str, Any]]:
    done = run("doctor", *arguments, url=url, **changes)
    assert done.stderr == ""
    diagnosis = json.loads(done.stdout)
    assert diagnosis["ok"] is (done.returncode == 0)
    checks = {check.pop("check"): check for check in diagnosis["checks"]}
    for check in checks.values():
        assert check["state"] in ("ok", "warning", "problem")
        assert bool(check["advice"]) is (check["state"] != "ok")
    return done.returncode, checks


def assert_problem(diagnosis: tuple[int, dict[str, Any]], check: str, text: str, hint: str) -> None:
    """That is the last problem, with that advice."""
    code, checks = diagnosis
    assert code == 1
    problems = [name for name, each in checks.items() if each["state"] == "problem"]
    assert problems == [check], checks
    assert text in checks[check]["text"] and hint in checks[check]["advice"], checks[check]


def test_the_doctor_finds_nothing_where_all_is_well(sandbox: Sandbox) -> None:
    code, checks = doctor(url=sandbox.url)
    assert code == 0 and {check["state"] for check in checks.values()} == {"ok"}
    assert list(checks) == [
        "version", "credentials", "address", "proxy", "name", "connection", "tls", "service",
        "clock",
    ]  # fmt: skip
    assert checks["address"]["text"] == f"{sandbox.url} (from SKYPOSTAL_BASE_URL)"
    (request,) = sandbox.requests
    assert (request.method, request.body, request.status) == ("GET", b"", 405)
    heads = str(request.headers)
    assert not any(secret in heads for secret in (APP_KEY, CUSTOMER_KEY))


def test_the_doctor_at_a_terminal_writes_lines_of_80_columns(sandbox: Sandbox) -> None:
    code, seen = at_terminal("doctor", url=sandbox.url, SKYPOSTAL_APP_KEY=None)
    assert code == 0 and max(map(len, seen.splitlines())) <= 80
    assert seen.startswith(f"ok       version      skypostal {__version__}, Python ")
    assert "\nwarning  credentials  SKYPOSTAL_APP_KEY is not set\n" in seen
    assert "\n                      -> set what SkyPostal gave you" in seen
    assert "Only an update shows" in seen


@pytest.mark.parametrize(
    ("changes", "state", "text"),
    [
        ({"SKYPOSTAL_USER_CODE": None, "SKYPOSTAL_APP_KEY": None}, "warning", "are not set"),
        ({"SKYPOSTAL_USER_CODE": "12x"}, "problem", "SKYPOSTAL_USER_CODE"),
        ({"SKYPOSTAL_APP_KEY": " "}, "problem", "SKYPOSTAL_APP_KEY"),
        ({"SKYPOSTAL_APP_KEY": f"'{APP_KEY}'"}, "warning", "a quotation mark"),
        ({"SKYPOSTAL_APP_KEY": f"{APP_KEY} "}, "warning", "a space"),
    ],
)
def test_the_doctor_looks_at_the_credentials(
    sandbox: Sandbox, changes: dict[str, str | None], state: str, text: str
) -> None:
    code, checks = doctor(url=sandbox.url, **changes)
    assert code == (1 if state == "problem" else 0)
    assert checks["credentials"]["state"] == state and text in checks["credentials"]["text"]
    assert checks["service"]["state"] == "ok"  # the rest is looked at all the same


def test_the_doctor_asks_about_a_misspelt_variable(sandbox: Sandbox) -> None:
    _, checks = doctor(url=sandbox.url, SKYPOSTAL_APP_KEY=None, SKYPOSTAL_APPKEY="k")
    assert checks["credentials"]["text"].endswith("not set; did you mean SKYPOSTAL_APPKEY?")
    _, checks = doctor(url=sandbox.url, SKYPOSTAL_APP_KEY=None)
    assert checks["credentials"]["text"] == "SKYPOSTAL_APP_KEY is not set"


def test_the_doctor_knows_the_keys_of_the_documentation() -> None:
    # Through a proxy that is not there, so that nothing leaves this machine.
    code, checks = doctor(SKYPOSTAL_BASE_URL=None, ALL_PROXY="http://127.0.0.1:9")
    assert code == 1
    assert "example of the public documentation" in checks["credentials"]["text"]


@pytest.mark.parametrize(
    ("arguments", "changes", "source"),
    [
        ((), {}, "https://api-box-test.skypostal.com (environment test, the default)"),
        ((), {"SKYPOSTAL_ENVIRONMENT": "production"},
         "https://api-box.skypostal.com (environment production, from SKYPOSTAL_ENVIRONMENT)"),
        (("--environment", "production"), {"SKYPOSTAL_BASE_URL": "http://127.0.0.1:9"},
         "https://api-box.skypostal.com (environment production, from --environment)"),
        (("--base-url", "http://localhost:9"), {}, "http://localhost:9 (from --base-url)"),
    ],
)  # fmt: skip
def test_the_doctor_says_where_the_address_comes_from(
    arguments: Sequence[str], changes: dict[str, str | None], source: str
) -> None:
    # Through a proxy that is not there, so that nothing leaves this machine.
    proxy = {"ALL_PROXY": "http://127.0.0.1:9"}
    _, checks = doctor(*arguments, url="", **{**proxy, **changes})
    assert checks["address"]["text"] == source


@pytest.mark.parametrize(
    ("arguments", "changes", "text"),
    [
        (("--base-url", "http://example.org"), {}, "base_url: plain http://"),
        ((), {"SKYPOSTAL_BASE_URL": "ftp://x"}, "SKYPOSTAL_BASE_URL"),
        ((), {"SKYPOSTAL_BASE_URL": None, "HTTPS_PROXY": f"socks5://u:{PASSWORD}@h:1"},
         "HTTPS_PROXY: "),
        (("--ca-file", "/none.pem"), {}, "ca_file: /none.pem"),
        ((), {"REQUESTS_CA_BUNDLE": "/none.pem"}, "ca_file: /none.pem"),
    ],
)  # fmt: skip
def test_the_doctor_names_an_unusable_setting(
    arguments: Sequence[str], changes: dict[str, str | None], text: str
) -> None:
    diagnosis = doctor(*arguments, **{"url": "http://127.0.0.1:9", **changes})  # type: ignore[arg-type]
    assert_problem(diagnosis, "settings", text, "correct the option or the variable")


def test_the_doctor_without_a_network() -> None:
    diagnosis = doctor(url="https://nonexistent.invalid")
    assert_problem(diagnosis, "name", "nonexistent.invalid is not found", "online?")
    diagnosis = doctor(url="http://127.0.0.1:9")
    assert_problem(diagnosis, "connection", "refused", "is the server running?")
    with serving(start="full") as server:
        diagnosis = doctor("--connect-timeout", "0.3", url=server.url)
    assert_problem(diagnosis, "connection", "within 0.3 s", "a firewall may be in between")


def test_the_doctor_says_which_proxy_and_why(sandbox: Sandbox) -> None:
    proxy = Proxy()
    _, checks = doctor(url=sandbox.url, http_proxy=proxy.url)
    assert checks["proxy"]["text"] == f"{proxy.url[7:]} (from http_proxy)"
    assert checks["service"]["state"] == "ok" and len(proxy.heads) == 1
    _, checks = doctor("--proxy", proxy.url, url=sandbox.url)
    assert checks["proxy"]["text"] == f"{proxy.url[7:]} (from --proxy)"
    for changes, why in [
        ({"NO_PROXY": "127.0.0.1", "HTTP_PROXY": proxy.url}, "NO_PROXY exempts 127.0.0.1"),
        ({"HTTPS_PROXY": proxy.url}, "it is for the other of http and https"),
    ]:
        _, checks = doctor(url=sandbox.url, **changes)
        assert checks["proxy"]["text"].startswith("none: ") and why in checks["proxy"]["text"]
    _, checks = doctor("--no-trust-env", url=sandbox.url, HTTP_PROXY=proxy.url)
    assert checks["proxy"]["text"] == "none: --no-trust-env; HTTP_PROXY is not read"
    proxy.close()


def test_the_doctor_on_a_proxy_that_does_not_serve(sandbox: Sandbox) -> None:
    locked = Proxy(f"user:{PASSWORD}")
    https = {"SKYPOSTAL_BASE_URL": "https://localhost:9"}
    for url in ("https://localhost:9", sandbox.url):
        diagnosis = doctor(url=url, ALL_PROXY=f"http://user:wrong@{locked.url[7:]}")
        assert_problem(diagnosis, "connection", "", "HTTPS_PROXY=http://user:password@host:port")
    diagnosis = doctor(**https, HTTPS_PROXY=f"http://user:{PASSWORD}@127.0.0.1:9")
    assert_problem(diagnosis, "connection", "refused", "is the proxy right")
    diagnosis = doctor(**https, HTTPS_PROXY="http://nonexistent.invalid:3128")
    assert_problem(diagnosis, "name", "nonexistent.invalid is not found (the proxy", "online?")
    locked.close()


def test_the_doctor_on_certificates(tmp_path: Path) -> None:
    ca, now = trustme.CA(), datetime.datetime.now(datetime.timezone.utc)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    day = datetime.timedelta(days=1)
    cases = [
        (ca.issue_cert("localhost"), {}, "issuer is not trusted", "--ca-file FILE or REQUESTS_CA"),
        (ca.issue_cert("localhost"), {"CURL_CA_BUNDLE": "/c.pem"}, "issuer", "names /c.pem, try"),
        (ca.issue_cert("other.example"), {"REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem")},
         "another host", "is the address right?"),
        (ca.issue_cert("localhost", not_after=now - day),
         {"REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem")}, "expired", f"it is {now:%Y-%m-}"),
        (ca.issue_cert("localhost", not_before=now + day, not_after=now + 2 * day),
         {"REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem")}, "not valid yet", "set its clock"),
    ]  # fmt: skip
    for certificate, changes, text, hint in cases:
        server = Server(accept_updates(certificate))
        diagnosis = doctor(url=f"https://localhost:{server.port}", **changes)
        assert_problem(diagnosis, "tls", text, hint)
        server.close()
    server = Server(lambda connection: None)
    diagnosis = doctor(url=f"https://localhost:{server.port}")
    assert_problem(diagnosis, "tls", "", "breaks TLS off")
    server.close()
    server = Server(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    diagnosis = doctor(url=f"https://localhost:{server.port}")
    assert_problem(diagnosis, "tls", "", "does not speak TLS")
    server.close()


def test_the_doctor_accepts_a_ca_file(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = Server(accept_updates(ca.issue_cert("localhost")))
    _, checks = doctor("--ca-file", f"{tmp_path}/ca.pem", url=f"https://localhost:{server.port}")
    assert checks["tls"]["state"] == "ok" and f"{tmp_path}/ca.pem" in checks["tls"]["text"]
    server.close()


@pytest.mark.parametrize(
    ("script", "text", "hint"),
    [
        (status("404 Not Found"), "HTTP 404", "check --base-url"),
        (status("302 Found", b"", "Location: http://login.example/"), "HTTP 302", "sign-in"),
        (status("403 Forbidden"), "HTTP 403", "keeps this machine out"),
        (status("503 Service Unavailable"), "HTTP 503", "try again later"),
        (ok(b"<html>Welcome to our hotel"), "HTTP 200", "something else answers"),
        ([read, close], "was lost", "does not answer"),
        ([read, hang], "no response within 1 s", "does not answer"),
        ([read, send(b"SSH-2.0-OpenSSH\r\n\r\n"), close], "not HTTP", "does not answer"),
    ],
)
def test_the_doctor_on_what_answers(script: Script, text: str, hint: str) -> None:
    with serving(script) as server:
        assert_problem(doctor("--timeout", "1", url=server.url), "service", text, hint)
        assert server.requests <= 1


@pytest.mark.parametrize(
    ("seconds", "state", "text"),
    [
        (-60, "ok", "s from the service's"),
        (-3600, "warning", "ahead of the service's"),
        (9e7, "warning", "days, "),
        (None, "ok", "tells no time"),
    ],
)
def test_the_doctor_compares_the_clocks(seconds: float | None, state: str, text: str) -> None:
    date = [] if seconds is None else [f"Date: {formatdate(time.time() + seconds, usegmt=True)}"]
    script = status("405 Method Not Allowed", b"", *date)
    with serving(script) as server:
        code, checks = doctor(url=server.url)
    assert code == 0
    assert checks["clock"]["state"] == state and text in checks["clock"]["text"]


def test_the_doctor_can_be_interrupted() -> None:
    with serving([read, hang]) as server:
        terminal = Terminal(*COMMAND, "doctor", **environment(server.url))
        terminal.wait_for(" name ")
        while not server.requests:
            time.sleep(0.01)
        terminal.type("\x03")
        code, seen = terminal.end()
    assert code == 130 and "skypostal doctor: interrupted" in seen


# Help, completion, the guide


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


GUIDE = (ROOT / "docs" / "cli.md").read_text()


def test_the_examples_of_the_guide_are_real(sandbox: Sandbox, tmp_path: Path) -> None:
    (exports,) = re.findall(r"```sh\n(export .*?)```", GUIDE, re.S)
    examples = re.findall(r"```console\n\$ (.*?)\n(.*?)```", GUIDE, re.S)
    assert len(examples) == 7
    folder = str(Path(sys.executable).parent)
    given = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
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
