"""The examples do the same in each language, and the README's code is real."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from c_library import CLibrary
from code_blocks import code_blocks
from project import ROOT, environment_of, make

from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, Sandbox

Run = Callable[..., "subprocess.CompletedProcess[str]"]

KEPT = ("", "", "", "")
CHANGED = ("Zoë 😀", "O'Neill", "1969-12-31", "F")


EXAMPLES = ROOT / "examples"
# The program of each language, with the oldest standard that it is to compile under.
COMPILED = {"update.c": "c89", "update.cpp": "c++98", "modern.cpp": "c++11"}
TOOLCHAINS = ("java", "php", "cobol", "dotnet")
LANGUAGES: list[Any] = ["update.py", *COMPILED]
LANGUAGES += [pytest.param(name, marks=pytest.mark.toolchains) for name in TOOLCHAINS]
JNA = "/usr/share/java/jna.jar"


def needs(package: str, file: str | None) -> None:
    if file is None or not Path(file).exists():
        pytest.fail(f"a tool is missing: apt-get install {package}")


@pytest.fixture(scope="module")
def java(c_library: CLibrary, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    needs("default-jdk-headless", shutil.which("javac"))
    needs("libjna-java", JNA)
    classes = str(tmp_path_factory.mktemp("java"))
    command = ["javac", "-Xlint:all", "-Werror", "-cp", JNA, "-d", classes]
    subprocess.run([*command, str(EXAMPLES / "Update.java")], check=True)
    # Arguments reach Java in the encoding of the locale. What JAVA_TOOL_OPTIONS holds is printed.
    command = ["env", "-u", "JAVA_TOOL_OPTIONS", "LC_ALL=C.UTF-8", "java", "-cp"]
    return [*command, f"{classes}:{JNA}", f"-Djna.library.path={c_library.folder}", "Update"]


@pytest.fixture(scope="module")
def php(c_library: CLibrary) -> list[str]:
    needs("php-cli", shutil.which("php"))
    command = ["env", f"LD_LIBRARY_PATH={c_library.folder}", "php", "-d", "error_reporting=-1"]
    return [*command, str(EXAMPLES / "update.php")]


@pytest.fixture(scope="module")
def cobol(c_library: CLibrary) -> list[str]:
    needs("gnucobol3", shutil.which("cobc"))
    program = str(c_library.folder / "update-cob")
    command = ["cobc", "-x", "-free", "-fstatic-call", "-debug", "-Wall", "-Werror"]
    command += [str(EXAMPLES / "update.cob"), f"-L{c_library.folder}", "-lskypostal"]
    command += ["-Q", f"-Wl,-rpath,{c_library.folder}", "-o", program]
    subprocess.run(command, check=True)
    return [program]


@pytest.fixture(scope="module")
def dotnet(c_library: CLibrary, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    needs("mono-mcs", shutil.which("mcs"))
    needs("mono-runtime", shutil.which("mono"))
    program = str(tmp_path_factory.mktemp("dotnet") / "Update.exe")
    compile = ["mcs", "-warnaserror", f"-out:{program}", str(EXAMPLES / "Update.cs")]
    subprocess.run(compile, check=True)
    # Arguments reach Mono in the encoding of the locale.
    return ["env", "LC_ALL=C.UTF-8", f"LD_LIBRARY_PATH={c_library.folder}", "mono", program]


def command(language: str, request: pytest.FixtureRequest) -> list[str]:
    """How to run the example in this language."""
    if language in COMPILED:
        library: CLibrary = request.getfixturevalue("c_library")
        return [str(library.compile(EXAMPLES / language, f"-std={COMPILED[language]}"))]
    if language == "update.py":
        return [sys.executable, str(EXAMPLES / language)]
    of_toolchain: list[str] = request.getfixturevalue(language)
    return of_toolchain


def runner(command: list[str], sandbox: Sandbox) -> Run:
    """Runs a command with what the arguments change of its environment; it may show no key."""

    def run(*arguments: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
        environment = {**environment_of(sandbox), **changes}
        given = {name: value for name, value in environment.items() if value is not None}
        done = subprocess.run([*command, *arguments], env=given, capture_output=True, text=True)
        assert APP_KEY not in done.stdout + done.stderr
        assert CUSTOMER_KEY not in done.stdout + done.stderr
        return done

    return run


@pytest.fixture(params=LANGUAGES)
def run(request: pytest.FixtureRequest, sandbox: Sandbox) -> Run:
    """Runs the example in one language against the sandbox."""
    return runner(command(request.param, request), sandbox)


def test_an_update_prints_the_record(run: Run, sandbox: Sandbox) -> None:
    done = run(*CHANGED)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "cust_id: 51736835",
        "customer_first_name: Zoë 😀",
        "customer_last_name: O'Neill",
        "customer_identity_number: 123456789",
        "customer_tax_number: 0",
        "customer_birth_date: 1969-12-31",
        "customer_gender: F",
    ]
    assert sandbox.customers[BOX_ID]["customer_first_name"] == "Zoë 😀"


def test_an_unusual_record_is_printed_as_it_is(run: Run, sandbox: Sandbox) -> None:
    sandbox.customers.add(
        customer_box_id=100000000000000001,
        customer_key="another key",
        cust_id=9007199254740993,
        customer_first_name="",
        customer_last_name="ß" * 5000,
        customer_tax_number="12345678901234567890123456.70",
    )
    box_id = "100000000000000001"
    done = run(*KEPT, SKYPOSTAL_CUSTOMER_BOX_ID=box_id, SKYPOSTAL_CUSTOMER_KEY="another key")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "cust_id: 9007199254740993",
        "customer_first_name: ",
        "customer_last_name: " + "ß" * 5000,
        "customer_identity_number: -",
        "customer_tax_number: 12345678901234567890123456.70",
        "customer_birth_date: -",
        "customer_gender: -",
    ]


def test_an_empty_argument_keeps_its_field(run: Run, sandbox: Sandbox) -> None:
    before = sandbox.customers[BOX_ID]
    assert run(*KEPT).returncode == 0
    assert sandbox.customers[BOX_ID] == before


@pytest.mark.parametrize(
    ("arguments", "changes", "words"),
    [
        (("A", "B", "1980-13-01", "M"), {}, ["customer_birth_date: ", "nothing was sent"]),
        (("A", "B", "", "X"), {}, ["customer_gender: ", '"M" or "F"', "nothing was sent"]),
        (KEPT, {"SKYPOSTAL_APP_KEY": "wrong"}, ["refused the update", "did not make the change"]),
        (KEPT, {"SKYPOSTAL_APP_KEY": None}, ["app_key: is missing", "nothing was sent"]),
        (KEPT, {"SKYPOSTAL_CUSTOMER_KEY": None}, ["customer_key: is required"]),
        (
            KEPT,
            {"SKYPOSTAL_CUSTOMER_BOX_ID": None},
            ["customer_box_id: must be a positive integer"],
        ),
        (
            KEPT,
            {"SKYPOSTAL_USER_CODE": "x"},
            ["user_code: must be a positive integer", "SKYPOSTAL_USER_CODE"],
        ),
        (
            KEPT,
            {"SKYPOSTAL_BASE_URL": "http://127.0.0.1:9"},
            ["no connection to 127.0.0.1:9", "refused", "3 attempts", "nothing was sent"],
        ),
    ],
)
def test_a_failure_says_what_and_whether_the_customer_was_changed(
    run: Run, arguments: tuple[str, ...], changes: dict[str, str | None], words: list[str]
) -> None:
    done = run(*arguments, **changes)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 2
    for word in words:
        assert word in done.stderr


def test_wrong_arguments_are_told(run: Run) -> None:
    done = run("one")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "usage: update FIRST_NAME LAST_NAME BIRTH_DATE GENDER\n"


ROWS: list[tuple[tuple[str, ...], dict[str, str], int]] = [
    (("New Name", "New Last", "1980-08-19", "M"), {}, 0),
    (("Zoë 😀", "O'Neill \"/\\", "", "F"), {}, 0),
    (KEPT, {"SKYPOSTAL_USER_CODE": " 396"}, 1),
    (KEPT, {"SKYPOSTAL_USER_CODE": ""}, 1),
    (KEPT, {"SKYPOSTAL_APP_KEY": ""}, 1),
    (KEPT, {"SKYPOSTAL_APP_KEY": "wrong"}, 1),
    (KEPT, {"SKYPOSTAL_BASE_URL": "nonsense"}, 1),
    (KEPT, {"SKYPOSTAL_BASE_URL": "http://127.0.0.1:9"}, 1),
    (KEPT, {"SKYPOSTAL_BASE_URL": "http://192.0.2.1"}, 1),
    (KEPT, {"SKYPOSTAL_ENVIRONMENT": "prod"}, 1),
    (KEPT, {"SKYPOSTAL_CUSTOMER_KEY": ""}, 1),
    (KEPT, {"SKYPOSTAL_CUSTOMER_KEY": "wrong"}, 1),
    (KEPT, {"SKYPOSTAL_CUSTOMER_BOX_ID": "811111x"}, 1),
    (KEPT, {"SKYPOSTAL_CUSTOMER_BOX_ID": " 811111"}, 1),
    (KEPT, {"SKYPOSTAL_CUSTOMER_BOX_ID": "9" * 20}, 1),
    (("", "", "1980-13-01", "M"), {}, 1),
    (("", "", "", "m"), {}, 1),
    ((" ", "", "", ""), {}, 1),
    (("too", "few"), {}, 2),
    ((), {}, 2),
]


@pytest.mark.parametrize(("arguments", "changes", "code"), ROWS)
def test_the_examples_behave_alike_in_each_language(
    arguments: tuple[str, ...],
    changes: dict[str, str],
    code: int,
    run: Run,
    request: pytest.FixtureRequest,
    sandbox: Sandbox,
) -> None:
    if "cobol" in request.node.name:  # it cannot tell a space from an empty argument
        arguments = tuple("" if argument == " " else argument for argument in arguments)
        code = 0 if arguments == KEPT and not changes else code
    in_python = runner(command("update.py", request), sandbox)(*arguments, **changes)
    done = run(*arguments, **changes)
    assert (done.returncode, done.stdout, done.stderr) == (
        *(in_python.returncode, in_python.stdout, in_python.stderr),
    )
    assert done.returncode == code


@pytest.mark.toolchains
def test_cobol_leaves_a_field_of_spaces_as_it_is(cobol: list[str], sandbox: Sandbox) -> None:
    before = sandbox.customers[BOX_ID]
    arguments = ["  ", " ", "", " "]
    subprocess.run([*cobol, *arguments], env=environment_of(sandbox), check=True)
    assert sandbox.customers[BOX_ID] == before


@pytest.mark.toolchains
def test_cobol_takes_texts_of_any_length_that_the_service_takes(
    cobol: list[str], sandbox: Sandbox
) -> None:
    def update(name: str) -> str:
        done = subprocess.run(
            [*cobol, name, *KEPT[1:]], env=environment_of(sandbox), capture_output=True, text=True
        )
        return done.stderr

    assert update("世" * 8192) == ""
    assert sandbox.customers[BOX_ID]["customer_first_name"] == "世" * 8192
    for too_long in ["世" * 8193, "a" * 39_999, "a" * 40_000, "a" * 40_001, "😀" * 20_000]:
        assert "customer_first_name: " in update(too_long)
    assert sandbox.customers[BOX_ID]["customer_first_name"] == "世" * 8192


@pytest.mark.toolchains
def test_php_reads_the_whole_header(c_library: CLibrary, tmp_path: Path) -> None:
    needs("php-cli", shutil.which("php"))
    command = ["cc", "-E", "-P", "-DSKYPOSTAL_API=", str(ROOT / "include" / "skypostal.h")]
    (tmp_path / "header").write_bytes(subprocess.check_output(command))
    script = (
        'echo FFI::cdef(file_get_contents($argv[1]), "libskypostal.so.0")->skypostal_version();'
    )
    done = subprocess.run(
        ["php", "-r", script, str(tmp_path / "header")],
        env={**os.environ, "LD_LIBRARY_PATH": str(c_library.folder)},
        capture_output=True,
        text=True,
    )
    assert f'\nversion = "{done.stdout}"\n' in (ROOT / "Cargo.toml").read_text(), done.stderr


def test_the_readmes_python_runs(environment: None, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = code_blocks(ROOT / "README.md", "python")
    exec(block.code.replace("the customer's key", CUSTOMER_KEY), {})
    assert capsys.readouterr().out == "New Name\n"


def test_the_readmes_c_runs(
    environment: None, c_library: CLibrary, sandbox: Sandbox, tmp_path: Path
) -> None:
    (block,) = code_blocks(ROOT / "README.md", "c")
    source = tmp_path / "readme.c"
    source.write_text(block.code.replace("the customer's key", CUSTOMER_KEY))
    program = c_library.compile(source, "-std=c89")
    assert subprocess.run([program], capture_output=True, text=True).stdout == "New Name\n"
    sandbox.answer_next('[{"_verify": true, "customer_first_name": null}]')
    assert subprocess.run([program], capture_output=True, text=True).stdout == "(no first name)\n"


def test_the_demo_shows_both_updates() -> None:
    make("build/update")
    demo = [sys.executable, str(EXAMPLES / "demo.py"), str(ROOT / "build" / "update")]
    done = subprocess.run(demo, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ["From Python", "From C", '"New Name"', '"Zoë"', "Both updates arrived"]:
        assert word in done.stdout
    assert APP_KEY not in done.stdout and CUSTOMER_KEY not in done.stdout


def test_the_demo_fails_loudly() -> None:
    demo = [sys.executable, str(EXAMPLES / "demo.py"), "/bin/false"]
    done = subprocess.run(demo, capture_output=True, text=True)
    assert done.returncode == 1
    assert "the C program failed" in done.stderr
