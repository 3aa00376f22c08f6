"""The journal of a run: what became of each row, on the disk before anyone is told.

An SQLite database with a write-ahead log. It knows rows by their number alone: it holds no key and
no cell of the table, but the messages of errors, which may quote the service's words.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import queue
import sqlite3
import threading
from typing import Any, NamedTuple

from .disk import sync_folder

APPLICATION = 0x736B7970  # "skyp", in the file's header
VERSION = 1
_ELSEWHERE = "--journal FILE puts it elsewhere, such as on a local disk"

_TABLES = f"""\
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
CREATE TABLE run (settings TEXT NOT NULL, begun INTEGER NOT NULL);
CREATE TABLE outcomes (
    row INTEGER PRIMARY KEY, status TEXT NOT NULL, delivery TEXT NOT NULL,
    attempts INTEGER NOT NULL, error TEXT NOT NULL, message TEXT NOT NULL
);
"""


class Known(NamedTuple):
    """What became of a row. One that was begun and has none was in flight in a run that died."""

    status: str
    delivery: str
    attempts: int
    error: str
    message: str


class JournalError(Exception):
    """It cannot be used, or not be written any more, in one line."""


class Journal:
    """Held by one run at a time: another is refused until it is closed, or its process is gone."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.failure: Exception | None = None
        self.settings: dict[str, Any] | None = None
        """Of the run that it is about; None while it is about none."""
        self.begun = 0
        """Rows below this may have been sent."""
        self.counts: dict[str, int] = {}
        """How many rows have which status, on the disk."""
        self.written = 0
        """How many outcomes this run has put there."""
        self._lock = _locked(path)
        # Not as it was given: ":memory:" is none to SQLite.
        self._file = os.path.abspath(path)
        self._reader = sqlite3.connect(self._file, isolation_level=None)
        try:
            self._read()
        except BaseException as problem:
            is_new = os.fstat(self._lock).st_size == 0
            self._reader.close()
            os.close(self._lock)
            if isinstance(problem, sqlite3.Error) and is_new:
                self._remove()
                raise JournalError(f"{path}: cannot be written: {problem}; {_ELSEWHERE}") from None
            if isinstance(problem, (sqlite3.Error, ValueError, TypeError)):
                raise JournalError(f"{path}: is damaged, or no journal ({problem})") from None
            raise

    def _read(self) -> None:
        application, version = (
            self._reader.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version")
        )
        if application == 0 and not self._reader.execute("SELECT 1 FROM sqlite_master").fetchall():
            return  # killed before the run was written down
        if application != APPLICATION:
            raise JournalError(f"{self.path}: is no journal of skypostal")
        if version > VERSION:
            raise JournalError(
                f"{self.path}: was written by a newer skypostal; go on with that version"
            )
        if self._reader.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise JournalError(f"{self.path}: is damaged")
        settings, self.begun = self._reader.execute("SELECT settings, begun FROM run").fetchone()
        self.settings = json.loads(settings)
        count = "SELECT status, count(*) FROM outcomes GROUP BY status"
        self.counts = dict(self._reader.execute(count))

    def start(self, settings: dict[str, Any]) -> None:
        """Begins to write, for a run of these settings unless it is about one already."""
        try:
            self._writer = sqlite3.connect(
                self._file, isolation_level=None, check_same_thread=False
            )
            self._writer.execute("PRAGMA synchronous = FULL")
            self._writer.execute("PRAGMA journal_mode = WAL")
            if self.settings is None:
                self._writer.executescript(f"BEGIN; {_TABLES}")
                self._writer.execute("INSERT INTO run VALUES (?, 0)", (json.dumps(settings),))
                self._writer.execute("COMMIT")
            sync_folder(self.path)
        except (sqlite3.Error, OSError) as problem:
            raise JournalError(f"{self.path}: cannot be written: {problem}; {_ELSEWHERE}") from None
        self.settings = settings
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()

    def known(self, first: int, last: int) -> dict[int, Known]:
        """What is on the disk of these rows."""
        query = "SELECT * FROM outcomes WHERE row BETWEEN ? AND ?"
        try:
            rows = self._reader.execute(query, (first, last)).fetchall()
        except sqlite3.Error as problem:
            raise JournalError(f"{self.path}: cannot be read: {problem}") from None
        return {row: Known(*known) for row, *known in rows}

    def begin(self, rows: int) -> None:
        """Returns when it is on the disk that rows below this may have been sent."""
        written = threading.Event()
        self._queue.put(rows)
        self._queue.put(written)
        written.wait()
        self._raise_failure()

    def note(self, row: int, known: Known) -> None:
        """Leaves it to be written, at once, with whatever else there is to write then."""
        self._raise_failure()
        self._queue.put((row, *known))

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise JournalError(f"{self.path}: cannot be written: {self.failure}")

    def _write(self) -> None:
        """The writing thread: what has come while it waited for the disk makes one transaction."""
        items: list[Any] = []
        while None not in items:
            items = [self._queue.get()]
            while not self._queue.empty():
                items.append(self._queue.get())
            outcomes = [item for item in items if isinstance(item, tuple)]
            begun = [item for item in items if isinstance(item, int)]
            if self.failure is None and (outcomes or begun):
                try:
                    self._commit(outcomes, begun)
                except Exception as problem:
                    self.failure = problem
            for item in items:
                if isinstance(item, threading.Event):
                    item.set()

    def _commit(self, outcomes: list[tuple[Any, ...]], begun: list[int]) -> None:
        changes: dict[str, int] = {}
        self._writer.execute("BEGIN IMMEDIATE")
        for outcome in outcomes:
            old = self._writer.execute("SELECT status FROM outcomes WHERE row = ?", outcome[:1])
            for (status,) in old:
                changes[status] = changes.get(status, 0) - 1
            replace = "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?)"
            self._writer.execute(replace, outcome)
            changes[outcome[1]] = changes.get(outcome[1], 0) + 1
        if begun:
            self._writer.execute("UPDATE run SET begun = ?", begun[-1:])
        self._writer.execute("COMMIT")
        self.written += len(outcomes)
        for status, change in changes.items():
            self.counts[status] = self.counts.get(status, 0) + change

    def close(self, *, remove: bool = False) -> None:
        """remove: when it is of no more use; before another run can hold it."""
        if hasattr(self, "_thread"):
            self._queue.put(None)
            self._thread.join()
            self._writer.close()
        self._reader.close()
        if remove:
            self._remove()
        os.close(self._lock)

    def _remove(self) -> None:
        for path in (self.path, f"{self.path}-wal", f"{self.path}-shm"):
            if os.path.exists(path):
                os.unlink(path)


def _locked(path: str) -> int:
    """The journal's file, made if there is none, and held for this process alone.

    The kernel lets go of it when the process ends, however it does. It stays open until SQLite has
    closed the file: closing another descriptor of it would undo SQLite's own locks.
    """
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as problem:
            raise JournalError(f"{path}: cannot be opened: {problem.strerror}") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise JournalError(f"{path}: is in use: another run is going on") from None
        except OSError as problem:  # a network's file system may have no locks
            if os.fstat(file).st_size == 0:  # made above
                with contextlib.suppress(OSError):
                    os.unlink(path)
            os.close(file)
            message = f"{path}: cannot be locked: {problem.strerror}; {_ELSEWHERE}"
            raise JournalError(message) from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), os.fstat(file)):
                return file
        os.close(file)  # a run that was just over has removed it
