"""What a linked program relies on for years: names, numbers, versions, how the library loads."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from c_library import CLibrary
from project import ROOT, TESTS

HEADER = ROOT / "include" / "skypostal.h"
CODE = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
VERSION = re.findall(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[0]
NUMBERS = [int(number) for number in VERSION.split(".")]
# Of the header alone, or of each version anew.
NOT_OF_THE_ABI = {"SKYPOSTAL_H", "SKYPOSTAL_API", "SKYPOSTAL_VERSION", "SKYPOSTAL_VERSION_NUMBER"}


def printed(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def shared(c_library: CLibrary) -> Path:
    return c_library.folder / "libskypostal.so"


def prototypes() -> dict[str, str]:
    """Each function of the header, on one line without the names of its parameters."""
    found = {}
    for text in re.findall(r"SKYPOSTAL_API\s+((?:\w|\*|\s)+?\([^)]*\));", CODE):
        line = re.sub(r"\s+", " ", text)
        line = re.sub(r"(?<=[ *])(?!void\))\w+(?=[,)])", "", line)
        line = re.sub(r" (?=[,)])", "", line)
        found[re.findall(r"(\w+)\(", line)[0]] = line
    return found


def declared() -> set[str]:
    """The ABI as the header has it, in the words of abi.txt."""
    macros = re.findall(r"^#define (\w+) (\w+)$", CODE, re.MULTILINE)
    constants = {f"{name} = {value}" for name, value in macros if name not in NOT_OF_THE_ABI}
    types = set(re.findall(r"^typedef [^;]+(?=;)", CODE, re.MULTILINE))
    return constants | types | set(prototypes().values())


def test_the_abi_is_as_it_was_promised() -> None:
    lines = (TESTS / "c" / "abi.txt").read_text().splitlines()
    entries = [line.split(" ", 1) for line in lines if line and not line.startswith("#")]
    promised = [entry for _, entry in entries]
    assert len(promised) == len(set(promised))
    assert set(promised) == declared()
    for since, entry in entries:
        assert [int(number) for number in since.split(".")] <= NUMBERS, entry


def test_every_function_of_the_header_is_seen() -> None:
    # Should the prototypes be written in a way that the above does not expect.
    assert set(prototypes()) == set(re.findall(r"(skypostal_\w+)\(", CODE))


def test_the_shared_library_exports_the_headers_functions_and_nothing_else(shared: Path) -> None:
    symbols = printed("nm", "-D", "--defined-only", shared)
    assert {line.split()[-1] for line in symbols.splitlines()} == set(prototypes())
    # Nor does it look them up: it cannot end up in another copy's functions.
    assert "skypostal" not in printed("readelf", "-rW", shared)


def test_the_static_librarys_names_cannot_clash(c_library: CLibrary) -> None:
    symbols = printed("nm", "-gA", "--defined-only", c_library.folder / "libskypostal.a")
    # The objects of compiler_builtins are one compiler's, the same in all its libraries.
    lines = [line.split() for line in symbols.splitlines() if ":compiler_builtins-" not in line]
    # What has other than three words is a remark, where clang's plugin for nm is older than rustc.
    names = {line[2] for line in lines if len(line) == 3}
    # ring's names hold its version; those that begin with __ belong to compilers, and theirs differ
    # in nothing; DW.ref. is one that the linker merges.
    others = {name for name in names if not re.match(r"skypostal_|ring_core_\d|__|DW\.ref\.", name)}
    assert others == set()
    assert {name for name in names if name.startswith("skypostal_")} == set(prototypes())


def test_versions_and_names_agree(c_library: CLibrary, shared: Path) -> None:
    major, minor, patch = NUMBERS
    assert f'#define SKYPOSTAL_VERSION "{VERSION}"' in CODE
    assert f"#define SKYPOSTAL_VERSION_NUMBER {major * 10**6 + minor * 1000 + patch}\n" in CODE
    cmake = (ROOT / "cmake" / "skypostal-config-version.cmake").read_text()
    assert f"set(PACKAGE_VERSION {VERSION})" in cmake
    soname = f"libskypostal.so.{major}"
    assert f"Library soname: [{soname}]" in printed("readelf", "-dW", shared)
    for link in [shared, c_library.folder / soname]:
        assert link.is_symlink()
        assert link.resolve() == c_library.folder / f"libskypostal.so.{VERSION}"


def test_the_shared_library_is_hardened_and_needs_libc_alone(shared: Path) -> None:
    dynamic = printed("readelf", "-dW", shared)
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
    assert all(re.match(r"libc\.|libm\.|libgcc_s\.|ld-linux", name) for name in needed), needed
    assert not re.search(r"TEXTREL|RPATH|RUNPATH", dynamic)
    assert re.search(r"FLAGS_1.*NOW.*NODELETE", dynamic)
    segments = printed("readelf", "-lW", shared)
    assert "GNU_RELRO" in segments
    assert re.search(r"GNU_STACK.* RW  ", segments)
    assert ".debug" not in printed("readelf", "-SW", shared)
    # Of its own names only those that tests/c/valgrind.supp needs.
    names = printed("nm", "--format=just-symbols", shared).split()
    assert all(re.search("6Thread3new|12init_current", name) for name in names), names


def test_the_shared_library_is_as_small_as_the_readme_says(shared: Path) -> None:
    told = float(re.findall(r"takes ([\d.]+) MiB", (ROOT / "README.md").read_text())[0])
    assert told < 5
    assert abs(shared.stat().st_size / 2**20 - told) < 0.3


@pytest.fixture(scope="module")
def load(c_library: CLibrary) -> Path:
    program = c_library.folder / "load"
    source = TESTS / "c" / "load.c"
    flags = ["-std=gnu99", "-Wall", "-Wextra", "-Werror", f"-I{HEADER.parent}"]
    subprocess.run(["cc", *flags, source, "-o", program, "-ldl", "-lpthread"], check=True)
    return program


@pytest.mark.usefixtures("for_programs")
@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("mode", ["unused", "called", "looked_up", "bulk"])
def test_loaded_and_closed_many_times(
    mode: str, copies: int, load: Path, shared: Path, tmp_path: Path
) -> None:
    """The second one is a file of its own, as another version would be."""
    second = shutil.copy(shared, tmp_path / "second.so")
    libraries = [str(shared), str(second)][:copies]
    done = subprocess.run([load, mode, *libraries], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.toolchains
def test_another_rust_library_may_be_linked_beside_the_static_one(
    c_library: CLibrary, tmp_path: Path
) -> None:
    (tmp_path / "other.rs").write_text(
        '#[unsafe(no_mangle)]\npub extern "C" fn other() -> i32 {\n'
        '    std::panic::catch_unwind(|| panic!("{:?}", std::env::args())).is_err() as i32\n}\n'
    )
    (tmp_path / "both.c").write_text(
        "#include <skypostal.h>\nint other(void);\n"
        "int main(void) { return other() != 1 || *skypostal_version() == 0; }\n"
    )
    rustc = ["rustc", "--edition=2024", "--crate-type=staticlib", "other.rs"]
    subprocess.run(rustc, cwd=tmp_path, check=True)
    ours, theirs = str(c_library.folder / "libskypostal.a"), "libother.a"
    for libraries in [(ours, theirs), (theirs, ours)]:
        link = ["cc", f"-I{HEADER.parent}", "both.c", "-o", "both", *libraries, "-lm"]
        subprocess.run(link, cwd=tmp_path, check=True)
        assert subprocess.run(["./both"], cwd=tmp_path, capture_output=True).returncode == 0
