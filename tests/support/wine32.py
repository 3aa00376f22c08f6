"""A Wine for 32-bit programs, where the machine's own runs 64-bit ones alone.

Debian's wine32 needs the i386 form of libraries in the same version as the machine's own, which not
every mirror has. So it is installed into a Debian of its own, which is kept in build/wine32.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from project import ROOT

FOLDER = ROOT / "build" / "wine32"
# Mounts what Wine and the tests share, in a namespace that ends with the command.
ENTER = 'root=$1; shift; for f in /dev /proc "$TESTS" "$PROJECT"; do mkdir -p "$root$f"; '
ENTER += 'mount --rbind "$f" "$root$f"; done; exec chroot "$root" "$@"'


def launcher() -> tuple[str, ...]:
    """Returns what stands before `wine` to run the one for 32-bit programs."""
    if Path("/usr/lib/wine/wine").exists():
        return ()
    if not (FOLDER / "usr/lib/wine").exists():
        _install()
    places = [f"TESTS={tempfile.gettempdir()}", f"PROJECT={ROOT}"]
    return ("env", *places, "unshare", "--mount", "sh", "-ec", ENTER, "sh", str(FOLDER))


def _install() -> None:
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.fail("32-bit programs need: apt-get install wine32:i386; or root, and debootstrap")
    shutil.rmtree(FOLDER, ignore_errors=True)
    script = ROOT / "tests" / "support" / "wine32.sh"
    log = FOLDER.with_suffix(".log")
    log.parent.mkdir(exist_ok=True)
    with log.open("w") as written:
        done = subprocess.run(["sh", script, FOLDER], stdout=written, stderr=written)
    if done.returncode != 0:
        shutil.rmtree(FOLDER, ignore_errors=True)
        pytest.fail(f"no Debian with wine32 could be made: {log}")
