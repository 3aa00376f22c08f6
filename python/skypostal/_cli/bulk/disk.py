"""Files that must be on the disk, on file systems that lack a function or two."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

# As a file system says that it has no such function; a folder may also be closed to readers.
_LACKING = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EACCES)


def sync(file: int) -> None:
    """Has the content of a file on the disk."""
    with _if_it_can():
        os.fsync(file)


def sync_folder(path: str) -> None:
    """Has it on the disk that there is a file of this name, or none."""
    with _if_it_can():
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def try_to_write(path: str) -> None:
    """Raises OSError if no file of this name can be made. It changes none that is there."""
    was_there = os.path.lexists(path)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    if not was_there:
        os.unlink(path)


@contextlib.contextmanager
def _if_it_can() -> Iterator[None]:
    """Goes on without, as SQLite does: without a loss of power nothing depends on it."""
    try:
        yield
    except OSError as problem:
        if problem.errno not in _LACKING:
            raise
