"""The class `Sandbox`: what it keeps, how it starts and ends."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sandbox_requests import JSON, body_of, connect, dial, raw_body, send, update

from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, PATH, Sandbox


def test_requests_and_connections(sandbox: Sandbox) -> None:
    with contextlib.closing(connect(sandbox.url)) as connection:
        for _ in range(2):
            connection.request("POST", PATH, body_of(), {**JSON, "X-One": "1"})
            connection.getresponse().read()
    send(sandbox, None, method="GET", path="/x")
    assert sandbox.connections == 2
    assert [(r.method, r.path, r.connection, r.status) for r in sandbox.requests] == [
        ("POST", PATH, 1, 200),
        ("POST", PATH, 1, 200),
        ("GET", "/x", 2, 404),
    ]
    first = sandbox.requests[0]
    assert (first.body, first.headers["x-oNE"]) == (body_of(), "1")
    assert APP_KEY not in repr(sandbox.requests) and CUSTOMER_KEY not in repr(sandbox.requests)
    sandbox.requests.clear()
    assert len(sandbox.requests) == 3


def test_only_the_last_requests_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skypostal.sandbox._sandbox.KEPT_REQUESTS", 2)
    with Sandbox() as sandbox:
        for path in ("/1", "/2", "/3"):
            send(sandbox, None, method="GET", path=path)
        assert [r.path for r in sandbox.requests] == ["/2", "/3"]


def test_customers_is_a_mapping_to_add_to(sandbox: Sandbox) -> None:
    customers = sandbox.customers
    customers.add(customer_box_id=5, customer_key="k", customer_tax_number=Decimal("1.50"))
    assert (list(customers), len(customers)) == ([5, BOX_ID], 2)
    assert 5 in customers and 6 not in customers
    with pytest.raises(KeyError):
        customers[6]
    assert customers[5]["cust_id"] == 51736836
    response = update(sandbox, body_of(customer_box_id=5, customer_key="k"))
    assert (response["_verify"], response["cust_id"]) == (True, 51736836)
    assert str(response["customer_tax_number"]) == "1.50"
    assert response["customer_birth_date"] is response["customer_first_name"] is None
    with pytest.raises(ValueError, match="taken"):
        customers.add(customer_box_id=5, customer_key="other")
    with pytest.raises(ValueError, match="customer_birth_date"):
        customers.add(customer_box_id=7, customer_key="k", customer_birth_date="x")
    assert customers[5]["customer_key"] == "k" and 7 not in customers
    customers[5]["customer_key"] = "changed"
    assert customers[5]["customer_key"] == "k"


def test_a_file_keeps_customers(tmp_path: Path) -> None:
    db = tmp_path / "customers.db"
    with Sandbox(db=db) as sandbox:
        update(sandbox, raw_body(r'"customer_first_name":"\ud83d","customer_tax_number":1.50'))
        sandbox.customers.add(customer_box_id=5, customer_key="k")
        kept = dict(sandbox.customers)
    with Sandbox(db=str(db)) as sandbox:
        assert dict(sandbox.customers) == kept
        assert update(sandbox, body_of())["customer_first_name"] == "\ud83d"
    with Sandbox() as sandbox:
        assert list(sandbox.customers) == [BOX_ID]


def test_eight_threads(sandbox: Sandbox) -> None:
    """Each response shows what its own request set: an update and its echo are one transaction."""
    barrier = threading.Barrier(8)

    def run(worker: int) -> None:
        barrier.wait()
        with contextlib.closing(connect(sandbox.url)) as connection:
            for turn in range(50):
                name = f"{worker}-{turn}"
                body = body_of(customer_first_name=name, customer_last_name=name)
                connection.request("POST", PATH, body, JSON)
                (item,) = json.loads(connection.getresponse().read())
                assert item["customer_first_name"] == item["customer_last_name"] == name

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    assert (len(sandbox.requests), sandbox.connections) == (400, 8)
    record = sandbox.customers[BOX_ID]
    assert record["customer_first_name"] == record["customer_last_name"]


def test_a_thousand_calls_take_well_under_two_seconds(sandbox: Sandbox) -> None:
    """Of work, both ends counted, so that a busy machine fails nothing; and without waits."""
    body = body_of(customer_first_name="X")
    begin, begin_of_work = time.monotonic(), time.process_time()
    with contextlib.closing(connect(sandbox.url)) as connection:
        for _ in range(1000):
            connection.request("POST", PATH, body, JSON)
            assert connection.getresponse().read().startswith(b'[{"_verify":true')
    assert time.process_time() - begin_of_work < 2
    assert time.monotonic() - begin < 20
    assert sandbox.connections == 10


def test_close_ends_everything() -> None:
    threads = threading.active_count()
    sandbox = Sandbox()
    sandbox.start()
    with pytest.raises(RuntimeError):
        sandbox.start()
    with dial(sandbox) as idle, dial(sandbox) as half:
        half.sendall(b"POST ")
        while sandbox.connections < 2:
            time.sleep(0.01)
        begin = time.monotonic()
        sandbox.close()
        assert time.monotonic() - begin < 2
        assert idle.recv(1) == half.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        dial(sandbox)
    with pytest.raises(sqlite3.ProgrammingError):
        len(sandbox.customers)
    sandbox.close()
    assert threading.active_count() <= threads


def test_each_test_can_have_its_own() -> None:
    """It takes well under a millisecond on an idle machine; half of them may be disturbed here."""
    times = []
    for _ in range(20):
        begin = time.monotonic()
        with Sandbox():
            pass
        times.append(time.monotonic() - begin)
    assert statistics.median(times) < 0.01


def test_close_without_start() -> None:
    Sandbox().close()


@pytest.mark.parametrize(
    "options", [{"idle_timeout": 0}, {"idle_timeout": float("nan")}, {"max_requests": 0}]
)
def test_impossible_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Sandbox(**options)


def test_log_lines_hold_no_secrets() -> None:
    lines: list[str] = []
    with Sandbox(log=lines.append) as sandbox:
        send(sandbox, body_of(customer_first_name="Ana"))
        send(sandbox, body_of(customer_key="wrong-secret"))
        send(sandbox, raw_body('"Ana":1,"Ana":2'))
        send(sandbox, None, method="GET", path="/x?app_key=" + APP_KEY)
    assert [line.partition(" ")[2] for line in lines] == [
        f"POST {PATH} 200 accepted",
        f"POST {PATH} 200 refused: customer_box_id and customer_key do not match",
        f"POST {PATH} 400 malformed: a duplicate member",
        "GET /x 404 unknown path",
    ]
