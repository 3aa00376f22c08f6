"""Writing to the disk, on file systems that lack a function or two."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator

# Windows has no such flag; there, only an administrator makes symbolic links.
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
# To open a pipe without a reader must fail, and not wait.
NO_WAIT = getattr(os, "O_NONBLOCK", 0)
# The errors of a file system without this function, and of a folder that is closed to readers.
_LACKING = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EACCES)


def sync(file: int) -> None:
    """Waits until the content of a file is on the disk."""
    with _if_it_can():
        os.fsync(file)


def sync_folder(path: str) -> None:
    """Waits until the name of a new or removed file is on the disk, where a system can do that."""
    if sys.platform == "win32":
        return
    with _if_it_can():
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def try_to_write(path: str) -> None:
    """Raises OSError if no file of this name can be made. It leaves an existing file unchanged."""
    was_there = os.path.lexists(path)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | NO_FOLLOW | NO_WAIT, 0o600))
    if not was_there:
        os.unlink(path)


@contextlib.contextmanager
def _if_it_can() -> Iterator[None]:
    """Continues without the function, as SQLite does: it matters only after a loss of power."""
    try:
        yield
    except OSError as problem:
        if problem.errno not in _LACKING:
            raise
