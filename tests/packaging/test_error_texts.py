"""No code decides by an error's text: what a program needs to know is an attribute.

In Python the text of an error is followed through names and calls of one module. In Rust, which has
types for nearly all, a search for the usual spellings is enough.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from messages import product_code
from project import ROOT

ERROR_NAMES = {"error", "err", "exc", "exception", "problem", "failure"}
TEXT_ATTRIBUTES = {"args", "message", "msg", "reason", "strerror", "description"}
MATCHING_METHODS = {
    "partition", "rpartition", "split", "rsplit", "startswith", "endswith", "find", "rfind",
    "index", "rindex", "count", "removeprefix", "removesuffix",
}  # fmt: skip
MATCHING_FUNCTIONS = {"match", "fullmatch", "search", "findall", "finditer", "split", "sub"}

Function = (ast.FunctionDef, ast.AsyncFunctionDef)


class Module:
    """The names of one module that hold an error or the text of one."""

    def __init__(self, source: str) -> None:
        self.tree = ast.parse(source)
        self.functions = {f.name: f for f in ast.walk(self.tree) if isinstance(f, Function)}
        self.scopes: dict[ast.AST, ast.AST] = {}
        self._enter(self.tree, self.tree)
        self.errors: set[tuple[ast.AST, str]] = set()
        self.texts: set[tuple[ast.AST, str]] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ExceptHandler) and node.name:
                self.errors.add((self.scopes[node], node.name))
            elif isinstance(node, ast.arg) and self._is_error_argument(node):
                self.errors.add((self.scopes[node], node.arg))
        if "error" in self.functions:  # argparse calls it with the text of an error
            self.texts.add((self.functions["error"], "message"))
        seen = -1
        while seen != len(self.texts) + len(self.errors):
            seen = len(self.texts) + len(self.errors)
            for node in ast.walk(self.tree):
                self._follow(node)

    def _enter(self, node: ast.AST, scope: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            inner = child if isinstance(child, Function) else scope
            self.scopes[child] = scope if inner is child else inner
            self._enter(child, inner)

    @staticmethod
    def _is_error_argument(node: ast.arg) -> bool:
        annotation = ast.unparse(node.annotation) if node.annotation else ""
        if annotation in ("str", "str | None"):
            return False
        return node.arg in ERROR_NAMES or bool(re.search(r"\w(Error|Exception)\b", annotation))

    def _follow(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    self._mark(self.scopes[node], target.id, node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            function = self.functions.get(node.func.id)
            if function is not None:
                for parameter, value in zip(function.args.args, node.args):
                    self._mark(function, parameter.arg, value)

    def _mark(self, scope: ast.AST, name: str, value: ast.expr) -> None:
        if self.is_error(value):
            self.errors.add((scope, name))
        elif self.is_text(value):
            self.texts.add((scope, name))

    def is_error(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and (self.scopes[node], node.id) in self.errors

    def is_text(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return (self.scopes[node], node.id) in self.texts
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in ("str", "repr"):
                return any(self.is_error(each) or self.is_text(each) for each in node.args)
            # Such as str(error).lower()
            return isinstance(called, ast.Attribute) and self.is_text(called.value)
        if isinstance(node, ast.Attribute):
            return node.attr in TEXT_ATTRIBUTES and self.is_error(node.value)
        if isinstance(node, ast.Subscript):
            return self.is_text(node.value)
        if isinstance(node, ast.BoolOp):
            return any(map(self.is_text, node.values))
        return False

    def matches(self) -> Iterator[int]:
        """Yields the lines that decide by the text of an error."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Compare):
                # Whether there is a text, and whether two errors are equal, decides nothing.
                sides = [node.left, *node.comparators]
                if any(map(self.is_text, sides)) and not all(
                    self.is_text(side)
                    or isinstance(side, ast.Constant)
                    and side.value in ("", None)
                    for side in sides
                ):
                    yield node.lineno
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = node.func
                if called.attr in MATCHING_METHODS and self.is_text(called.value):
                    yield node.lineno
                if called.attr in MATCHING_FUNCTIONS and any(map(self.is_text, node.args)):
                    yield node.lineno


@pytest.mark.parametrize(
    ("statement", "is_match"),
    [
        ("if 'gone' in str(error): pass", True),
        ("if error.args[0] == 'gone': pass", True),
        ("x = str(error).lower().partition(':')", True),
        ("text = str(error)\n    if text.startswith('x'): pass", True),
        ("x = re.search('a', error.message)", True),
        ("x = advice(str(error))", True),
        ("x = advice(error)", True),
        ("def error(self, message):\n        return 'expected' in message", True),
        ("raise OtherError(str(error)) from None", False),
        ("x = str(error) or 'interrupted'", False),
        ("if error.kind == 'lost' and error.errno in (1, 2): pass", False),
    ],
)
def test_a_match_is_found(statement: str, is_match: bool) -> None:
    source = f"""
def advice(text):
    return "online" in str(text)

try:
    f()
except OSError as error:
    {statement}
"""
    assert bool(list(Module(source).matches())) is is_match


def test_no_python_code_decides_by_the_text_of_an_error() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / "python").rglob("*.py"))
        for line in Module(path.read_text("utf-8")).matches()
    ]
    assert not found


RUST = re.compile(
    r"(to_string\(\)|message\(\)|reason\(\)|\bmessage|\bcauses|\bproblem|\berror)"
    r"\.(contains|starts_with|ends_with|find|r?split_once|strip_prefix|strip_suffix|matches)\("
)


def test_no_rust_code_decides_by_the_text_of_an_error() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "src").rglob("*.rs"))
        if path.name != "tests.rs"
        for number, line in enumerate(product_code(path).splitlines(), 1)
        if RUST.search(line)
    ]
    assert not found
