"""Finds the messages of the library and of the command line in their source.

    python tests/support/messages.py

prints them as a table, to be read from top to bottom. A message is a string of three words or more
that is no documentation.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from project import ROOT

RUST_STRING = re.compile(r'(?<![\w\'])[bc]?"((?:[^"\\]|\\.)*)"', re.DOTALL)
RUST_COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)
RUST_ATTRIBUTE = re.compile(r"^\s*#!?\[.*?\]$", re.MULTILINE | re.DOTALL)


class Message(NamedTuple):
    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.text}"


def messages() -> list[Message]:
    """Returns all of them, by file and line."""
    rust = (path for path in (ROOT / "src").rglob("*.rs") if path.name != "tests.rs")
    python = (ROOT / "python").rglob("*.py")
    found = [message for path in rust for message in of_rust(path)]
    found += [message for path in python for message in of_python(path)]
    return sorted(message for message in found if len(message.text.split()) > 2)


def product_code(path: Path) -> str:
    """Returns the lines of a Rust file before its tests."""
    return re.split(r"^\s*#\[cfg\(test\)\]\s*mod tests \{", path.read_text("utf-8"), flags=re.M)[0]


def of_rust(path: Path) -> Iterator[Message]:
    source = product_code(path)
    for pattern in (RUST_COMMENT, RUST_ATTRIBUTE):
        source = pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), source)
    for found in RUST_STRING.finditer(source):
        text = re.sub(r"\\\n\s*", "", found[1]).replace('\\"', '"')
        yield Message(path, source.count("\n", 0, found.start()) + 1, text)


def of_python(path: Path) -> Iterator[Message]:
    tree = ast.parse(path.read_text("utf-8"))
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            skipped.update(node.values)
            yield Message(path, node.lineno, ast.unparse(node)[2:-1])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped:
            yield Message(path, node.lineno, node.value)


if __name__ == "__main__":
    for message in messages():
        print(message)
