"""The C archives for Windows: their files, and the programs of tests/c on them, under Wine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import documented
import pytest
from project import TESTS
from windows_library import WindowsLibrary

from skypostal.sandbox import Sandbox

pytestmark = pytest.mark.release

FLAGS = ("-std=gnu99", "-D_POSIX_C_SOURCE=200809L")
# Each program with its argument, if it takes one.
RUN = [
    *["golden", "errors", "fields", "options", "version", "bulk", "log"],
    *["misuse live", "misuse stale"],
    *["threads cancel", "threads together", "threads in_a_row", "many_threads allowed"],
    *["host constants", "host small_stack", "host surroundings", "host faults"],
    *["load unused", "load called", "load looked_up", "load bulk"],
]
# What has no meaning on Windows, or cannot show anything there.
NOT_RUN = {
    "forks": "Windows has no fork",
    "closed_streams": "Windows gives no number of a closed stream to a socket",
    "endings": "its ends of threads and processes are those of POSIX",
    "signals": "Windows has no signals that a thread could block or wait for",
    "privileges": "Windows has no set-user-ID programs",
    "many_threads forbidden": "it proves that ThreadSanitizer works, which MinGW does not have",
    "calls": "it is counted by callgrind, which is for Linux",
    "fault_driver": "it waits for a server's faults, which test_faults.py runs on Linux",
}
SYSTEM_DLLS = {
    *["advapi32", "bcrypt", "bcryptprimitives", "crypt32", "kernel32", "msvcrt", "ncrypt"],
    *["ktmw32", "ntdll", "oleaut32", "secur32", "userenv", "ws2_32"],
}


def promised() -> set[str]:
    """The functions of the C ABI."""
    return set(re.findall(r"\b(skypostal_\w+)\(", (TESTS / "c" / "abi.txt").read_text()))


def shown(windows: WindowsLibrary, *arguments: str | Path) -> str:
    command = [windows.tool("objdump"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_archive_has_what_each_compiler_needs(windows: WindowsLibrary) -> None:
    files = {
        path.relative_to(windows.folder).as_posix()
        for path in windows.folder.rglob("*")
        if path.is_file() and path.suffix != ".exe"
    }
    assert files >= {
        *["bin/skypostal.dll", "lib/libskypostal.dll.a", "lib/libskypostal.a"],
        *["lib/skypostal.lib", "lib/skypostal.def", "lib/pkgconfig/skypostal.pc"],
        *["include/skypostal.h", "include/skypostal.hpp", "LICENSE-MIT", "LICENSE-APACHE"],
        *["GUIDE.txt", "WINDOWS.txt", "examples/update.c", "examples/Update.cs"],
        "share/cmake/skypostal/skypostal-config.cmake",
        "share/cmake/skypostal/skypostal-config-version.cmake",
    }


def test_the_dll_exports_the_functions_and_imports_the_system_alone(
    windows: WindowsLibrary,
) -> None:
    table = shown(windows, "-p", windows.dll)
    exported = re.findall(
        r"^\s*\[ *\d+\][^\n]*?(\w+)$", table.split("[Ordinal/Name Pointer]")[1], re.M
    )
    assert set(exported) == promised()
    imported = {name.lower() for name in re.findall(r"DLL Name: (\S+)\.dll", table)}
    assert imported and {n for n in imported if not n.startswith("api-ms-win-")} <= SYSTEM_DLLS
    # Undecorated names: cdecl, on x86 too.
    assert set((windows.lib / "skypostal.def").read_text().split()[3:]) == promised()


def test_windows_shows_the_version_of_the_dll(windows: WindowsLibrary) -> None:
    (version,) = re.findall(
        r'SKYPOSTAL_VERSION "(.*)"', (windows.include / "skypostal.h").read_text()
    )
    texts = windows.dll.read_bytes().decode("utf-16-le", errors="ignore")
    assert f"ProductVersion\0{version}\0" in texts or f"ProductVersion\0\0{version}\0" in texts


def test_each_program_is_run_or_named_with_the_reason() -> None:
    print(*(f"not run: {name}: {reason}" for name, reason in NOT_RUN.items()), sep="\n")
    programs = {path.stem for path in (TESTS / "c").glob("*.c")}
    assert programs == {name.split()[0] for name in [*RUN, *NOT_RUN]}


@pytest.fixture(scope="module")
def compiled(windows: WindowsLibrary) -> Callable[[str], Path]:
    """Compiles a program of tests/c once."""
    programs: dict[str, Path] = {}

    def program(name: str) -> Path:
        if name not in programs:
            programs[name] = windows.compile(TESTS / "c" / f"{name}.c", *FLAGS)
        return programs[name]

    return program


@pytest.mark.parametrize("program", RUN)
def test_a_program_runs(
    program: str,
    windows: WindowsLibrary,
    compiled: Callable[[str], Path],
    patient: Sandbox,
    checks: list[int],
) -> None:
    name, *arguments = program.split()
    libraries: list[str | Path] = []
    if name == "load":
        # The second one is a file of its own, as another version would be.
        second = Path(shutil.copy(windows.dll, windows.bin / "second.dll"))
        libraries = [windows.dll, second]
    done = windows.run(compiled(name), *arguments, *libraries, sandbox=patient)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stderr}"
    # A program that crashed may have no code that Wine passes on.
    passed = re.search(r"^(\d+) checks, 0 failures$", done.stderr, re.MULTILINE)
    assert passed, done.stderr
    checks.append(int(passed[1]))
    if name == "golden":
        assert json.loads(done.stdout) == documented.RESPONSE
        assert json.loads(patient.requests[0].body) == documented.REQUEST


def test_a_dll_that_cannot_be_loaded(
    windows: WindowsLibrary, compiled: Callable[[str], Path], sandbox: Sandbox, tmp_path: Path
) -> None:
    """What the loader says, of which docs/c-windows.md tells the meaning."""
    header = bytearray(windows.dll.read_bytes())
    # The processor, in the header to which the word at 0x3c points: ARM.
    at = int.from_bytes(header[0x3C:0x40], "little") + 4
    header[at : at + 2] = (0x01C4).to_bytes(2, "little")
    (tmp_path / "other.dll").write_bytes(header)
    for library, error in [(tmp_path / "missing.dll", 126), (tmp_path / "other.dll", 193)]:
        done = windows.run(compiled("load"), "unused", library, sandbox=sandbox)
        assert f"Windows error {error}\n" in done.stderr
    alone = shutil.copy(compiled("version"), tmp_path)
    # STATUS_DLL_NOT_FOUND, of which Wine's launcher passes the low byte.
    assert windows.wine.run(Path(alone)).returncode & 0xFF == 0xC0000135 & 0xFF


@pytest.mark.parametrize("standard", ["c89", "c99", "c++98", "c++11"])
def test_the_headers_compile_without_a_warning(standard: str, windows: WindowsLibrary) -> None:
    strict = [f"-std={standard}", "-pedantic-errors", "-Wall", "-Wextra", "-Werror"]
    strict += [
        "-fsyntax-only",
        f"-I{windows.include}",
        "-x",
        "c++" if "++" in standard else "c",
        "-",
    ]
    header = "skypostal.hpp" if standard == "c++11" else "skypostal.h"
    code = f"#include <{header}>\nint main(void) {{ return skypostal_version_number() < 0; }}\n"
    target = f"--target={windows.platform.processor}-pc-windows-msvc"
    compilers = [[windows.tool("g++" if "++" in standard else "gcc")]]
    if standard != "c++11":  # for which clang would need Microsoft's own headers
        compilers.append(["clang", target, "-ffreestanding"])
    for compiler in compilers:
        done = subprocess.run([*compiler, *strict], input=code, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
