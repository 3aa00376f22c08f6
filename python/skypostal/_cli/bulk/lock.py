"""Locks a file for one process. The system unlocks it when the process ends, however it ends."""

from __future__ import annotations

import contextlib
import os
import sys

if sys.platform == "win32":
    import msvcrt

    # Windows locks bytes, and keeps all others from reading and writing them. SQLite never uses
    # this one: it lies in the page of SQLite's own locks, behind them.
    _BYTE = 0x40000000 + 0x800

    def try_to_lock(file: int) -> None:
        """Locks an open file. BlockingIOError if another process has locked it."""
        os.lseek(file, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError as problem:
            # Each file system of Windows has locks. Wine 8 gives another error number than Windows.
            raise BlockingIOError(*problem.args) from None

    def is_at(path: str, file: int) -> bool:
        """Returns whether a file still has this name. Windows removes no open file."""
        return True

    def remove_locked(path: str, file: int) -> None:
        """Closes and removes a file. Another process that locks it meanwhile finds it empty."""
        os.ftruncate(file, 0)
        os.close(file)
        with contextlib.suppress(OSError):
            os.unlink(path)

else:
    import fcntl

    def try_to_lock(file: int) -> None:
        """Locks an open file. BlockingIOError if another process has locked it."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def is_at(path: str, file: int) -> bool:
        """Returns whether a file still has this name."""
        try:
            return os.path.samestat(os.stat(path), os.fstat(file))
        except FileNotFoundError:
            return False

    def remove_locked(path: str, file: int) -> None:
        """Removes and closes a file. Another process that opened it finds that it has no name."""
        with contextlib.suppress(OSError):
            os.unlink(path)
        os.close(file)
