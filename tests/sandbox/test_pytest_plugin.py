"""The fixtures for users' tests, in a user's project: found, configured, and out of the way."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
from code_blocks import code_blocks
from project import ROOT

import skypostal
from skypostal import Client
from skypostal.sandbox import ASSUMPTIONS, BOX_ID, CUSTOMER_KEY, Sandbox

pytest_plugins = ["pytester"]

HEAD = """
import asyncio, os, pytest, skypostal
from skypostal.sandbox import BOX_ID, CUSTOMER_KEY
WHO = {"customer_box_id": BOX_ID, "customer_key": CUSTOMER_KEY}
"""


def test_the_installed_package_brings_the_plugin() -> None:
    points = importlib.metadata.distribution("skypostal").entry_points
    assert [(point.name, point.value) for point in points if point.group == "pytest11"] == [
        ("skypostal", "skypostal.pytest_plugin")
    ]


def test_each_test_has_a_sandbox_and_a_client_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        HEAD
        + """
urls = []

@pytest.mark.parametrize("turn", [1, 2])
def test_update(skypostal_sandbox, skypostal_client, skypostal_async_client, turn):
    record = lambda: skypostal_sandbox.customers[BOX_ID]["customer_first_name"]
    assert record() == "Old Name"
    info = skypostal_client.update_personal_info(**WHO, customer_first_name="Ana")
    assert info.customer_first_name == record() == "Ana"
    assert [request.changes for request in skypostal_sandbox.requests] == [
        {"customer_first_name": "Ana"}
    ]
    update = skypostal_async_client.update_personal_info(**WHO)
    assert asyncio.run(update).customer_first_name == "Ana"
    urls.append((skypostal_sandbox, skypostal_client, skypostal_async_client))

def test_both_have_ended():
    for sandbox, client, async_client in urls:
        with pytest.raises(skypostal.ConfigurationError, match="closed"):
            client.update_personal_info(**WHO)
        with pytest.raises(skypostal.ConfigurationError, match="closed"):
            asyncio.run(async_client.update_personal_info(**WHO))
        with pytest.raises(skypostal.ConnectError):
            skypostal.Client(
                base_url=sandbox.url, user_code=1, app_key="k", max_retries=0
            ).update_personal_info(**WHO)
"""
    )
    result = pytester.runpytest("--strict-markers", "-W", "error")
    result.assert_outcomes(passed=3)


def test_the_environment_and_no_proxy_in_the_way(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.setenv("SKYPOSTAL_ENVIRONMENT", "live")
    monkeypatch.setenv("SKYPOSTAL_APP_KEY_FILE", "/run/secrets/app_key")
    pytester.makepyfile(
        HEAD
        + """
tls = pytest.mark.skypostal_sandbox(tls=True)

@pytest.mark.parametrize("scheme", ["http", pytest.param("https", marks=tls)])
def test_reach(scheme, skypostal_sandbox, skypostal_client, skypostal_environment):
    assert skypostal_sandbox.url.startswith(scheme + "://")
    assert skypostal_client.update_personal_info(**WHO).cust_id == 51736835
    assert skypostal.update_personal_info(**WHO).cust_id == 51736835
    assert os.environ["NO_PROXY"] == "127.0.0.1,example.org"
    assert len(skypostal_sandbox.requests) == 2

def test_the_client_alone(skypostal_client):
    assert skypostal_client.update_personal_info(**WHO).cust_id == 51736835

def test_the_environment_is_as_before():
    assert "SKYPOSTAL_BASE_URL" not in os.environ and "REQUESTS_CA_BUNDLE" not in os.environ
    assert os.environ["NO_PROXY"] == "example.org"
    assert os.environ["SKYPOSTAL_ENVIRONMENT"] == "live"
    assert os.environ["SKYPOSTAL_APP_KEY_FILE"] == "/run/secrets/app_key"
"""
    )
    # In a process of its own, as pytester imports cryptography anew, which it cannot bear.
    pytester.runpytest_subprocess().assert_outcomes(passed=4)


def test_options_of_a_project_and_of_one_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
import pytest

@pytest.fixture
def skypostal_client_options():
    return {"max_retries": 1, "timeout": 5}

@pytest.fixture
def skypostal_sandbox_options():
    return {"max_requests": 1}
"""
    )
    pytester.makepyfile(
        HEAD
        + """
def attempts(client, sandbox):
    sandbox.fail_next(retry_after=0, times=9)
    with pytest.raises(skypostal.StatusError) as caught:
        client.update_personal_info(**WHO)
    sandbox.clear_faults()
    assert sandbox.connections == len(sandbox.requests) == caught.value.attempts
    return caught.value.attempts

def test_project(skypostal_client, skypostal_sandbox):
    assert attempts(skypostal_client, skypostal_sandbox) == 2

@pytest.mark.skypostal_client(max_retries=3)
class TestClass:
    def test_class(self, skypostal_client, skypostal_sandbox):
        assert attempts(skypostal_client, skypostal_sandbox) == 4

    @pytest.mark.skypostal_client(max_retries=0)
    @pytest.mark.skypostal_sandbox(host="localhost")
    def test_nearest(self, skypostal_client, skypostal_sandbox):
        assert attempts(skypostal_client, skypostal_sandbox) == 1
        assert "//localhost:" in skypostal_sandbox.url
"""
    )
    pytester.runpytest("--strict-markers").assert_outcomes(passed=3)


def test_mistaken_options_are_told(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        HEAD
        + """
@pytest.mark.skypostal_client(0)
def test_position(skypostal_client): pass

@pytest.mark.skypostal_client(max_retires=0)
def test_client(skypostal_client): pass

@pytest.mark.skypostal_sandbox(max_requests=0)
def test_sandbox(skypostal_sandbox): pass
"""
    )
    result = pytester.runpytest()
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(
        [
            "*TypeError: the marker skypostal_client takes options by name only*",
            "*TypeError: *max_retires*",
            "*ValueError: max_requests: must be 1 or more*",
        ]
    )


def test_faults_that_nothing_took_fail_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        HEAD
        + """
def test_in_vain(skypostal_sandbox):
    skypostal_sandbox.fail_next(status=500)
    skypostal_sandbox.drop_connection(times=2)

def test_forgiven(skypostal_sandbox):
    skypostal_sandbox.drop_connection()
    skypostal_sandbox.clear_faults()
"""
    )
    result = pytester.runpytest()
    result.assert_outcomes(passed=2, errors=1)
    faults = "fail_next(status=500), drop_connection(), drop_connection()"
    result.stdout.fnmatch_lines([f"faults that no update has taken: {faults}"])


def test_in_parallel(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        HEAD
        + """
@pytest.mark.parametrize("turn", range(8))
def test_update(skypostal_client, skypostal_sandbox, turn):
    skypostal_client.update_personal_info(**WHO, customer_first_name=str(turn))
    assert skypostal_sandbox.customers[BOX_ID]["customer_first_name"] == str(turn)
    assert skypostal_sandbox.connections == 1
"""
    )
    pytester.runpytest_subprocess("-n", "2").assert_outcomes(passed=8)


def test_it_can_be_left_out(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(skypostal_client): pass")
    result = pytester.runpytest("-p", "no:skypostal")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'skypostal_client' not found"])


def test_who_does_not_use_it_does_not_load_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import sys

def test_nothing():
    assert "skypostal.pytest_plugin" in sys.modules
    assert not {"skypostal.sandbox", "sqlite3", "trustme"} & set(sys.modules)
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    code = "import sys, skypostal.sandbox; print({'pytest', 'trustme'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n"


def test_pytest_shows_what_there_is(pytester: pytest.Pytester) -> None:
    shown = pytester.runpytest("--fixtures").stdout.str()
    names = ("sandbox", "client", "async_client", "environment", "sandbox_options")
    for name in (*names, "client_options"):
        assert f"\nskypostal_{name} -- " in shown
    assert "no docstring available" not in shown.partition("\nskypostal_")[2]
    markers = pytester.runpytest("--markers").stdout.str()
    assert "@pytest.mark.skypostal_sandbox(**options): " in markers
    assert "@pytest.mark.skypostal_client(**options): " in markers


GUIDE = ROOT / "docs" / "testing.md"


def test_the_guide_runs(pytester: pytest.Pytester) -> None:
    """Each of its blocks is a file of one project, by its title."""
    blocks = code_blocks(GUIDE, "python")
    for block in blocks:
        file = Path(pytester.path, block.title)
        assert block.title and not file.exists()
        file.parent.mkdir(exist_ok=True)
        file.write_text(block.padded, encoding="utf-8")
    pytester.makeini("[pytest]\npythonpath = .")
    tests = sum(len(re.findall(r"^ *def test_", block.code, re.MULTILINE)) for block in blocks)
    # In a process of its own, as above.
    result = pytester.runpytest_subprocess("-W", "error", "--strict-markers")
    result.assert_outcomes(passed=tests)
    assert tests > 10


def table() -> list[list[str]]:
    """The rows of its table of faults."""
    rows = [line.strip("|").split(" | ") for line in GUIDE.read_text().splitlines()]
    return [[cell.strip(" `") for cell in row] for row in rows if len(row) == 4 and "`" in row[3]]


@pytest.mark.skypostal_client(max_retries=0, timeout=0.3)
@pytest.mark.parametrize(("call", "does", "error", "delivery"), table()[1:])
def test_the_guides_table_is_true(
    call: str, does: str, error: str, delivery: str, client: Client, sandbox: Sandbox
) -> None:
    eval(f"sandbox.{call}", {"sandbox": sandbox})
    with pytest.raises(getattr(skypostal, error)) as caught:
        client.update_personal_info(
            customer_box_id=BOX_ID, customer_key=CUSTOMER_KEY, customer_first_name="New Name"
        )
    assert (type(caught.value).__name__, caught.value.delivery) == (error, delivery)
    applied = sandbox.customers[BOX_ID]["customer_first_name"] == "New Name"
    assert applied == ("makes the change" in does) == sandbox.requests[0].applied
    status = re.search("status ([0-9]+)", does)
    assert sandbox.requests[0].status == (
        int(status[1]) if status else 200 if call.startswith("delay") else None
    )


def test_the_guide_tells_every_assumption() -> None:
    shown = GUIDE.read_text().partition("## What the sandbox is not")[2].partition("\n## ")[0]
    assert tuple(re.findall("^- (.*)$", shown, re.MULTILINE)) == ASSUMPTIONS
