"""The C archives for Linux, as their user has them: unpacked somewhere, and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from project import ROOT, environment_of
from released import c_archives, unpack

from release.platforms import PLATFORMS
from skypostal.sandbox import Sandbox

pytestmark = pytest.mark.release

LINUX = [name for name in c_archives() if not PLATFORMS[name].is_windows]
EXAMPLES = ["update.c", "update.cpp", "modern.cpp"]
UPDATED = "cust_id: 51736835\n"


class Archive:
    """An unpacked archive, with the compilers of its platform and what runs its programs."""

    def __init__(self, name: str, folder: Path) -> None:
        self.platform = PLATFORMS[name]
        self.folder = unpack(c_archives()[name], folder / "archive")
        processor = self.platform.processor
        is_own = processor == os.uname().machine
        prefix = "" if is_own else f"{processor}-linux-gnu-"
        self.run_by = [] if is_own else [f"qemu-{processor}", "-L", f"/usr/{processor}-linux-gnu"]
        self.binutils = self.platform.binutils
        # What the commands of the README call cc and c++.
        self.path = folder / "bin"
        self.path.mkdir()
        for compiler, real in [("cc", "gcc"), ("c++", "g++")]:
            found = subprocess.check_output(["which", f"{prefix}{real}"], text=True)
            (self.path / compiler).symlink_to(found.strip())

    def shell(self, *lines: str) -> str:
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("LD_LIBRARY_PATH", "PKG_CONFIG_PATH", "CMAKE_PREFIX_PATH")
        }
        environment["PATH"] = f"{self.path}{os.pathsep}{environment['PATH']}"
        done = subprocess.run(
            ["sh", "-ec", "\n".join(lines)],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def tool(self, name: str, *arguments: str | Path) -> str:
        """What a program of binutils prints."""
        command = [f"{self.binutils}{name}", *map(str, arguments)]
        return subprocess.check_output(command, cwd=self.folder, text=True)

    def updates(self, program: Path, sandbox: Sandbox) -> bool:
        done = subprocess.run(
            [*self.run_by, program, "New", "Last", "1980-08-19", "M"],
            env=environment_of(sandbox),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return UPDATED in done.stdout

    def commands(self) -> list[str]:
        """The commands that the README shows, without those of CMake."""
        text = (self.folder / "README.txt").read_text()
        return re.findall(r"^    ((?:cc|export) .*)$", text, re.MULTILINE)


@pytest.fixture(scope="module", params=LINUX)
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return Archive(request.param, tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_commands_of_the_readme(example: str, archive: Archive, sandbox: Sandbox) -> None:
    exports = [line for line in archive.commands() if line.startswith("export")]
    compiles = [line for line in archive.commands() if line.startswith("cc")]
    assert (len(exports), len(compiles)) == (1, 4)
    linked = []
    for command in compiles:
        if example.endswith(".cpp"):
            command = command.replace("cc ", "c++ ", 1)
        archive.shell(*exports, command.replace("update.c ", f"{example} "))
        program = archive.folder / "update"
        linked.append("libskypostal.so.0" in archive.tool("readelf", "-d", program))
        assert archive.updates(program, sandbox)
        program.unlink()
    assert linked == [True, False, True, False]


@pytest.mark.parametrize("kind", ["skypostal", "static"])
def test_a_project_of_cmake(kind: str, archive: Archive, sandbox: Sandbox, tmp_path: Path) -> None:
    text = (archive.folder / "README.txt").read_text()
    package, link = re.findall(
        r"^    ((?:find_package|target_link_libraries)\(.*\)).*$", text, re.M
    )
    lines = ["cmake_minimum_required(VERSION 3.10)", "project(examples C CXX)", package]
    for example in EXAMPLES:
        target = example.replace(".", "-")
        lines.append(f"add_executable({target} {archive.folder / 'examples' / example})")
        lines.append(link.replace("program", target).replace("::skypostal)", f"::{kind})"))
    (tmp_path / "CMakeLists.txt").write_text("\n".join(lines))
    archive.shell(
        f"cmake -S {tmp_path} -B {tmp_path} -DCMAKE_PREFIX_PATH=$PWD "
        "-DCMAKE_C_COMPILER=cc -DCMAKE_CXX_COMPILER=c++ "
        f"-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR={archive.platform.processor}",
        f"cmake --build {tmp_path}",
    )
    for example in EXAMPLES:
        program = tmp_path / example.replace(".", "-")
        is_shared = "libskypostal.so.0" in archive.tool("readelf", "-d", program)
        assert is_shared == (kind == "skypostal")
        assert archive.updates(program, sandbox)


def test_no_newer_glibc_is_needed_than_the_platform_says(archive: Archive) -> None:
    text = archive.tool("readelf", "--wide", "--version-info", "lib/libskypostal.so")
    needed = {tuple(map(int, v.split("."))) for v in re.findall(r"Name: GLIBC_([\d.]+)", text)}
    limit = tuple(map(int, archive.platform.glibc.split(".")))
    assert needed and max(needed) <= limit


def test_the_shared_library_needs_glibc_alone_and_shows_its_own_names_alone(
    archive: Archive,
) -> None:
    dynamic = archive.tool("readelf", "--wide", "-d", "lib/libskypostal.so")
    assert "Library soname: [libskypostal.so.0]" in dynamic and "NODELETE" in dynamic
    assert "RUNPATH" not in dynamic and "RPATH" not in dynamic
    needed = set(re.findall(r"NEEDED.*\[(\w+)[.-]", dynamic))
    # Its unwinder is the one by which glibc ends a thread, through the frames of the library.
    assert "libgcc_s" in needed
    assert needed <= {"libc", "libm", "libdl", "libpthread", "librt", "libutil", "libgcc_s", "ld"}
    table = archive.tool("nm", "--dynamic", "--defined-only", "lib/libskypostal.so")
    names = {line.split()[-1].partition("@")[0] for line in table.splitlines()}
    assert names and {name for name in names if not name.startswith("skypostal_")} == set()


def test_the_static_library_keeps_its_names_of_rust_to_itself(archive: Archive) -> None:
    table = archive.tool("nm", "--defined-only", "--extern-only", "lib/libskypostal.a")
    names = set(re.findall(r"^[0-9a-f]+ [A-Z] (\S+)$", table, re.MULTILINE))
    assert "skypostal_client_new" in names
    if "without link-time optimisation" in (archive.folder / "README.txt").read_text():
        return  # The library is many objects, which name each other.
    of_rust = {name for name in names if re.match(r"_ZN|_R|rust_", name)}
    assert {name for name in of_rust if "compiler_builtins" not in name} == set()


def test_the_suppressions_for_valgrind_and_the_man_page_are_there(archive: Archive) -> None:
    share = archive.folder / "share"
    for name, folder in [("valgrind.supp", "skypostal"), ("skypostal.1", "man/man1")]:
        assert (share / folder / name).read_bytes() == (ROOT / name).read_bytes()


def test_the_folder_has_all_that_its_readme_names(archive: Archive) -> None:
    text = (archive.folder / "README.txt").read_text()
    rows = re.findall(r"^  (\S+)  ", text, re.MULTILINE)
    named = {name.rstrip("/") for name in rows} | {"README.txt", "sbom.cyclonedx.json"}
    there = {path.name for path in archive.folder.iterdir()}
    assert there - {"LICENSE-APACHE", "LICENSE-MIT"} == {name.partition("/")[0] for name in named}
    assert {"LICENSE-APACHE", "LICENSE-MIT"} < there
    # A link of the guide leads to a file of the archive or into the web.
    for link in re.findall(r"\]\(([^)]+)\)", (archive.folder / "GUIDE.txt").read_text()):
        assert link.startswith("https://") or (archive.folder / link).is_file(), link
