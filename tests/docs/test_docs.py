"""The documentation: each block of code runs, the tutorial shows what happens, the site builds."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from code_blocks import code_blocks
from project import ROOT

from skypostal.sandbox import APP_KEY, CUSTOMER_KEY, USER_CODE, Sandbox

DOCS = ROOT / "docs"
TUTORIAL = DOCS / "tutorial.md"
# Their blocks belong together in another way, and are run by the tests of what they tell about.
ELSEWHERE = {"tutorial.md", "testing.md", "cli.md", "c.md", "c-windows.md", "engines.md"}
PAGES = [page.name for page in sorted(DOCS.glob("*.md")) if page.name not in ELSEWHERE]


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    output: str = done.stdout
    return output


@pytest.fixture
def told(sandbox: Sandbox) -> dict[str, str]:
    """The environment that the pages assume; the first Python of PATH is this one."""
    return {
        **os.environ,
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),
        "PYTHONWARNINGS": "error",
        "SKYPOSTAL_BASE_URL": sandbox.url,
        "SKYPOSTAL_USER_CODE": str(USER_CODE),
        "SKYPOSTAL_APP_KEY": APP_KEY,
    }


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs(page: str, told: dict[str, str], tmp_path: Path) -> None:
    """A block goes on where the last one ended; one that has a title is a file of its own."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "app_key").write_text(APP_KEY + "\n")
    programs = {"page.py": ""}
    for block in code_blocks(DOCS / page, "python"):
        name = block.title or "page.py"
        lines = programs.get(name, "").count("\n")
        programs[name] = programs.get(name, "") + block.padded[lines:]
    for name, code in programs.items():
        code = code.replace("the customer's key", CUSTOMER_KEY)
        (tmp_path / name).write_text(code, encoding="utf-8")
        run(sys.executable, name, cwd=tmp_path, env=told)


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    yield port


def test_the_tutorial_shows_what_happens(port: int, told: dict[str, str], tmp_path: Path) -> None:
    page = tmp_path / "tutorial.md"
    page.write_text(TUTORIAL.read_text().replace("8765", str(port)))
    for block in code_blocks(page, "python"):
        (tmp_path / block.title).write_text(block.code)
    (start,) = [block for block in code_blocks(page, "sh") if "sandbox" in block.code]
    (setting,) = [block for block in code_blocks(page, "sh") if "export" in block.code]
    shown = [block.code for block in code_blocks(page, "console")]
    assert len(shown) == 6

    def follow(block: str) -> None:
        command, _, output = block.partition("\n")
        script = setting.code + command[len("$ ") :]
        assert run("bash", "-c", script, cwd=tmp_path, env=told) == output, command

    with subprocess.Popen(start.code.split(), env=told, stdout=subprocess.PIPE) as sandbox:
        assert sandbox.stdout is not None and b"listening" in sandbox.stdout.readline()
        try:
            for example in shown[:-1]:
                follow(example)
        finally:
            sandbox.terminate()
    follow(shown[-1])
