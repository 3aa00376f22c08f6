"""`skypostal update`: each exit status, with what it says of the customer and what to do."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest
import trustme
from command_line import COMMAND, Done, environment, run, serving
from fault_cases import BUSY, HALF, LOST, ok, status, with_head
from fault_server import GOOD_BODY, Script, close, hang, pause_for, read, send
from proxy_server import PASSWORD
from tls_server import Server, accept_updates
from update_command import ONCE, PERHAPS, UPDATE, outcome_of

import skypostal
from skypostal._cli.update import _status
from skypostal.sandbox import BOX_ID, USER_CODE, Sandbox

CORRECT_IT = [
    (("update",), "invalid_field", "customer_box_id: is required", "Correct --customer_box_id"),
    ((*UPDATE, "--customer_gender", "X"), "invalid_field", "customer_gender: ", "Correct --cust"),
    ((*UPDATE, "--customer_first_name", ""), "invalid_field", "leave it out to keep", ""),
    (("update", "--customer_box_id", "x"), "invalid_field", "is not an integer", ""),
    (("update", "--customer_box_id", "9" * 30), "invalid_field", "is out of range", ""),
    (("update", "--customer_box_id", "-5"), "invalid_field", "is not positive", ""),
    ((*UPDATE, "--customer_tax_number", "1e3"), "invalid_field", "customer_tax_number: ", ""),
    ((*UPDATE, "--customer_birth_date", "2001-02-29"), "invalid_field", "customer_birth_date", ""),
    ((*UPDATE, "--user_code", "0"), "invalid_field", "user_code: must be", "--user_code"),
    ((*UPDATE, "--base-url", "http://example.org"), "configuration", "base_url: ", "doctor"),
    ((*UPDATE, "--ca-file", "/none.pem"), "configuration", "ca_file: /none.pem", "Correct ca_file"),
    ((*UPDATE, "--timeout", "nan"), "configuration", "timeout: ", "Correct timeout"),
    ((*UPDATE, "--proxy", "socks5://h:1"), "configuration", "proxy: ", "Correct proxy"),
    ((*UPDATE, "--timeout", "x"), "usage", "--timeout: invalid float value", "--help"),
    ((*UPDATE, "--max-retries", "-1"), "usage", "--max-retries: must be 0 or a greater", ""),
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
        ([status("407 Proxy Authentication Required")], 5, "status", "unknown", ""),
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


def test_1_for_a_bug_of_the_library_whatever_became_of_the_update() -> None:
    assert _status(skypostal.InternalError("a bug", delivery="unknown")) == 1


def test_a_number_with_a_huge_exponent_is_written_as_it_came() -> None:
    body = re.sub(rb'("customer_tax_number": *)[^,]*', rb"\g<1>1E+999999999", GOOD_BODY)
    assert body != GOOD_BODY
    with serving(ok(body)) as server:
        done = run(*ONCE, "--json", url=server.url)
    assert done.returncode == 0
    assert json.loads(done.stdout, parse_float=str)["customer_tax_number"] == "1E+999999999"
