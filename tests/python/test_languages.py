"""The tests of the examples, with the programs of Java, PHP and COBOL."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import test_examples
from conftest import ROOT, CLibrary, environment_of
from test_examples import (  # noqa: F401
    KEPT,
    ROWS,
    Run,
    runner,
    test_a_failure_says_what_and_whether_the_customer_was_changed,
    test_an_empty_argument_keeps_its_field,
    test_an_unusual_record_is_printed_as_it_is,
    test_an_update_prints_the_record,
    test_wrong_arguments_are_told,
)

from skypostal.sandbox import BOX_ID, Sandbox

pytestmark = pytest.mark.toolchains

EXAMPLES = ROOT / "examples"
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


@pytest.fixture(params=["java", "php", "cobol"])
def run(request: pytest.FixtureRequest, sandbox: Sandbox) -> Run:
    return runner(request.getfixturevalue(request.param), sandbox)


@pytest.mark.parametrize(("arguments", "changes", "code"), ROWS)
def test_they_behave_as_the_python_program_does(
    arguments: tuple[str, ...],
    changes: dict[str, str],
    code: int,
    java: list[str],
    php: list[str],
    cobol: list[str],
    sandbox: Sandbox,
) -> None:
    examples = [[sys.executable, str(EXAMPLES / "update.py")], java, php]
    if " " not in arguments:  # COBOL cannot tell it from an empty one
        examples.append(cobol)
    test_examples.test_the_examples_behave_alike_in_each_language(
        arguments, changes, code, examples, sandbox
    )


def test_cobol_leaves_a_field_of_spaces_as_it_is(cobol: list[str], sandbox: Sandbox) -> None:
    before = sandbox.customers[BOX_ID]
    arguments = ["  ", " ", "", " "]
    subprocess.run([*cobol, *arguments], env=environment_of(sandbox), check=True)
    assert sandbox.customers[BOX_ID] == before


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
