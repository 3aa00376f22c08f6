"""Programs linked with an unpacked archive for Windows, in each way that its users have."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from code_blocks import code_blocks
from project import ROOT
from windows_library import COMMON, WindowsLibrary

from skypostal.sandbox import BOX_ID, CUSTOMER_KEY, Sandbox

pytestmark = pytest.mark.release

PROGRAMS = Path(__file__).parent / "programs"
EXAMPLES = {"update.c": "c89", "update.cpp": "c++98", "modern.cpp": "c++11"}


def updates(windows: WindowsLibrary, program: Path, sandbox: Sandbox) -> None:
    """Asserts that the program, which is one of the examples, updates the customer."""
    done = windows.run(program, "Linked", "Last", "1980-08-19", "F", sandbox=sandbox)
    assert (done.returncode, done.stderr) == (0, "")
    assert "cust_id: 51736835\ncustomer_first_name: Linked\n" in done.stdout
    assert sandbox.customers[BOX_ID]["customer_first_name"] == "Linked"


def imports_skypostal(windows: WindowsLibrary, program: Path) -> bool:
    command = [windows.tool("objdump"), "-p", str(program)]
    return "DLL Name: skypostal.dll" in subprocess.check_output(command, text=True)


@pytest.mark.parametrize("example", EXAMPLES)
def test_bare_flags(example: str, windows: WindowsLibrary, sandbox: Sandbox) -> None:
    source = windows.folder / "examples" / example
    program = windows.compile(source, f"-std={EXAMPLES[example]}", name=f"bare-{source.stem}")
    updates(windows, program, sandbox)


@pytest.mark.parametrize("static", [False, True])
def test_pkg_config(static: bool, windows: WindowsLibrary, sandbox: Sandbox) -> None:
    # The paths in there are seen from the file, and the archive was unpacked anywhere.
    path = {"PKG_CONFIG_LIBDIR": str(windows.lib / "pkgconfig")}
    command = ["pkg-config", *(["--static"] if static else []), "--cflags", "--libs", "skypostal"]
    flags = subprocess.check_output(command, env={**os.environ, **path}, text=True).split()
    if static:
        flags = ["-l:libskypostal.a" if flag == "-lskypostal" else flag for flag in flags]
    program = windows.bin / f"pkg-config-{'static' if static else 'shared'}.exe"
    source = windows.folder / "examples" / "update.c"
    compiler = [windows.tool("gcc"), *COMMON, str(source), "-o", str(program)]
    subprocess.run([*compiler, *flags], check=True)
    assert imports_skypostal(windows, program) is not static
    updates(windows, program, sandbox)


CMAKE = """
cmake_minimum_required(VERSION 3.16)
project(of_a_user C)
add_executable(my_program "${EXAMPLE}")
@LINES_OF_THE_GUIDE@
add_executable(cmake-static "${EXAMPLE}")
target_link_libraries(cmake-static skypostal::static)
"""


def test_cmake(windows: WindowsLibrary, sandbox: Sandbox, tmp_path: Path) -> None:
    (block,) = code_blocks(ROOT / "docs" / "c-windows.md", "cmake")
    (tmp_path / "CMakeLists.txt").write_text(CMAKE.replace("@LINES_OF_THE_GUIDE@", block.code))
    (tmp_path / "toolchain.cmake").write_text(
        f"set(CMAKE_SYSTEM_NAME Windows)\nset(CMAKE_C_COMPILER {windows.tool('gcc')})\n"
    )
    flags = [f"-DCMAKE_TOOLCHAIN_FILE={tmp_path / 'toolchain.cmake'}"]
    flags += [f"-DCMAKE_PREFIX_PATH={windows.folder}", "-DCMAKE_C_FLAGS=-static-libgcc"]
    flags += [f"-DEXAMPLE={windows.folder / 'examples' / 'update.c'}"]
    for command in [["cmake", "-S", ".", "-B", "build", *flags], ["cmake", "--build", "build"]]:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    for name in ["my_program", "cmake-static"]:
        program = windows.beside_dll(tmp_path / "build" / f"{name}.exe")
        assert imports_skypostal(windows, program) is (name == "my_program")
        updates(windows, program, sandbox)


CMAKE_OF_MSVC = """
cmake_minimum_required(VERSION 3.16)
project(of_a_user NONE)
find_package(skypostal REQUIRED)
get_target_property(library skypostal::skypostal IMPORTED_IMPLIB)
get_target_property(dll skypostal::skypostal IMPORTED_LOCATION)
message("linked with ${library} for ${dll}")
if(TARGET skypostal::static)
  message("static")
endif()
"""


def test_cmake_with_another_compiler_than_mingw(windows: WindowsLibrary, tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(CMAKE_OF_MSVC)
    command = ["cmake", ".", "-DCMAKE_SYSTEM_NAME=Windows", f"-DCMAKE_PREFIX_PATH={windows.folder}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"linked with {windows.lib / 'skypostal.lib'} for {windows.dll}\n" in done.stderr
    assert "static" not in done.stderr


def test_the_linker_of_llvm_in_place_of_microsofts(
    windows: WindowsLibrary, sandbox: Sandbox, tmp_path: Path
) -> None:
    x86 = windows.platform.processor == "i686"
    compile = ["clang", f"--target={windows.platform.processor}-pc-windows-msvc", "-ffreestanding"]
    compile += ["-Wall", "-Wextra", "-Werror", f'-DCUSTOMER_KEY="{CUSTOMER_KEY}"']
    compile += [f"-I{windows.include}", "-c", str(PROGRAMS / "bare.c"), "-o", "bare.obj"]
    (tmp_path / "kernel32.def").write_text(
        f"LIBRARY kernel32.dll\nEXPORTS\nExitProcess{'@4' if x86 else ''}\n"
    )
    machine = "i386" if x86 else "i386:x86-64"
    library = ["llvm-dlltool", "-m", machine, "-k", "-d", "kernel32.def", "-l", "kernel32.lib"]
    program = windows.bin / "lld-link.exe"
    link = ["lld-link", "bare.obj", str(windows.lib / "skypostal.lib"), "kernel32.lib"]
    link += ["/entry:start", "/subsystem:console", "/nodefaultlib", f"/out:{program}"]
    # Without a C library there is no table of exception handlers.
    link += ["/safeseh:no"] if x86 else []
    for command in [compile, library, link]:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), command
    assert windows.run(program, sandbox=sandbox).returncode == 0
    assert sandbox.customers[BOX_ID]["customer_first_name"] == "Linked"
