"""The programs of the guide to engines, each with a worker killed in mid-run
and its rate looked at, where it has workers.

Those for Ray Data and Spark are run by `make test-engines`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from code_blocks import CodeBlock, code_blocks
from project import ROOT, environment_of

import skypostal
from skypostal import Client
from skypostal.sandbox import CUSTOMER_KEY, Sandbox

GUIDE = ROOT / "docs" / "engines.md"
PROGRAMS = {block.title: block for block in code_blocks(GUIDE, "python")}
FILES, ROWS = 9, 20
IDS = range(1, FILES * ROWS + 1)
# As many as all workers of Dask have in flight, so that each is in mid-call.
HUNG = 24
RATE = 60


@pytest.fixture
def folder(sandbox: Sandbox, tmp_path: Path) -> Path:
    """The files of customers that the programs read, each customer with a name to get."""
    (tmp_path / "customers").mkdir()
    for first in IDS[::ROWS]:
        ids = list(range(first, first + ROWS))
        for number in ids:
            sandbox.customers.add(customer_box_id=number, customer_key=f"key {number}")
        table = {
            "id": ids,
            "customer_box_id": ids,
            "customer_key": [f"key {number}" for number in ids],
            "customer_first_name": [f"Name {number}" for number in ids],
        }
        pq.write_table(pa.table(table), tmp_path / "customers" / f"{first:03}.parquet")
    return tmp_path


def start(program: CodeBlock, folder: Path, sandbox: Sandbox) -> subprocess.Popen[bytes]:
    code = program.code.replace("the customer's key", CUSTOMER_KEY)
    (folder / program.title).write_text(code.replace("AT_ONCE = 200,", f"AT_ONCE = {RATE},"))
    environment = {
        **environment_of(sandbox),
        # The first Python of PATH is this one: Spark starts its workers with that.
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),
        "HOME": str(folder),
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYSPARK_SUBMIT_ARGS": "--master local-cluster[2,1,1024] pyspark-shell",
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    with open(folder / "log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, program.title],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def finish(running: subprocess.Popen[bytes], folder: Path) -> None:
    try:
        code = running.wait(180)
    finally:
        running.kill()
        running.wait()
    assert code == 0, (folder / "log").read_text()


def check(sandbox: Sandbox, folder: Path) -> None:
    """Every customer has the name, and every row is in the report once."""
    report = pq.read_table(folder / "report").sort_by("id")
    assert report["id"].to_pylist() == list(IDS)
    assert set(report["ok"].to_pylist()) == {True}
    names = [f"Name {number}" for number in IDS]
    assert report["customer_first_name"].to_pylist() == names
    assert [sandbox.customers[number]["customer_first_name"] for number in IDS] == names
    types = {field.name: field.type for field in report.schema}
    assert types == {"id": pa.int64(), **{f.name: f.type for f in skypostal.update_batch_schema()}}


def wait_until_all_hang(sandbox: Sandbox, completed: int, running: subprocess.Popen[bytes]) -> None:
    """Waits until no more requests come."""
    before, deadline = -1, time.monotonic() + 120
    while True:
        now = len(sandbox.requests)
        if now > completed and now == before:
            return
        assert running.poll() is None and time.monotonic() < deadline
        before = now
        time.sleep(0.5)


def kill_a_worker(sandbox: Sandbox) -> None:
    """Kills a process that is connected to the sandbox."""
    port = int(sandbox.url.rpartition(":")[2])
    workers = {
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.raddr and connection.raddr.port == port and connection.status == "ESTABLISHED"
    }
    os.kill(min(workers - {os.getpid(), None}), signal.SIGKILL)


@contextlib.contextmanager
def rate_is_kept(sandbox: Sandbox) -> Iterator[None]:
    """Looks all the time how many requests there were, and whether in any second more than
    the workers may make together. Of a task the first is made at once, whatever came before."""
    seen: list[tuple[float, int]] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.05):
            seen.append((time.monotonic(), len(sandbox.requests)))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        done.set()
        looking.join()
    fastest = 0.0
    for then, before in seen:
        later = [(now - then, count - before) for now, count in seen if now - then >= 1]
        fastest = max(fastest, later[0][1] / later[0][0] if later else 0)
    assert RATE / 4 < fastest < RATE * 1.2, fastest


def run_with_a_worker_killed(title: str, sandbox: Sandbox, folder: Path) -> None:
    completed = len(IDS) // 4
    sandbox.delay(0.005, times=completed)
    sandbox.delay(3, times=HUNG)
    running = start(PROGRAMS[title], folder, sandbox)
    with rate_is_kept(sandbox):
        try:
            wait_until_all_hang(sandbox, completed, running)
            kill_a_worker(sandbox)
        finally:
            finish(running, folder)
    check(sandbox, folder)
    # What the dead worker had in flight was sent again.
    assert len(sandbox.requests) > len(IDS)


def test_a_dask_cluster_updates_all_though_a_worker_is_killed(
    sandbox: Sandbox, folder: Path
) -> None:
    run_with_a_worker_killed("with_dask.py", sandbox, folder)


def test_what_failed_is_given_once_more(sandbox: Sandbox, client: Client, folder: Path) -> None:
    sandbox.fail_next(status=500, times=7)
    report = client.update_batch(pq.read_table(folder / "customers"), keep=["id"])
    assert report["ok"].to_pylist().count(False) == 7
    pq.write_table(report, folder / "report")

    finish(start(PROGRAMS["again.py"], folder, sandbox), folder)
    assert (folder / "log").read_text() == f"{[True] * 7}\n"
    assert len(sandbox.requests) == len(IDS) + 7
    for number in IDS:
        assert sandbox.customers[number]["customer_first_name"] == f"Name {number}"


def test_the_table_of_the_guide(sandbox: Sandbox, folder: Path) -> None:
    finish(start(PROGRAMS["table.py"], folder, sandbox), folder)
    (shown,) = [block.code for block in code_blocks(GUIDE, "text") if block.title == "table.py"]
    assert (folder / "log").read_text() == " ".join(shown.split()) + "\n"


@pytest.mark.engines
@pytest.mark.parametrize("title", ["with_ray.py", "with_spark.py"])
def test_an_engine_updates_all_though_a_worker_is_killed(
    title: str, sandbox: Sandbox, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_with_a_worker_killed(title, sandbox, folder)
    with capsys.disabled():
        print(f"\n{title}: {len(IDS)} rows by {len(sandbox.requests)} requests", end=" ")
