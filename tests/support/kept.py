"""Folders that one run of the tests makes and later ones use."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skypostal-release"
# After it, what was downloaded may have a successor.
DAYS = 30


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """Returns the folder with this name, which `make` has filled once; at most a month ago."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / name
    complete = folder / "complete"
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists() or complete.stat().st_mtime < time.time() - DAYS * 86400:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            complete.touch()
    return folder
