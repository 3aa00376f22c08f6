"""The code blocks of a Markdown page, so that tests can run what the page shows."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class CodeBlock:
    """One block, without its indentation."""

    title: str
    """Of ```` ```python title="…" ````."""
    line: int
    """Where its code begins in the page."""
    code: str

    @property
    def padded(self) -> str:
        """The code with as many empty lines before it, so that errors tell the line of the page."""
        return "\n" * (self.line - 1) + self.code


def code_blocks(page: Path, language: str) -> list[CodeBlock]:
    text = page.read_text(encoding="utf-8")
    blocks = []
    for match in _FENCE.finditer(text):
        if match[2] == language:
            title = re.search('title="([^"]*)"', match[3])
            line = text.count("\n", 0, match.start(4)) + 1
            blocks.append(CodeBlock(title[1] if title else "", line, textwrap.dedent(match[4])))
    return blocks
