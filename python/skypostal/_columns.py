"""Names of columns that are not ours."""

from __future__ import annotations

import unicodedata


def squeezed(name: str) -> str:
    """Returns the name without case, punctuation, white space and invisible characters."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return "".join(character for character in text if character.isalnum())
