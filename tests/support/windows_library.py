"""The C library for Windows as its users get it: an unpacked archive, compilers, and Wine."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

from project import environment_of
from wine import Wine

from release.platforms import Platform
from skypostal.sandbox import Sandbox

COMMON = ("-Wall", "-Wextra", "-Werror", "-static-libgcc")
# The threads of MinGW, in the program itself: no other DLL has to lie beside it.
THREADS = ("-Wl,-Bstatic", "-lpthread", "-Wl,-Bdynamic")


class WindowsLibrary:
    """An archive, unpacked into a folder, whose programs run under a Wine for its processor."""

    def __init__(self, platform: Platform, archive: Path, folder: Path, wine: Wine) -> None:
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(folder)
        (self.folder,) = folder.iterdir()
        self.platform = platform
        self.wine = wine
        self.include = self.folder / "include"
        self.lib = self.folder / "lib"
        # A DLL is looked for beside the program.
        self.bin = self.folder / "bin"
        self.dll = self.bin / "skypostal.dll"

    def tool(self, name: str) -> str:
        return self.platform.binutils + name

    def compile(self, source: Path, *flags: str, name: str = "") -> Path:
        """Compiles and links a program with bare flags, any warning being an error."""
        program = self.bin / f"{name or source.stem}.exe"
        is_c = source.suffix == ".c"
        command = [self.tool("gcc" if is_c else "g++"), *COMMON, str(source), "-o", str(program)]
        command += [f"-I{self.include}", f"-L{self.lib}", *flags, "-lskypostal"]
        command += [*(() if is_c else ("-static-libstdc++",)), *THREADS, "-lws2_32"]
        subprocess.run(command, check=True)
        return program

    def beside_dll(self, program: Path) -> Path:
        """Copies a program that was built elsewhere to where it finds the DLL."""
        return Path(shutil.copy(program, self.bin))

    def run(
        self, *command: str | Path, sandbox: Sandbox, **changes: str
    ) -> subprocess.CompletedProcess[str]:
        return self.wine.run(*command, env={**environment_of(sandbox), **changes}, cwd=self.bin)

    def start(self, program: Path, *, sandbox: Sandbox) -> subprocess.Popen[str]:
        return self.wine.start(program, env=environment_of(sandbox), cwd=self.bin)
