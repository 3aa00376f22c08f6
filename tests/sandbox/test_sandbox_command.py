"""The command `skypostal sandbox`."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import documented
import pytest
from clients import NO_SUCH_FILE
from sandbox_requests import DOCUMENTED_RESPONSE, JSON, connect

from skypostal import Client
from skypostal import sandbox as module
from skypostal._cli.sandbox import _assignments
from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, PATH, USER_CODE, Sandbox

COMMAND = [sys.executable, "-m", "skypostal", "sandbox"]


@contextlib.contextmanager
def command(*args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen(
        [*COMMAND, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("quiet", [False, True])
def test_the_command_serves_until_a_signal(
    tmp_path: Path, number: signal.Signals, quiet: bool
) -> None:
    args = ["--db", str(tmp_path / "db"), "--idle-timeout", "5", *["--quiet"][: int(quiet)]]
    with command(*args) as (process, url), contextlib.closing(connect(url)) as connection:
        connection.request("POST", PATH, documented.REQUEST_BYTES, JSON)
        assert connection.getresponse().read() == DOCUMENTED_RESPONSE
        process.send_signal(number)
        process.wait(timeout=10)
        assert process.stdout is not None and process.stderr is not None
        out, err = process.stdout.read(), process.stderr.read()
    assert (process.returncode, err) == (0, "")
    assert f"export SKYPOSTAL_BASE_URL={url}\n" in out
    assert "not the service" in out and "811111" in out and "396" in out
    assert all(assumption in out for assumption in module.ASSUMPTIONS)
    assert (f" POST {PATH} 200 accepted\n" in out) is not quiet
    assert out.endswith("stopped\n")
    # The keys of the documentation stand in the lines that set a variable, and nowhere else.
    told = re.sub(r"^    export (SKYPOSTAL_\w+)=.*\n", "", out, flags=re.MULTILINE)
    assert not any(secret in told for secret in (APP_KEY, CUSTOMER_KEY, "New Name", "New Last"))
    with Sandbox(db=tmp_path / "db") as sandbox:
        assert sandbox.customers[BOX_ID]["customer_first_name"] == "New Name"


def test_the_variables_are_set_in_the_words_of_each_shell() -> None:
    variables = {"SKYPOSTAL_USER_CODE": "396", "SKYPOSTAL_APP_KEY": APP_KEY}
    script = _assignments(variables, for_windows=False)
    code = f"{script}env"
    for shell in ("sh", "bash"):
        done = subprocess.run([shell, "-euc", code], capture_output=True, text=True, check=True)
        assert {f"{name}={value}" for name, value in variables.items()} <= set(done.stdout.split())
    assert _assignments(variables, for_windows=True) == (
        f"    set SKYPOSTAL_USER_CODE=396\n    set SKYPOSTAL_APP_KEY={APP_KEY}\n"
        "or in PowerShell with\n"
        f"    $env:SKYPOSTAL_USER_CODE = '396'\n    $env:SKYPOSTAL_APP_KEY = '{APP_KEY}'\n"
    )


def test_the_command_speaks_tls() -> None:
    with command("--tls") as (process, url):
        assert process.stdout is not None and url.startswith("https://")
        lines = [process.stdout.readline() for _ in range(3)]
        (ca_file,) = re.findall(r"export REQUESTS_CA_BUNDLE=(\S+)", lines[-1])
        assert process.stdout.readline() == f"    export SSL_CERT_FILE={ca_file}\n"  # for C
        with Client(base_url=url, ca_file=ca_file, user_code=USER_CODE, app_key=APP_KEY) as client:
            info = client.update_personal_info(customer_box_id=BOX_ID, customer_key=CUSTOMER_KEY)
            assert info.cust_id == 51736835
        process.terminate()
        process.wait(timeout=10)
    assert not os.path.exists(ca_file)


TABLE = """\
customer_box_id;customer_key;First Name;customer_tax_number;customer_birth_date;app_key
101;the key of 101;;0123.450;1980-08-19;another
102;the key of 102;Zoë;;;
"""


def test_the_command_knows_the_customers_of_a_table(tmp_path: Path) -> None:
    table, db = tmp_path / "customers.csv", tmp_path / "db"
    table.write_text(TABLE, encoding="utf-8")
    arguments = ["--customers", str(table), "--db", str(db)]
    with command(*arguments) as (process, url):
        with Client(base_url=url, user_code=USER_CODE, app_key=APP_KEY) as client:
            one = {"customer_box_id": 101, "customer_key": "the key of 101"}
            info = client.update_personal_info(**one, customer_first_name="Ana")  # type: ignore[arg-type]
            assert (info.cust_id, info.customer_first_name) == (51736836, "Ana")
            seen = info.customer_tax_number, info.customer_birth_date
            assert list(map(str, seen)) == ["123.450", "1980-08-19"]
        process.terminate()
        assert process.stdout is not None
        out = process.stdout.read()
    assert f"It knows the 2 customers of {table} too.\n" in out
    assert f"SKYPOSTAL_CUSTOMER_KEY={CUSTOMER_KEY}\n" in out and "the key of" not in out
    # At the next start they are what the table says, with the same cust_id.
    table.write_text(f"{TABLE}{BOX_ID};another key;;;;\n", encoding="utf-8")
    with command(*arguments) as (process, _):
        process.terminate()
        assert process.stdout is not None
        out = process.stdout.read()
    assert "SKYPOSTAL_CUSTOMER" not in out and "another key" not in out
    with Sandbox(db=db) as sandbox:
        assert sandbox.customers[101]["customer_first_name"] is None
        assert sandbox.customers[101]["cust_id"] == 51736836
        assert sandbox.customers[BOX_ID]["customer_key"] == "another key"


@pytest.mark.parametrize(("table", "problem"), [
    (None, f": {NO_SUCH_FILE}"),
    ("", ": is empty; its first line names the columns"),
    ("customer_box_id\n1\n", ": has no column customer_key"),
    ("customer_box_id,customer_key\n1,k\nx,k\n", ":3: customer_box_id: must be a positive integer"),
    ("customer_box_id,customer_key\n1\n", ":2: has 1 cell, where the header has 2"),
    ("customer_box_id,customer_key,customer_birth_date\n1,k,2001-02-29\n",
     ":2: customer_birth_date: must be a calendar day"),
])  # fmt: skip
def test_a_table_that_is_none_is_refused(tmp_path: Path, table: str | None, problem: str) -> None:
    path = tmp_path / "customers.csv"
    if table is not None:
        path.write_text(table)
    done = subprocess.run(
        [*COMMAND, "--customers", str(path)], capture_output=True, text=True, timeout=20
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match(f"skypostal sandbox: {re.escape(str(path))}{problem}", done.stderr)


def test_a_customer_can_be_removed() -> None:
    with Sandbox() as sandbox:
        sandbox.customers.remove(BOX_ID)
        assert list(sandbox.customers) == []
        with pytest.raises(KeyError, match=str(BOX_ID)):
            sandbox.customers.remove(BOX_ID)


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["--port", "TAKEN"], "cannot listen on 127.0.0.1:"),
        (["--port", "65536"], "port: must be 0 to 65535"),
        (["--port", "x"], "invalid int value"),
        (["--host", "no-such-host.invalid"], "cannot listen on no-such-host.invalid:0"),
        (["--db", "FOLDER/none/db"], "cannot use the database"),
        (["--db", "FOLDER/text"], "cannot use the database"),
        (["--idle-timeout", "0"], "idle_timeout"),
    ],
)
def test_the_command_says_what_is_wrong(
    sandbox: Sandbox, tmp_path: Path, args: list[str], problem: str
) -> None:
    (tmp_path / "text").write_text("this is not a database" * 100)
    taken = sandbox.url.rpartition(":")[2]
    args = [arg.replace("TAKEN", taken).replace("FOLDER", str(tmp_path)) for arg in args]
    done = subprocess.run([*COMMAND, *args], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (2, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("skypostal sandbox: ") and problem in last
    assert "Traceback" not in done.stderr


def test_help() -> None:
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0
    for option in (
        "--host",
        "--port",
        "--db FILE",
        "--customers FILE",
        "--idle-timeout",
        "--tls",
        "--quiet",
    ):
        assert option in done.stdout
