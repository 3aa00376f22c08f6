"""The journal of a run: the outcome of each row, on the disk before anything reports it.

An SQLite database with a write-ahead log. It has the numbers of rows, no key and no cell of the
table. It has the messages of errors, which may quote the service's words.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sqlite3
import stat
import threading
from typing import Any, NamedTuple

from .disk import NO_FOLLOW, sync_folder
from .lock import is_at, remove_locked, try_to_lock

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
    """The outcome of a row. A row that was begun and has none was in flight when its run died."""

    status: str
    delivery: str
    attempts: int
    error: str
    message: str


class _Begun(NamedTuple):
    rows: int
    deliveries: dict[int, str]


class JournalError(Exception):
    """The journal cannot be used, or no longer be written. The text is one line."""


class Journal:
    """A journal is locked by one run, until it is closed or its process has ended."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.failure: Exception | None = None
        self.settings: dict[str, Any] | None = None
        """The settings of its run; None before a run has started."""
        self.begun = 0
        """Rows below this may have been sent."""
        self.counts: dict[str, int] = {}
        """The number of rows of each status, on the disk."""
        self.written = 0
        """The number of outcomes that this process has written."""
        self._lock = _locked(path)
        # SQLite would take ":memory:" as given for no file.
        self._file = os.path.abspath(path)
        self._reader = sqlite3.connect(self._file, isolation_level=None)
        try:
            self._read()
        except BaseException as problem:
            is_new = os.fstat(self._lock).st_size == 0
            self._reader.close()
            os.close(self._lock)
            if isinstance(problem, sqlite3.Error) and is_new:
                for each in (path, f"{path}-wal", f"{path}-shm"):
                    _remove(each)
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
            return  # killed before the settings were written
        if application != APPLICATION:
            raise JournalError(f"{self.path}: is no journal of skypostal")
        if version > VERSION:
            raise JournalError(
                f"{self.path}: was written by a newer skypostal; continue with that version"
            )
        if self._reader.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise JournalError(f"{self.path}: is damaged")
        settings, self.begun = self._reader.execute("SELECT settings, begun FROM run").fetchone()
        self.settings = json.loads(settings)
        count = "SELECT status, count(*) FROM outcomes GROUP BY status"
        self.counts = dict(self._reader.execute(count))

    def start(self, settings: dict[str, Any]) -> None:
        """Starts the writing thread. A new journal gets these settings."""
        self._writer = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False)
        try:
            self._writer.execute("PRAGMA synchronous = FULL")
            self._writer.execute("PRAGMA journal_mode = WAL")
            if self.settings is None:
                self._writer.executescript(f"BEGIN; {_TABLES}")
                self._writer.execute("INSERT INTO run VALUES (?, 0)", (json.dumps(settings),))
                self._writer.execute("COMMIT")
            sync_folder(self.path)
        except (sqlite3.Error, OSError) as problem:
            # Windows removes no file that is open.
            self._writer.close()
            raise JournalError(f"{self.path}: cannot be written: {problem}; {_ELSEWHERE}") from None
        self.settings = settings
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()

    def known(self, first: int, last: int) -> dict[int, Known]:
        """Returns the outcomes of these rows that are on the disk."""
        query = "SELECT * FROM outcomes WHERE row BETWEEN ? AND ?"
        try:
            rows = self._reader.execute(query, (first, last)).fetchall()
        except sqlite3.Error as problem:
            raise JournalError(f"{self.path}: cannot be read: {problem}") from None
        return {row: Known(*known) for row, *known in rows}

    def begin(self, rows: int, deliveries: dict[int, str]) -> None:
        """Writes that rows below this number may have been sent, and what is known of the delivery
        of rows that have an outcome; waits for the disk."""
        written = threading.Event()
        self._queue.put(_Begun(rows, deliveries))
        self._queue.put(written)
        written.wait()
        self._raise_failure()

    def record(self, row: int, known: Known) -> None:
        """Hands an outcome to the writing thread, and returns at once."""
        self._raise_failure()
        self._queue.put((row, *known))

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise JournalError(f"{self.path}: cannot be written: {self.failure}")

    def _write(self) -> None:
        """Runs on the writing thread. Items that came while it waited make one transaction."""
        items: list[Any] = []
        while None not in items:
            items = [self._queue.get()]
            while not self._queue.empty():
                items.append(self._queue.get())
            begun = [item for item in items if isinstance(item, _Begun)]
            outcomes = [item for item in items if type(item) is tuple]
            if self.failure is None and (outcomes or begun):
                try:
                    self._commit(outcomes, begun)
                except Exception as problem:
                    self.failure = problem
            for item in items:
                if isinstance(item, threading.Event):
                    item.set()

    def _commit(self, outcomes: list[tuple[Any, ...]], begun: list[_Begun]) -> None:
        changes: dict[str, int] = {}
        self._writer.execute("BEGIN IMMEDIATE")
        for row, delivery in (pair for each in begun for pair in each.deliveries.items()):
            self._writer.execute("UPDATE outcomes SET delivery = ? WHERE row = ?", (delivery, row))
        for outcome in outcomes:
            old = self._writer.execute("SELECT status FROM outcomes WHERE row = ?", outcome[:1])
            for (status,) in old:
                changes[status] = changes.get(status, 0) - 1
            replace = "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?)"
            self._writer.execute(replace, outcome)
            changes[outcome[1]] = changes.get(outcome[1], 0) + 1
        if begun:
            self._writer.execute("UPDATE run SET begun = ?", (begun[-1].rows,))
        self._writer.execute("COMMIT")
        self.written += len(outcomes)
        for status, change in changes.items():
            self.counts[status] = self.counts.get(status, 0) + change

    def close(self, *, remove: bool = False) -> None:
        """Closes the journal; `remove` deletes it before another run can lock it."""
        if hasattr(self, "_thread"):
            self._queue.put(None)
            self._thread.join()
            self._writer.close()
        self._reader.close()
        if not remove:
            os.close(self._lock)
            return
        for path in (f"{self.path}-wal", f"{self.path}-shm"):
            _remove(path)
        remove_locked(self.path, self._lock)


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _locked(path: str) -> int:
    """Opens the journal's file, or makes it, and locks it for this process.

    The descriptor stays open until SQLite has closed the file: on Unix, closing it earlier would
    undo SQLite's own locks.
    """
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o600)
        except OSError as problem:
            raise JournalError(f"{path}: cannot be opened: {problem.strerror}") from None
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise JournalError(f"{path}: is not a regular file; give the name of a new one")
        try:
            try_to_lock(file)
        except BlockingIOError:
            os.close(file)
            raise JournalError(f"{path}: is in use: another run has locked it") from None
        except OSError as problem:  # a network file system may have no locks
            is_new = os.fstat(file).st_size == 0  # made above
            os.close(file)
            if is_new:
                with contextlib.suppress(OSError):
                    os.unlink(path)
            message = f"{path}: cannot be locked: {problem.strerror}; {_ELSEWHERE}"
            raise JournalError(message) from None
        if is_at(path, file):
            return file
        os.close(file)  # a run that has just ended removed it
