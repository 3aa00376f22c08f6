"""The examples do the same in each language, and the README's commands and code are real."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from code_blocks import code_blocks
from conftest import ROOT, CLibrary, environment_of, make

from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, Sandbox

Run = Callable[..., "subprocess.CompletedProcess[str]"]

KEPT = ("", "", "", "")
CHANGED = ("Zoë 😀", "O'Neill", "1969-12-31", "F")


# The program of each language, with the oldest standard that it is to compile under.
COMPILED = {"update.c": "c89", "update.cpp": "c++98", "modern.cpp": "c++11"}


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


@pytest.fixture(params=["update.py", *COMPILED])
def run(request: pytest.FixtureRequest, sandbox: Sandbox) -> Run:
    """Runs the example in one language against the sandbox."""
    command = [sys.executable, str(ROOT / "examples" / "update.py")]
    if request.param in COMPILED:
        library: CLibrary = request.getfixturevalue("c_library")
        source = ROOT / "examples" / request.param
        command = [str(library.compile(source, f"-std={COMPILED[request.param]}"))]
    return runner(command, sandbox)


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
        (KEPT, {"SKYPOSTAL_CUSTOMER_BOX_ID": None}, ["customer_box_id: is not positive"]),
        (
            KEPT,
            {"SKYPOSTAL_USER_CODE": "x"},
            ["user_code: is not an integer", "SKYPOSTAL_USER_CODE"],
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


@pytest.fixture(scope="module")
def examples(c_library: CLibrary) -> list[list[str]]:
    """How to run the example of each language."""
    folder = ROOT / "examples"
    return [
        [sys.executable, str(folder / "update.py")],
        *[[str(c_library.compile(folder / name, f"-std={COMPILED[name]}"))] for name in COMPILED],
    ]


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
    examples: list[list[str]],
    sandbox: Sandbox,
) -> None:
    outcomes = []
    for command in examples:
        given = {**environment_of(sandbox), **changes}
        done = subprocess.run([*command, *arguments], env=given, capture_output=True, text=True)
        outcomes.append((done.returncode, done.stdout, done.stderr))
    assert outcomes == [outcomes[0]] * len(examples)
    assert outcomes[0][0] == code
    assert APP_KEY not in str(outcomes) and CUSTOMER_KEY not in str(outcomes)


def test_the_readmes_python_runs(environment: None, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = code_blocks(ROOT / "README.md", "python")
    exec(block.code.replace("the customer's key", CUSTOMER_KEY), {})
    assert capsys.readouterr().out == "New Name\n"


def test_the_readmes_c_runs(environment: None, c_library: CLibrary, tmp_path: Path) -> None:
    (block,) = code_blocks(ROOT / "README.md", "c")
    source = tmp_path / "readme.c"
    source.write_text(block.code.replace("the customer's key", CUSTOMER_KEY))
    program = c_library.compile(source, "-std=c89")
    assert subprocess.run([program], capture_output=True, text=True).stdout == "New Name\n"


def test_the_demo_shows_both_updates() -> None:
    make("build/update")
    demo = [sys.executable, str(ROOT / "examples" / "demo.py"), str(ROOT / "build" / "update")]
    done = subprocess.run(demo, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ["From Python", "From C", '"New Name"', '"Zoë"', "Both updates arrived"]:
        assert word in done.stdout
    assert APP_KEY not in done.stdout and CUSTOMER_KEY not in done.stdout


def test_the_demo_fails_loudly() -> None:
    demo = [sys.executable, str(ROOT / "examples" / "demo.py"), "/bin/false"]
    done = subprocess.run(demo, capture_output=True, text=True)
    assert done.returncode == 1
    assert "the C program failed" in done.stderr
