"""The rules of the layout that CONTRIBUTING.md states."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest
from project import ROOT

MAX_LINES = 500
# How the core names a face, or what only a face needs.
FACE = re.compile(r"\b(?:crate|super)::(?:capi|python)\b|\buse pyo3\b|\bpyo3::")
COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.check_output(["git", "ls-files", *patterns], cwd=ROOT, text=True)
    return [path for path in map(Path, listed.splitlines()) if (ROOT / path).exists()]


RUST = tracked("src/*.rs")


def text(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def code(path: Path) -> str:
    """A Rust file without its comments."""
    return COMMENT.sub("", text(path))


def outside(found: list[Path], *folders: str) -> list[str]:
    """The files that are in none of these folders."""
    return [str(path) for path in found if not str(path).startswith(folders)]


def test_no_file_that_is_written_by_hand_is_longer_than_500_lines() -> None:
    files = tracked("*.rs", "*.py", "*.pyi", "*.c", "*.cpp")
    lengths = {str(path): len(text(path).splitlines()) for path in files}
    assert len(lengths) > 100
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


def test_lint_reads_each_python_file() -> None:
    (names,) = re.findall(r"^PYTHON_CODE := (.+)$", text(Path("Makefile")), re.MULTILINE)
    linted = [str(path.relative_to(ROOT)) for name in names.split() for path in ROOT.glob(name)]
    files = tracked("*.py", "*.pyi")
    assert len(files) > 100 and outside(files, *linted) == []


def test_reqwest_is_used_in_src_http_alone() -> None:
    using = [path for path in RUST if re.search(r"\breqwest\b", code(path))]
    assert using and outside(using, "src/http/") == []


def test_unsafe_code_stands_in_two_folders() -> None:
    using = [path for path in RUST if re.search(r"\bunsafe\b", code(path))]
    assert using and outside(using, "src/capi/", "src/sys/") == []


def test_the_core_imports_no_face() -> None:
    importing = [path for path in RUST if FACE.search(code(path))]
    # The fuzzers call the C face as C does.
    assert outside(importing, "src/capi/", "src/python/", "src/fuzzing.rs") == []


@pytest.mark.parametrize(("face", "other"), [("capi", "python"), ("python", "capi")])
def test_a_face_does_not_import_the_other(face: str, other: str) -> None:
    files = [path for path in RUST if str(path).startswith(f"src/{face}/")]
    assert files
    assert [str(path) for path in files if f"crate::{other}" in code(path)] == []


def imported_by(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(text(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.rpartition(".")[2] for name in names}


@pytest.mark.parametrize("path", tracked("tests/*.py"), ids=str)
def test_nothing_imports_a_test_module(path: Path) -> None:
    """What tests share is in tests/support."""
    assert {name for name in imported_by(path) if re.match("test_|conftest$", name)} == set()


DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"]
DOCUMENTS += ["docs/reliability.md", "docs/security.md", "docs/testing.md"]
NAMED = re.compile(r"`([\w./*-]+\.(?:rs|py|c|cpp|h|hpp|md|json|txt|toml))`")
# Files of a reader's own, in pages that show how to use the library, and what is built.
OF_THE_READER = {
    "CONTRIBUTING.md": {"src/NAME.rs", "src/NAME/tests.rs", "RELEASE.txt"},
    "docs/testing.md": {"conftest.py", "test_update.py"},
}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_file_that_a_document_names_exists(document: str) -> None:
    """A name without a folder is that of one file, or of the one in the topmost folder."""
    files = tracked()

    def exists(name: str) -> bool:
        matching = [path for path in files if path.match(name)]
        return Path(name) in files or len(matching) == 1 or ("/" in name and bool(matching))

    named = set(NAMED.findall(text(Path(document)))) - OF_THE_READER.get(document, set())
    assert sorted(name for name in named if not exists(name)) == []
