"""examples/legacy.c, a job as a legacy system has it: a file of customers in, a report out."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from c_library import VALGRIND, CLibrary
from fault_server import Connection, FaultServer
from project import ROOT, TESTS

from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, PATH, USER_CODE, Sandbox

REPORT = TESTS / "c" / "legacy_report.txt"
# Boxes whose calls are without a response, by a service that is not ready, and by one that is gone
# afterwards.
LOST, BUSY, LAST = 811112, 811113, 811114


def record(
    box: object = BOX_ID,
    first: str = "",
    *,
    last: str = "",
    key: str = CUSTOMER_KEY,
    identity: str = "",
    tax: str = "",
    birth: str = "",
    gender: str = "",
) -> bytes:
    text = f"{box:<12}{key:<44}{first:<30}{last:<30}{identity:<20}{tax:>30}{birth:<8}{gender:<1}"
    assert len(text) == 175
    return text.encode("latin-1")


GOOD = record(BOX_ID, "Zoë", last="Muñoz", tax="1234.50", birth="19691231", gender="F")
RECORDS = [
    GOOD + b"\n",
    record(BOX_ID, "New Name") + b"\r\n",  # the rest stays as it is
    record() + b"\n",  # nothing changes
    record(f"{BOX_ID:>12}", gender="F") + b"\n",
    GOOD[:100] + b"\n",  # cut
    GOOD + b" \n",  # too long
    GOOD + b"x" * 100_000 + b"\r\n",
    b"\n",
    b"81111\n",
    record("8111x1") + b"\n",
    record("") + b"\n",
    record(0) + b"\n",
    record(key="") + b"\n",
    record(first="a\tb") + b"\n",
    record(last="a\0b") + b"\n",
    record(identity="\x80") + b"\n",  # C1: a file in Windows-1252
    record(tax="1,234.50") + b"\n",
    record(birth="19800230") + b"\n",
    record(birth="1980") + b"\n",
    record(birth="1980ä819") + b"\n",
    record(gender="X") + b"\n",
    record(999999) + b"\n",
    record(key="not the key") + b"\r\n",
    record(LOST, "Lost") + b"\n",
    record(BUSY, "Busy") + b"\n",
    record(LAST, "Last") + b"\n",
    record(BOX_ID, "Unreached") + b"\n",
    record(BOX_ID, "Unreached", gender="X"),  # the last line has no end
]

Legacy = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(params=["c89", "c++98"])
def legacy(
    request: pytest.FixtureRequest, c_library: CLibrary, sandbox: Sandbox, tmp_path: Path
) -> Legacy:
    """Runs the job over these bytes, with the report in tmp_path / "report"."""
    flags = (f"-std={request.param}", *(["-x", "c++"] if "++" in request.param else []))
    program = c_library.compile(ROOT / "examples" / "legacy.c", *flags)

    def run(
        content: bytes,
        url: str = "",
        *arguments: str,
        under: list[str] | None = None,
        **changes: str,
    ) -> subprocess.CompletedProcess[str]:
        (tmp_path / "input").write_bytes(content)
        environment = {
            **os.environ,
            "SKYPOSTAL_BASE_URL": url or sandbox.url,
            "SKYPOSTAL_USER_CODE": str(USER_CODE),
            "SKYPOSTAL_APP_KEY": APP_KEY,
            **changes,
        }
        files = arguments or (str(tmp_path / "input"), str(tmp_path / "report"))
        command = [*(under or []), str(program), *files]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    return run


@pytest.fixture
def service(sandbox: Sandbox) -> Iterator[str]:
    """The sandbox behind a server that fails for some customers."""
    for box_id in (BUSY, LAST):
        sandbox.customers.add(customer_box_id=box_id, customer_key=CUSTOMER_KEY)
    host = sandbox.url.removeprefix("http://")

    def step(connection: Connection) -> None:
        request = b""
        while not request.endswith(b"}"):
            request += connection.receive()
        body = request.partition(b"\r\n\r\n")[2]
        box_id = json.loads(body)["customer_box_id"]
        if box_id == LOST:
            return connection.socket.close()
        if box_id == BUSY:
            connection.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
            return None
        forward = http.client.HTTPConnection(host)
        forward.request("POST", PATH, body, {"Content-Type": "application/json"})
        response = forward.getresponse().read()
        forward.close()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(response)
        if box_id == LAST:
            server.leave()
            head += b"Connection: close\r\n"
        connection.send(head + b"\r\n" + response)
        return None

    with FaultServer([[step]] * 100) as server:
        yield server.url


def test_the_report_is_right_to_the_byte(
    legacy: Legacy, service: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    done = legacy(b"".join(RECORDS), service)
    assert done.returncode == 8, done.stderr
    report = (tmp_path / "report").read_bytes()
    assert report == REPORT.read_bytes()
    lines = report.decode("ascii").splitlines()
    assert {len(line) for line in lines[: len(RECORDS)]} == {90}
    customer = sandbox.customers[BOX_ID]
    assert customer["customer_first_name"] == "New Name"
    assert customer["customer_last_name"] == "Muñoz"
    assert str(customer["customer_tax_number"]) == "1234.50"
    assert customer["customer_birth_date"] == "1969-12-31"
    assert sandbox.customers[LAST]["customer_first_name"] == "Last"
    # The whole of each error, but no key.
    assert "record 18: customer_birth_date: must be a calendar day" in done.stderr
    assert APP_KEY not in done.stderr and CUSTOMER_KEY not in done.stderr


@pytest.mark.memcheck
def test_no_memory_is_lost_or_misused(legacy: Legacy, service: str) -> None:
    done = legacy(b"".join(RECORDS), service, under=VALGRIND)
    assert done.returncode == 8, done.stderr


@pytest.mark.parametrize(
    ("content", "status", "counts"),
    [
        (b"", 0, [0, 0, 0, 0, 0, 0]),
        (GOOD, 0, [1, 0, 0, 0, 0, 0]),
        (GOOD + b"\r\n" + GOOD + b"\n", 0, [2, 0, 0, 0, 0, 0]),
        (GOOD + b"\n\n", 4, [1, 1, 0, 0, 0, 0]),
        (record(gender="x"), 4, [0, 0, 1, 0, 0, 0]),
        (record(key="wrong"), 4, [0, 0, 0, 1, 0, 0]),
    ],
)
def test_the_exit_status_tells_a_scheduler(
    content: bytes, status: int, counts: list[int], legacy: Legacy, tmp_path: Path
) -> None:
    assert legacy(content).returncode == status
    lines = (tmp_path / "report").read_text().splitlines()
    totals = [int(line[-6:]) for line in lines if line.startswith("TOTAL")]
    assert totals == [*counts, sum(counts)]


def test_a_job_that_cannot_run_says_why(legacy: Legacy, tmp_path: Path) -> None:
    report = str(tmp_path / "report")
    for done, problem in [
        (legacy(GOOD, "", "one"), "usage: legacy INPUT REPORT"),
        (legacy(GOOD, "", str(tmp_path / "missing"), report), "No such file"),
        (legacy(GOOD, "", str(tmp_path), report), "Is a directory"),
        (legacy(GOOD, "", str(tmp_path / "input"), str(tmp_path / "no" / "x")), "No such file"),
        (legacy(GOOD, "", str(tmp_path / "input"), "/dev/full"), "No space left"),
        (legacy(GOOD, "nonsense"), "base_url: "),
        (legacy(GOOD, SKYPOSTAL_APP_KEY=""), "record 1: app_key: is missing"),
    ]:
        assert done.returncode == 12, problem
        assert problem in done.stderr


def test_a_job_stops_at_the_first_record_that_it_cannot_report(
    legacy: Legacy, sandbox: Sandbox, tmp_path: Path
) -> None:
    done = legacy((GOOD + b"\n") * 5, "", str(tmp_path / "input"), "/dev/full")
    assert (done.returncode, len(sandbox.requests)) == (12, 1)
