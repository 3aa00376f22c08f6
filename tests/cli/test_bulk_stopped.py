"""`skypostal bulk`: a run that ends early, by a signal, without the service or on a full disk."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Callable

import pytest
from bulk_command import (
    HEADER,
    Bulk,
    assert_ended,
    journal_of,
    limited,
    names,
    rows_of,
    sent,
    statuses,
    wait_until,
    write,
)
from command_line import COMMAND, Terminal, environment
from fault_server import FaultServer, hang

from skypostal._cli.bulk.signals import Signals
from skypostal.sandbox import Sandbox

ENDING = [signal.SIGINT, signal.SIGTERM]
if sys.platform == "win32":
    ENDING.append(signal.SIGBREAK)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_ends_what_is_done_meanwhile(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), Signals() as signals:
        signal.raise_signal(number)
    assert signals.number == number and signal.getsignal(number) == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_in_order(
    bulk: Bulk, sandbox: Sandbox, number: signal.Signals, code: int
) -> None:
    write(bulk.table, rows_of(range(1, 21)))
    sandbox.delay(0, times=5)
    sandbox.delay(60, times=4)
    process = bulk.start("--concurrency", "4")
    wait_until(lambda: len(sandbox.requests) == 9 and len(journal_of(bulk.journal)[0]) == 5)
    began = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert time.monotonic() - began < 2
    assert process.returncode == code
    assert err == ("skypostal bulk: interrupted\nDone: 5 of 20 rows. Run it again with --resume.\n")
    assert json.loads(out)["error"] == {"message": "interrupted", "status": code}
    assert sorted(os.listdir(bulk.folder)) == ["customers.csv", "report.csv.journal"]
    with contextlib.closing(sqlite3.connect(bulk.journal)) as database:
        told = database.execute("SELECT status, delivery, error FROM outcomes ORDER BY row")
        ended = [tuple(row) for row in told if row[0] != "updated"]
    assert ended[:4] == [("failed", "unknown", "cancelled")] * 4
    assert set(ended[4:]) <= {("failed", "not_sent", "cancelled")}
    sandbox.clear_faults()
    assert bulk("--resume").returncode == 0
    assert len(sent(sandbox)) == 24 and statuses(bulk.out) == ["updated"] * 20


def test_ctrl_c_at_a_terminal(bulk: Bulk, sandbox: Sandbox) -> None:
    write(bulk.table, rows_of(range(1, 21)))
    sandbox.delay(60, times=8)
    terminal = Terminal(*COMMAND, *bulk.arguments(), **environment(bulk.url))
    wait_until(lambda: len(sandbox.requests) == 8)
    terminal.wait_for("sending")
    terminal.type("\x03")
    code, seen = terminal.end()
    assert code == 130
    assert seen.endswith(
        "\rskypostal bulk: interrupted\nDone: 0 of 20 rows. Run it again with --resume.\n"
    )


def test_a_signal_in_the_check_sends_nothing_and_leaves_nothing(
    bulk: Bulk, sandbox: Sandbox
) -> None:
    write(bulk.table, rows_of(range(1, 300_000)))
    process = bulk.start()
    wait_until(bulk.journal.exists)
    # The check begins. A signal that comes before leaves a journal without a run, as kill -9 does.
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (
        143, "skypostal bulk: interrupted\nNothing was sent.\n",
    )  # fmt: skip
    assert os.listdir(bulk.folder) == ["customers.csv"] and not sandbox.requests


def test_an_unreachable_service_ends_the_run(tmp_path: Path) -> None:
    with FaultServer([], "refusing") as server:
        bulk = Bulk(tmp_path, server.url)
        write(bulk.table, rows_of(range(1, 201)))
        done = bulk("--max-retries", "0", "--concurrency", "4")
        assert_ended(done, 4, "skypostal bulk: stopped after 10 consecutive rows that found no",
                     "Done: 0 of 200 rows. Run it again with --resume.")  # fmt: skip
        told = json.loads(done.stdout)
        assert told["failed"] <= 20 and told["left"] == 200 - told["failed"]
        assert not bulk.out.exists()
        server.listen()
        assert bulk("--resume").returncode == 0
        assert statuses(bulk.out) == ["updated"] * 200


def test_a_service_that_is_silent_until_the_timeout_ends_the_run(tmp_path: Path) -> None:
    with FaultServer([[hang]] * 40) as server:
        bulk = Bulk(tmp_path, server.url.replace("http:", "https:"))
        write(bulk.table, rows_of(range(1, 31)))
        done = bulk("--max-retries", "0", "--timeout", "0.2")
        assert_ended(done, 4, "skypostal bulk: stopped after 10 consecutive rows that found no",
                     "Done: 0 of 30 rows. Run it again with --resume.")  # fmt: skip


def test_6_when_the_journal_does_not_fit_on_the_disk(bulk: Bulk, sandbox: Sandbox) -> None:
    """Nothing is sent of which the journal does not know."""
    write(bulk.table, rows_of(range(1, 21)))
    process = bulk.start("--concurrency", "1", preexec_fn=limited(60_000))
    _, err = process.communicate(timeout=20)
    assert process.returncode == 6
    first, second = err.splitlines()
    assert first.startswith(f"skypostal bulk: {bulk.journal}: cannot be written: ")
    assert re.fullmatch(r"Done: \d+ of 20 rows\. Run it again with --resume\.", second)
    outcomes, begun = journal_of(bulk.journal)
    assert 0 < len(outcomes) < 20 and max(sent(sandbox)) <= begun
    before = sent(sandbox)
    assert bulk("--resume").returncode == 0
    assert not {row + 1 for row in outcomes} & set(sent(sandbox)[len(before) :])
    assert names(sandbox, range(1, 21)) == [f"Ana {box}" for box in range(1, 21)]


def test_6_when_the_report_does_not_fit_on_the_disk(bulk: Bulk, sandbox: Sandbox) -> None:
    write(bulk.table, [[*row, "x" * 100_000] for row in rows_of(range(1, 4))], [*HEADER, "note"])
    process = bulk.start("--concurrency", "1", preexec_fn=limited(200_000))
    _, err = process.communicate(timeout=20)
    assert process.returncode == 6
    assert f"skypostal bulk: {bulk.out}: cannot be written: File too large\nDone: 3 of 3" in err
    assert sorted(os.listdir(bulk.folder)) == ["customers.csv", "report.csv.journal"]
    assert bulk("--resume").returncode == 0 and len(sent(sandbox)) == 3
    assert statuses(bulk.out) == ["updated"] * 3


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace(b"Ana 20", b"Eva 20"),
        lambda content: content + b"21,the-key-of-21,Ana 21\r\n",
    ],
)
def test_a_table_that_is_changed_meanwhile_is_noticed(
    bulk: Bulk, sandbox: Sandbox, change: Callable[[bytes], bytes]
) -> None:
    """Whether a row is another, or was added and so not checked."""
    write(bulk.table, rows_of(range(1, 21)))
    content = bulk.table.read_bytes()
    sandbox.delay(0.5, times=2)
    process = bulk.start("--concurrency", "2")
    wait_until(lambda: len(sandbox.requests) == 2)
    with bulk.table.open("r+b") as file:
        file.write(change(content))
    _, err = process.communicate(timeout=20)
    assert process.returncode == 6
    assert f"{bulk.table}: was changed during the run; put it back as it was\n" in err
    assert 21 not in sent(sandbox)
    bulk.table.write_bytes(content)
    assert bulk("--resume").returncode == 0 and statuses(bulk.out) == ["updated"] * 20
