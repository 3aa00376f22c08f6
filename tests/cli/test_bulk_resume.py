"""`skypostal bulk`: the journal, and a killed run that `--resume` continues."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

import pytest
from bulk_command import (
    HEADER,
    NAMES,
    Bulk,
    add_customers,
    assert_ended,
    assert_private,
    journal_of,
    names,
    read_report,
    rows_of,
    sent,
    statuses,
    wait_until,
    write,
)
from command_line import assert_no_secret, environment, serving
from fault_cases import ok
from fault_server import GOOD, FaultServer, hang, read

from skypostal._cli.bulk.journal import Journal
from skypostal.sandbox import Sandbox

# The return code of a process that was killed.
KILLED = 1 if sys.platform == "win32" else -signal.SIGKILL


def test_a_row_is_in_the_journal_before_its_request(tmp_path: Path) -> None:
    seen: list[tuple[dict[int, str], int]] = []

    def look(_: object) -> None:
        seen.append(journal_of(tmp_path / "report.csv.journal"))

    script = [read, look, *GOOD[1:]]
    with serving(*[script] * 8) as server:
        bulk = Bulk(tmp_path, server.url)
        write(bulk.table, rows_of(range(1, 9)))
        assert bulk("--concurrency", "1").returncode == 0
    assert len(seen) == 8
    for row, (outcomes, begun) in enumerate(seen):
        assert row < begun <= row + 4 and set(outcomes) <= set(range(row))


@pytest.mark.parametrize("name", ["journal", ":memory:"])
def test_the_journal_survives_a_loss_of_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As far as the disk does what it is told: each commit waits for it."""
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(Journal(name)) as journal:
        journal.start({})
        ask = journal._writer.execute
        assert ask("PRAGMA synchronous").fetchone() == (2,)
        assert ask("PRAGMA journal_mode").fetchone() == ("wal",)
    assert journal_of(tmp_path / name) == ({}, 0)


@pytest.fixture
def stopped(bulk: Bulk, sandbox: Sandbox) -> Bulk:
    """A run that was killed when some rows were done and some in flight."""
    write(bulk.table, rows_of(range(1, 21)))
    sandbox.delay(0, times=10)
    sandbox.delay(60, times=10)
    process = bulk.start("--concurrency", "2")
    wait_until(lambda: len(sandbox.requests) == 12 and len(journal_of(bulk.journal)[0]) == 10)
    process.kill()
    process.communicate()
    sandbox.clear_faults()
    return bulk


def test_a_killed_run_goes_on(stopped: Bulk, sandbox: Sandbox) -> None:
    outcomes, begun = journal_of(stopped.journal)
    assert list(outcomes.values()) == ["updated"] * 10 and 12 <= begun <= 16
    again = stopped()
    assert_ended(
        again, 2, "belongs to a run that did not end\nNothing was sent. Continue with --resume"
    )
    done = stopped("--resume")
    assert_ended(done, 0, "continuing: 10 of 20 rows are done\n")
    accepted = {row + 1 for row in outcomes}
    assert sorted(sent(sandbox)[12:]) == [box for box in range(1, 21) if box not in accepted]
    assert statuses(stopped.out) == ["updated"] * 20 and not stopped.journal.exists()
    assert_ended(stopped("--resume"), 2, "no run to continue", "it was completed")


def test_the_journal_is_private_and_holds_no_key(stopped: Bulk) -> None:
    files = sorted(stopped.folder.glob("report.csv.journal*"))
    assert [file.name[18:] for file in files] == ["", "-shm", "-wal"]
    for file in files:
        assert_private(file)
        content = file.read_bytes()
        for secret in (b"the-key-of", environment("")["SKYPOSTAL_APP_KEY"].encode(), b"Ana"):
            assert secret not in content


def change_table(bulk: Bulk) -> Sequence[str]:
    bulk.table.write_text(bulk.table.read_text().replace("Ana 20", "Eva 20"))
    return ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (change_table, "customers.csv is not what it was"),
        (lambda _: ("--map", "customer_first_name=customer_last_name"), "were other fields"),
        (lambda _: ("--encoding", "cp1252"), "or read in another way"),
        (lambda _: ("--base-url", "http://localhost:9"), "and this is http://localhost:9"),
    ],
)
def test_another_run_does_not_go_on(
    stopped: Bulk, sandbox: Sandbox, change: Callable[[Bulk], Sequence[str]], says: str
) -> None:
    before = len(sandbox.requests)
    done = stopped("--resume", *change(stopped))
    assert_ended(done, 2, f"{stopped.journal}: is of another run: ", says, "This run sent nothing.")
    assert ("Put the table back as it was" in done.stderr) is (change is change_table)
    assert "; or remove the journal and begin from the start without --resume" in done.stderr
    assert stopped.journal.exists() and len(sandbox.requests) == before


def test_two_runs_do_not_share_a_journal(bulk: Bulk, sandbox: Sandbox) -> None:
    write(bulk.table, rows_of(range(1, 21)))
    sandbox.delay(60, times=8)
    first = bulk.start()
    wait_until(lambda: len(sandbox.requests) == 8)
    for option in [(), ("--resume",)]:
        assert_ended(bulk(*option), 2, f"{bulk.journal}: is in use: another run has locked it")
    first.kill()
    first.communicate()
    assert bulk("--resume").returncode == 0


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (lambda path: path.write_bytes(b"no journal" * 1000), "is damaged, or no journal"),
        (lambda path: path.mkdir(), "cannot be opened: Is a directory"),
        (lambda path: path.symlink_to("elsewhere"), f"opened: {os.strerror(errno.ELOOP)}"),
        (lambda path: alter(path, "CREATE TABLE t (x)"), "is no journal of skypostal"),
        (lambda path: begin_one(path, "PRAGMA user_version = 2"), "by a newer skypostal"),
        (lambda path: begin_one(path, "DROP TABLE run"), "is damaged, or no journal"),
    ],
)
def test_a_journal_that_cannot_be_used_is_refused(
    bulk: Bulk, sandbox: Sandbox, prepare: Callable[[Path], object], says: str
) -> None:
    write(bulk.table, rows_of([1]))
    prepare(bulk.journal)
    for option in [(), ("--resume",)]:
        done = bulk(*option)
        assert_ended(done, 2, f"skypostal bulk: {bulk.journal}: ", says)
        assert done.stderr.count("\n") == 2
    assert not sandbox.requests and os.path.lexists(bulk.journal)


def alter(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(statement)


def begin_one(path: Path, statement: str) -> None:
    journal = Journal(str(path))
    journal.start({})
    journal.close()
    alter(path, statement)


def test_a_page_of_the_journal_that_is_lost_is_noticed(stopped: Bulk) -> None:
    alter(stopped.journal, "PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(stopped.journal.read_bytes())
    content[8192 + 100 : 12288] = os.urandom(12288 - 8192 - 100)
    stopped.journal.write_bytes(content)
    assert_ended(stopped("--resume"), 2, f"{stopped.journal}: is damaged")


def test_a_journal_elsewhere(bulk: Bulk) -> None:
    write(bulk.table, rows_of([1]))
    same = bulk("--journal", f"{bulk.folder}/../{bulk.folder.name}/report.csv")
    assert_ended(same, 2, "cannot be both the report and the journal")
    assert_ended(bulk("--journal", str(bulk.table)), 2, "is damaged, or no journal")
    assert bulk("--journal", str(bulk.folder / "other")).returncode == 0
    assert not (bulk.folder / "other").exists()


def has_begun(bulk: Bulk) -> bool:
    with contextlib.suppress(sqlite3.Error), contextlib.closing(Journal(str(bulk.journal))) as it:
        return it.settings is not None
    return False


def test_50_kills_lose_nothing_and_repeat_nothing_that_was_accepted(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    chance = random.Random(2024)
    boxes = range(1, 501)
    add_customers(sandbox, boxes)
    bulk = Bulk(tmp_path, sandbox.url)
    write(bulk.table, rows_of(boxes))
    for _ in range(80):
        sandbox.delay(0, times=chance.randrange(1, 4))
        faults: list[Callable[[], None]] = [
            lambda: sandbox.drop_connection(applied=True),
            lambda: sandbox.drop_connection(),
            lambda: sandbox.fail_next(status=503, retry_after=0),
            lambda: sandbox.fail_next(status=500, applied=True),
            lambda: sandbox.delay(0.3),
            lambda: sandbox.refuse_next(),
        ]
        chance.choice(faults)()
    kept: list[tuple[int, set[int]]] = []
    # A busy machine needs more kills until enough rows are done and all faults were met.
    while len(kept) < 50 or len(kept[-1][1]) <= 50 or sandbox.pending_faults:
        assert len(kept) < 400
        resume = ["--resume"] if has_begun(bulk) else []
        process = bulk.start("--rate", "25", *resume)
        time.sleep(chance.uniform(0.02, 0.8))
        process.kill()
        assert_no_secret("".join(process.communicate()))
        assert process.returncode == KILLED
        words = journal_of(bulk.journal)[0] if has_begun(bulk) else {}
        accepted = {row + 1 for row, word in words.items() if word == "updated"}
        kept.append((len(sandbox.requests), accepted))

    assert bulk("--resume").returncode in (0, 3)
    requests = sent(sandbox)
    for before, accepted in kept:
        assert not accepted & set(requests[before:])
    report = read_report(bulk.out)
    assert [row["customer_box_id"] for row in report] == [str(box) for box in boxes]
    for row, name in zip(report, names(sandbox, boxes)):
        if row["skypostal_status"] == "updated":
            assert name == row["customer_first_name"]
        else:
            assert row["skypostal_status"] == "refused"
            assert row["skypostal_delivery"] == "unknown" or name is None

    bulk.table, bulk.out = bulk.out, tmp_path / "second.csv"
    assert bulk().returncode == 0
    assert names(sandbox, boxes) == [f"Ana {box}" for box in boxes]


def test_a_kill_while_the_report_is_written_leaves_no_half_report(bulk: Bulk) -> None:
    done = [["updated", "", "1", "", "", str(box), "", "Ana"] for box in range(100_000)]
    write(bulk.table, done, [*NAMES, *HEADER])
    part = bulk.folder / "report.csv.part"
    process = bulk.start()
    # Before there is a journal, the command creates this file for a moment, to see that it can.
    wait_until(lambda: bulk.journal.exists() and part.exists())
    assert_private(part)
    process.kill()
    process.communicate()
    assert not bulk.out.exists() and bulk.journal.exists()
    assert bulk("--resume").returncode == 0
    assert bulk.out.read_bytes() == bulk.table.read_bytes()
    assert sorted(os.listdir(bulk.folder)) == ["customers.csv", "report.csv"]


def test_what_a_killed_run_sent_again_may_have_been_updated(tmp_path: Path) -> None:
    refusal = ok(b'[{"_verify":false}]')
    with FaultServer([*[[read, hang]] * 8, *[refusal] * 12], "refusing") as server:
        bulk = Bulk(tmp_path, server.url)
        write(bulk.table, rows_of(range(1, 13)))
        assert bulk("--max-retries", "0").returncode == 4
        server.listen()
        process = bulk.start("--resume")
        wait_until(lambda: sum(connection.requests for connection in server.records) == 8)
        process.kill()
        process.communicate()
        assert bulk("--resume").returncode == 3
    assert [row["skypostal_delivery"] for row in read_report(bulk.out)] == ["unknown"] * 12


def test_what_a_run_did_not_send_again_keeps_its_delivery(tmp_path: Path) -> None:
    refusal = ok(b'[{"_verify":false}]')
    with FaultServer([refusal] * 40, "refusing") as server:
        bulk = Bulk(tmp_path, server.url)
        write(bulk.table, rows_of(range(1, 41)))
        for options in [("--max-retries", "0"), ("--max-retries", "0", "--resume")]:
            assert bulk(*options).returncode == 4
        server.listen()
        assert bulk("--resume").returncode == 3
    assert [row["skypostal_delivery"] for row in read_report(bulk.out)] == ["rejected"] * 40


def test_a_signal_between_an_outcome_and_its_record_leaves_the_row_unknown(
    bulk: Bulk, sandbox: Sandbox
) -> None:
    write(bulk.table, rows_of(range(1, 31)))
    patch = (
        "import signal, sys\n"
        "from skypostal._cli.bulk import sender\n"
        "note = sender.Sender._note\n"
        "def interrupted(self, outcome):\n"
        "    sender.Sender._note = note\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "sender.Sender._note = interrupted\n"
        "from skypostal.__main__ import main\n"
        "sys.exit(main())"
    )
    command = [sys.executable, "-c", patch, *bulk.arguments("--concurrency", "1")]
    done = subprocess.run(command, env=environment(bulk.url), capture_output=True, text=True)
    assert done.returncode == 130, done.stderr
    outcomes, begun = journal_of(bulk.journal)
    assert set(range(begun)) > set(outcomes) and len(sandbox.requests) >= 1
    sandbox.refuse_next(times=30)
    assert bulk("--resume").returncode == 3
    assert read_report(bulk.out)[0]["skypostal_delivery"] == "unknown"
    sandbox.clear_faults()  # those of rows that were updated before the signal
