"""The C++ face: every member of skypostal.hpp, its moves and exceptions, and its own example."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from c_library import VALGRIND, CLibrary, example_of
from fault_server import FaultServer, Script, close, hang, read, response, send
from project import ROOT, TESTS

from skypostal.sandbox import Sandbox

HEADER = ROOT / "include" / "skypostal.hpp"
MEMBERS = TESTS / "cpp" / "members.cpp"
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wold-style-cast"]
SYSTEM_ERROR = (
    b'[{"_verify":false,"error":{"error_description":"down","error_location":"Db",'
    b'"system_error":true}}]'
)


pytestmark = pytest.mark.usefixtures("for_programs")


@pytest.fixture
def run(sandbox: Sandbox) -> Iterator[Callable[..., None]]:
    """Runs tests/cpp/members.cpp, compiled, against the sandbox and the responses it expects."""
    scripts: list[Script] = [
        [read, send(response(b"busy", "503 Busy", "Retry-After: 7", "X-Request-Id: 42"))],
        [read, send(response(b"[]"))],
        [read, send(response(SYSTEM_ERROR))],
        [read, close],
        [read, hang],
        [read, hang],
    ]
    with FaultServer(scripts) as server:

        def run(*command: str) -> None:
            given = [*command, sandbox.url, server.url]
            done = subprocess.run(given, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, f"exit code {done.returncode}\n{done.stderr}"

        yield run


@pytest.mark.parametrize("standard", ["c++11", "c++20"])
def test_every_member(standard: str, c_library: CLibrary, run: Callable[..., None]) -> None:
    run(str(c_library.compile(MEMBERS, f"-std={standard}", *WARNINGS)))


@pytest.mark.memcheck
def test_no_memory_is_lost_or_misused(c_library: CLibrary, run: Callable[..., None]) -> None:
    run(*VALGRIND, str(c_library.compile(MEMBERS, "-std=c++11", "-g")))


def test_the_header_uses_every_function_of_c_and_members_cpp_every_member() -> None:
    declared = re.findall(r"(skypostal_\w+)\(", (ROOT / "include" / "skypostal.h").read_text())
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", HEADER.read_text(), flags=re.DOTALL)
    assert set(declared) - set(re.findall(r"skypostal_\w+", code)) == set()
    members = set(re.findall(r"^(?:    |inline )(?:[\w:<>]+ [*&]?)*?(\w+)\(", code, re.MULTILINE))
    assert len(members) > 40
    # The first three are called by the header itself, the others without their name.
    inside = {"set", "copy", "check_setter", "text", "operator", "skypostal_strerror"}
    assert members - set(re.findall(r"\w+", MEMBERS.read_text())) <= inside


def test_every_setter_and_getter_is_explained() -> None:
    types = r"options &|update &|optional<.*> |skypostal::\w+ |bool |int |kind |personal_info "
    member = rf"(\*/\n)?^    (?:{types}|const \w+ &)(\w+)\("
    members = re.findall(member, HEADER.read_text(), re.MULTILINE)
    assert len(members) > 40
    without = {name for comment, name in members if not comment}
    assert without == {"has_value", "set"}  # the first is std::optional's, the second private


def compiles(compiler: str, standard: str, code: str) -> str:
    """What the compiler says, with any warning an error."""
    command = [compiler, f"-std={standard}", "-x", "c++", "-fsyntax-only", "-Werror", *WARNINGS]
    command += [f"-I{HEADER.parent}", "-"]
    return subprocess.run(command, input=code, text=True, capture_output=True).stderr


STANDARDS = ["c++11", "c++14", "c++17", "c++20", "c++2b"]
# The oldest and the newest at every turn, and all with all for `make test-toolchains`.
COMPILERS = [
    pytest.param(compiler, standard, marks=[pytest.mark.toolchains] if marked else [])
    for compiler in ("c++", "clang++")
    for standard in STANDARDS
    for marked in [compiler == "clang++" or standard not in (STANDARDS[0], STANDARDS[-1])]
]


@pytest.mark.parametrize(("compiler", "standard"), COMPILERS)
def test_it_compiles_without_a_warning(compiler: str, standard: str) -> None:
    ours, others = "#include <skypostal.hpp>\n", "#include <string>\n#include <skypostal.h>\n"
    for includes in [ours + ours + others, others + ours]:
        assert compiles(compiler, standard, includes) == ""
    code = MEMBERS.read_text().replace("../c/check.h", str(TESTS / "c" / "check.h"))
    assert compiles(compiler, standard, code) == ""


@pytest.mark.parametrize(
    "mistake",
    [
        "skypostal::update copy(update);",
        "update = skypostal::update(update);",
        "skypostal::options().timeout(30);",
        "skypostal::options().timeout(std::chrono::microseconds(1));",
        "skypostal::client client(nullptr);",
        'update.customer_box_id("811111");',
        "std::string name = update.customer_first_name();",
    ],
)
def test_a_mistake_does_not_compile(mistake: str) -> None:
    code = "#include <skypostal.hpp>\nvoid f(skypostal::update &update)\n{\n%s\n}\n"
    assert compiles("c++", "c++11", code % "update.customer_box_id(811111);") == ""
    assert "error" in compiles("c++", "c++11", code % mistake)


def test_two_files_of_one_program_may_include_it(c_library: CLibrary, tmp_path: Path) -> None:
    code = "#include <skypostal.hpp>\nint %s() { return skypostal::version_is_sufficient(); }\n"
    (tmp_path / "other.cpp").write_text(code % "other")
    (tmp_path / "both.cpp").write_text(
        code % "same" + "int other();\nint main() { return same() + other() - 2; }\n"
    )
    program = c_library.compile(tmp_path / "both.cpp", "-std=c++11", str(tmp_path / "other.cpp"))
    assert subprocess.run([program]).returncode == 0


def test_the_headers_example_runs(
    c_library: CLibrary, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = tmp_path / "hpp_example.cpp"
    source.write_text(example_of(HEADER))
    program = c_library.compile(source, "-std=c++11")
    monkeypatch.setenv("SKYPOSTAL_BASE_URL", sandbox.url)
    done = subprocess.run([program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "now New Name\n")
    monkeypatch.setenv("SKYPOSTAL_BASE_URL", "nonsense")
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout.startswith("base_url: ")


@pytest.mark.parametrize("mode", ["static", "main", "first", "after"])
def test_destructors_of_static_and_thread_local_objects_may_call(
    mode: str, c_library: CLibrary
) -> None:
    program = c_library.compile(TESTS / "cpp" / "endings.cpp", "-std=c++11", *WARNINGS)
    done = subprocess.run([program, mode], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
