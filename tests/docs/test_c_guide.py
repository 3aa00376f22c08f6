"""What docs/c.md shows is what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest
from c_library import CLibrary
from code_blocks import CodeBlock, code_blocks
from project import ROOT, environment_of

from skypostal.sandbox import CUSTOMER_KEY, Sandbox

PAGE = ROOT / "docs" / "c.md"
LANGUAGES = ["c", "cmake", "sh", "text"]
# Runs the code of a program.
Valgrind = Callable[[str, Sandbox], "subprocess.CompletedProcess[str]"]


def in_order() -> list[tuple[str, CodeBlock]]:
    blocks = [(name, block) for name in LANGUAGES for block in code_blocks(PAGE, name)]
    return sorted(blocks, key=lambda item: item[1].line)


def name_of(block: CodeBlock) -> str:
    match = re.match(r"/\* (\S+) \*/", block.code)
    assert match, f"line {block.line}: the first line of a program names its file"
    return match[1]


def programs() -> dict[str, tuple[str, str]]:
    """The programs with what each prints, by their names."""
    found: dict[str, tuple[str, str]] = {}
    last = ""
    for language, block in in_order():
        if language == "c" and name_of(block).endswith(".c"):
            last = name_of(block)
            found[last] = (block.code.replace("the customer's key", CUSTOMER_KEY), "")
        elif language == "text" and found[last][1] == "":
            found[last] = (found[last][0], block.code)
    return found


@pytest.fixture
def given(for_programs: None) -> dict[str, str]:
    """The environment of a program: the sandbox and its customer."""
    return {name: value for name, value in os.environ.items() if "MAKE" not in name}


@pytest.mark.parametrize("name", programs())
def test_a_program_prints_what_the_page_says(
    name: str, c_library: CLibrary, given: dict[str, str], tmp_path: Path
) -> None:
    code, printed = programs()[name]
    assert printed
    (tmp_path / name).write_text(code)
    program = c_library.compile(tmp_path / name, "-std=c89", "-Wstrict-prototypes")
    done = subprocess.run([program], cwd=tmp_path, env=given, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")


@pytest.mark.parametrize(
    "name", [name for name, (code, _) in programs().items() if "_read_environment" in code]
)
def test_a_program_tells_what_is_wrong_with_its_surroundings(
    name: str, c_library: CLibrary, given: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(programs()[name][0])
    program = c_library.compile(tmp_path / name, "-std=c89")
    given["SKYPOSTAL_BASE_URL"] = "nonsense"
    done = subprocess.run([program], cwd=tmp_path, env=given, capture_output=True, text=True)
    assert done.returncode != 0
    assert "base_url: must be " in done.stdout + done.stderr


@pytest.fixture(scope="module")
def under_valgrind(c_library: CLibrary, tmp_path_factory: pytest.TempPathFactory) -> Valgrind:
    """Compiles a program and runs it by the page's command, with a library without names."""
    folder = tmp_path_factory.mktemp("stripped")
    for name in ["libskypostal.so", "libskypostal.so.0"]:
        subprocess.run(["strip", c_library.folder / name, "-o", folder / name], check=True)
    (command,) = [b.code for b in code_blocks(PAGE, "sh") if b.code.startswith("valgrind ")]
    command = command.replace("$(pkg-config --variable=prefix skypostal)", str(c_library.prefix))

    def run(code: str, sandbox: Sandbox) -> subprocess.CompletedProcess[str]:
        (folder / "program.c").write_text(code)
        program = c_library.compile(folder / "program.c", "-std=c89", "-Wstrict-prototypes")
        given = {**environment_of(sandbox), "LD_LIBRARY_PATH": str(folder)}
        if sandbox.ca_file is not None:
            given["SSL_CERT_FILE"] = str(sandbox.ca_file)
        shell = ["sh", "-euc", command.replace("./first", str(program))]
        return subprocess.run(shell, cwd=folder, env=given, capture_output=True, text=True)

    return run


@pytest.mark.memcheck
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "over TLS"])
@pytest.mark.parametrize("name", programs())
def test_valgrind_passes_a_program(name: str, tls: bool, under_valgrind: Valgrind) -> None:
    code, printed = programs()[name]
    with Sandbox(tls=tls) as sandbox:
        done = under_valgrind(code, sandbox)
    assert done.stderr == ""
    assert (done.returncode, done.stdout) == (0, printed)


@pytest.mark.memcheck
@pytest.mark.parametrize("handle", ["options", "client", "update", "personal_info"])
def test_valgrind_reports_a_handle_that_is_not_freed(handle: str, under_valgrind: Valgrind) -> None:
    code, printed = programs()["first.c"]
    kept, freed = re.subn(rf"skypostal_{handle}_free\(\w+\);", "", code)
    with Sandbox() as sandbox:
        done = under_valgrind(kept, sandbox)
    assert (freed, done.returncode, done.stdout) == (1, 9, printed)
    assert "definitely lost" in done.stderr


def test_it_can_be_tried_without_an_account(c_library: CLibrary, tmp_path: Path) -> None:
    """With what `skypostal sandbox` prints, and no other variable of ours."""
    code, printed = programs()["first.c"]
    (tmp_path / "first.c").write_text(code)
    program = c_library.compile(tmp_path / "first.c", "-std=c89", "-Wstrict-prototypes")
    bare = {name: value for name, value in os.environ.items() if "SKYPOSTAL" not in name}
    command = [sys.executable, "-m", "skypostal", "sandbox", "--quiet"]
    with subprocess.Popen(command, env=bare, stdout=subprocess.PIPE, text=True) as sandbox:
        try:
            assert sandbox.stdout is not None
            told = iter(sandbox.stdout.readline, "Ctrl-C ends it.\n")
            exports = "".join(line for line in told if line.startswith("    export "))
            for example in [*(ROOT / "examples").iterdir(), PAGE]:
                for name in re.findall("SKYPOSTAL_(?:USER|APP|CUST)[A-Z_]+", example.read_text()):
                    assert f"export {name}=" in exports, example
            done = subprocess.run(
                ["sh", "-euc", f"{exports}{program}"], env=bare, capture_output=True, text=True
            )
        finally:
            sandbox.terminate()
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")


@pytest.mark.toolchains
def test_the_commands_do_what_the_page_says(given: dict[str, str], tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    environment = {
        **given,
        "PKG_CONFIG_PATH": f"{prefix}/lib/pkgconfig",
        "CMAKE_PREFIX_PATH": str(prefix),
        "LD_LIBRARY_PATH": f"{prefix}/lib",
    }
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    last = ""
    for language, block in in_order():
        code = block.code.replace("the customer's key", CUSTOMER_KEY)
        code = code.replace("/usr/local", str(prefix))
        if language == "c":
            (tmp_path / name_of(block)).write_text(code)
        elif language == "cmake":
            (tmp_path / "CMakeLists.txt").write_text(code)
        elif language == "sh":
            folder = ROOT if code.startswith("make ") else tmp_path
            command = ["sh", "-euc", code]
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"line {block.line}: {done.stderr}"
            last = done.stdout
        else:
            assert last == code, f"line {block.line}"


def test_what_it_shows_of_other_languages_stands_in_their_programs() -> None:
    for language, name in [("java", "Update.java"), ("php", "update.php"), ("cobol", "update.cob")]:
        (block,) = code_blocks(PAGE, language)
        program = (ROOT / "examples" / name).read_text().splitlines()
        for line in block.code.splitlines():
            assert line.strip() in [other.strip() for other in program]


def test_each_status_is_told() -> None:
    header = (ROOT / "include" / "skypostal.h").read_text()
    statuses = re.findall(r"#define (SKYPOSTAL_[A-Z]+(?:_FIELD)?) \d+$", header, re.MULTILINE)
    rows = re.findall(r"^\| `(SKYPOSTAL_\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert ["SKYPOSTAL_OK", *rows] == statuses


def test_the_header_needs_no_more_than_the_pages_stdint(tmp_path: Path) -> None:
    (block,) = [b for b in code_blocks(PAGE, "c") if name_of(b) == "stdint.h"]
    (tmp_path / "stdint.h").write_text(block.code)
    command = ["cc", "-std=c89", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-nostdinc"]
    command += [f"-I{tmp_path}", f"-I{ROOT / 'include'}", "-fsyntax-only", "-x", "c", "-"]
    code = "#include <skypostal.h>\nint main(void) { return skypostal_version_number() < 0; }\n"
    done = subprocess.run(command, input=code, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def links() -> Iterator[str]:
    return (m[1] for m in re.finditer(r"\]\(([^)]+)\)", PAGE.read_text()))


def test_its_links_lead_somewhere() -> None:
    for link in links():
        page, _, anchor = link.partition("#")
        if not link.startswith("https://"):
            assert (PAGE.parent / page).exists(), link
            assert not anchor or anchor in anchors(PAGE.parent / page if page else PAGE), link


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in headings}
