"""What the site shows otherwise than its sources: an extension of griffe and a hook of mkdocs."""

from __future__ import annotations

import re
from typing import Any

import griffe

# One or several names, and what they mean; what goes on is indented.
PARAMETER = re.compile(r"^([a-z_]+(?:, [a-z_]+)*): (.+(?:\n {4}.+)*)", re.MULTILINE)
# A file of the repository that is no page.
ELSEWHERE = re.compile(r"\[([^]]*)\]\(\.\./[^)]*\)")


class Parameters(griffe.Extension):
    """Makes what a docstring says of each parameter an item of a list."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = PARAMETER.sub(r"\n- `\1`: \2", obj.docstring.value)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links out of the folder work in the repository; on the site they are plain text."""
    return markdown if "/" in page.file.src_uri else ELSEWHERE.sub(r"\1", markdown)
