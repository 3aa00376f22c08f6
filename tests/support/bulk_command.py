"""The command `skypostal bulk` for tests, and the tables and reports that go in and out."""

from __future__ import annotations

import contextlib
import csv
import os
import sqlite3
import stat
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from command_line import COMMAND, Done, environment, run

from skypostal.sandbox import Sandbox

NAMES = ["skypostal_status", "skypostal_delivery", "skypostal_attempts", "skypostal_error",
         "skypostal_message"]  # fmt: skip
HEADER = ["customer_box_id", "customer_key", "customer_first_name"]


def key_of(box: int) -> str:
    return f"the-key-of-{box}"


def rows_of(boxes: Iterable[int], name: str = "Ana") -> list[list[str]]:
    return [[str(box), key_of(box), f"{name} {box}"] for box in boxes]


def write(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def read_report(path: Path, **how: Any) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, **how))


def statuses(path: Path) -> list[str]:
    return [row["skypostal_status"] for row in read_report(path)]


class Bulk:
    """The command in a folder of its own, against one service."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.table, self.out = folder / "customers.csv", folder / "report.csv"
        self.journal = folder / "report.csv.journal"

    def arguments(self, *options: str) -> list[str]:
        return ["bulk", str(self.table), "--out", str(self.out), *options]

    def __call__(self, *options: str, **changes: str | None) -> Done[str]:
        return run(*self.arguments(*options), url=self.url, **changes)

    def check(self, *options: str) -> Done[str]:
        return run("bulk", str(self.table), "--dry-run", *options, url=self.url)

    def start(self, *options: str, **how: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *self.arguments(*options)], env=environment(self.url), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how,
        )  # fmt: skip


def add_customers(sandbox: Sandbox, boxes: Iterable[int]) -> None:
    for box in boxes:
        sandbox.customers.add(customer_box_id=box, customer_key=key_of(box))


def sent(sandbox: Sandbox) -> list[int]:
    """The boxes of all requests, in order."""
    return [request.json()["customer_box_id"] for request in sandbox.requests]


def names(sandbox: Sandbox, boxes: Iterable[int]) -> list[str | None]:
    return [sandbox.customers[box]["customer_first_name"] for box in boxes]


def assert_ended(done: Done[str], code: int, *says: str) -> None:
    assert done.returncode == code, done.stderr
    for text in says:
        assert text in done.stderr


def assert_private(file: Path) -> None:
    """Only the owner of the file can read it. Windows has no modes; there, its folder decides."""
    if os.name != "nt":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def limited(size: int) -> Callable[[], None]:
    """Limits the size of each file that a program writes."""
    import resource  # which Windows lacks

    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def journal_of(path: Path) -> tuple[dict[int, str], int]:
    """The status of each row that has one, and which rows may have been sent."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        outcomes = dict(database.execute("SELECT row, status FROM outcomes"))
        return outcomes, database.execute("SELECT begun FROM run").fetchone()[0]
