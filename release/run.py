"""One run of `make release`: its folders, its commands and what it says."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from release import zig
from release.compiler import Compiler
from release.errors import Problem
from release.platforms import Platform
from release.source import ROOT, Source

OUTPUT = ROOT / "build" / "release"
WORK = ROOT / "build" / "release-work"


@dataclass
class Run:
    """The values that the steps of one run share."""

    source: Source
    # True if the libraries are optimised across crates, which takes most of the time.
    lto: bool = True

    @contextmanager
    def step(self, platform: str, artifact: str) -> Iterator[None]:
        """Says what is built, and how long it took."""
        self._log = WORK / "logs" / f"{platform}-{artifact.replace(' ', '-')}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.unlink(missing_ok=True)
        print(f"{platform:18} {artifact:24}", end=" ", flush=True)
        begun = time.monotonic()
        yield
        print(f"{time.monotonic() - begun:5.0f} s", flush=True)

    def command(self, *command: str | Path, **variables: str) -> None:
        """Runs a command in the project's folder; what it prints is shown if it fails."""
        environment = {**os.environ, **variables}
        # The make that runs this passes its own options down.
        for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"):
            environment.pop(name, None)
        with self._log.open("a") as log:
            print("$", *command, file=log, flush=True)
            done = subprocess.run(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if done.returncode != 0:
            lines = self._log.read_text(errors="replace").splitlines()
            print("failed", *lines[-30:], sep="\n")
            raise Problem(f"{Path(command[0]).name} failed; all that it said is in {self._log}")

    def variables(self, platform: Platform, compiler: Compiler) -> dict[str, str]:
        """Returns the environment of a build whose result depends on the commit alone."""
        variables = {**compiler.variables(), "SOURCE_DATE_EPOCH": str(self.source.time)}
        if platform.linker == "zig":
            variables.update(zig.variables(platform, WORK / "zig" / platform.name))
        if not self.lto:
            variables["CARGO_PROFILE_RELEASE_LTO"] = "off"
            variables["CARGO_PROFILE_RELEASE_CODEGEN_UNITS"] = "16"
        folders = _folders(compiler)
        # Of several that match, rustc takes the last one.
        flags = [f"--remap-path-prefix={folder}={name}" for folder, name in folders]
        variables["CARGO_ENCODED_RUSTFLAGS"] = "\x1f".join(flags)
        name = platform.target.replace("-", "_")
        variables[f"CFLAGS_{name}"] = " ".join(f"-ffile-prefix-map={f}={n}" for f, n in folders)
        return variables

    def described(self) -> str:
        """Returns what stands in the artifacts of their origin."""
        quick = "" if self.lto else "; built without link-time optimisation, for a try"
        return f"{self.source.described()}{quick}"

    def keep(self, file: Path) -> None:
        """Moves a file to what is released."""
        OUTPUT.mkdir(parents=True, exist_ok=True)
        shutil.move(str(file), str(OUTPUT / file.name))


def _folders(compiler: Compiler) -> list[tuple[str, str]]:
    """Returns the folders of this machine that binaries would name, and what they name instead."""
    home = Path.home()
    cargo = os.environ.get("CARGO_HOME", str(home / ".cargo"))
    return [
        (str(home), "/home"),
        *((folder, "/rust") for folder in compiler.source_folders()),
        (cargo, "/cargo"),
        (str(ROOT), "/skypostal"),
    ]
