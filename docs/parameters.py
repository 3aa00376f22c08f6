"""Shows what a docstring says of each parameter, `name: meaning`, as an item of a list."""

from __future__ import annotations

import re
from typing import Any

import griffe

# One or several names; what goes on is indented.
PARAMETER = re.compile(r"^([a-z_]+(?:, [a-z_]+)*): (.+(?:\n {4}.+)*)", re.MULTILINE)


class Parameters(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = PARAMETER.sub(r"\n- `\1`: \2", obj.docstring.value)
