"""The source of a build: the version, the commit and its date."""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Source:
    """The state of the work tree."""

    version: str
    commit: str
    # Seconds since 1970. Files in archives have this time, so that two builds give the same bytes.
    time: int
    # True if files differ from the commit.
    is_dirty: bool

    def timestamp(self) -> str:
        """Returns the time as ISO 8601 writes it."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.time))

    def described(self) -> str:
        changes = ", with changes that are in no commit" if self.is_dirty else ""
        return f"skypostal {self.version}, commit {self.commit[:12]}{changes}"


def source() -> Source:
    (version,) = re.findall(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    return Source(
        version=version,
        commit=_git("rev-parse", "HEAD"),
        time=int(_git("log", "-1", "--format=%ct")),
        is_dirty=bool(_git("status", "--porcelain")),
    )


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
