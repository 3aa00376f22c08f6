"""Packages of another Debian, or of another processor, in a folder of their own.

Nothing is installed: apt has a state of its own, and dpkg-deb unpacks.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Debian:
    """A suite of Debian for a processor; `state` is a folder for what apt writes."""

    def __init__(self, suite: str, architecture: str, state: Path) -> None:
        self._state = state
        for folder in (state / "lists" / "partial", state / "archives" / "partial"):
            folder.mkdir(parents=True)
        (state / "status").touch()
        kinds = ("deb", "deb-src")
        sources = "".join(f"{kind} [signed-by={KEYS}] {_mirror()} {suite} main\n" for kind in kinds)
        (state / "sources.list").write_text(sources)
        options = {
            "APT::Architecture": architecture,
            "APT::Architectures::": architecture,
            "APT::Install-Recommends": "0",
            # The user _apt may not read this folder.
            "APT::Sandbox::User": "root",
            "Dir::State": state,
            "Dir::State::status": state / "status",
            "Dir::Cache": state,
            "Dir::Etc::sourcelist": state / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
        }
        self._options = [f"--option={name}={value}" for name, value in options.items()]
        self._apt("update")

    def unpack(self, packages: Sequence[str], folder: Path) -> None:
        """Unpacks the packages and all that they need."""
        folder.mkdir(exist_ok=True)
        self._apt("install", "--yes", "--download-only", *packages)
        for package in sorted((self._state / "archives").glob("*.deb")):
            subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)

    def upstream_source(self, package: str) -> Path:
        """Returns the archive with the source of a package as its authors released it."""
        self._apt("source", "--download-only", "--tar-only", package, folder=self._state)
        (archive,) = self._state.glob(f"{package}_*.orig.tar.*z")
        return archive

    def _apt(self, *command: str, folder: Path | None = None) -> None:
        subprocess.run(["apt-get", "-qq", *self._options, *command], cwd=folder, check=True)


def _mirror() -> str:
    """Returns where this machine takes Debian's packages from."""
    ask = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    found = subprocess.run([*ask, "Label: Debian"], capture_output=True, text=True, check=True)
    return (found.stdout.split() or ["http://deb.debian.org/debian/"])[0]
