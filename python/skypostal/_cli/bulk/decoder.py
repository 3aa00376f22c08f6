"""Decodes the lines of a table, and notes what speaks against the encoding that was given."""

from __future__ import annotations

import codecs

_MAX_LETTERS = 60


def is_usable(encoding: str) -> bool:
    """Returns whether the ends of lines can be found before decoding."""
    try:
        return "\n,;".encode(name_of(encoding)) == b"\n,;"
    except (LookupError, UnicodeError):
        return False


def name_of(encoding: str) -> str:
    """Returns Python's name of an encoding. UTF-8 may begin with a byte-order mark anyway."""
    name = codecs.lookup(encoding).name
    return "utf-8" if name == "utf-8-sig" else name


class Decoder:
    """Decodes one line after another, and counts those that are UTF-8 though they are read as
    something else."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        self._is_utf_8 = name_of(encoding) == "utf-8"
        self._first = self._utf_8 = self._others = 0
        self._letters: set[str] = set()

    def decode(self, number: int, line: bytes) -> str:
        """Returns the text of a line; raises UnicodeDecodeError."""
        text = line.decode(self.encoding)
        if not self._is_utf_8 and not line.isascii():
            self._look_at(number, line, text)
        if self.encoding == "utf-8-sig":  # no line after the first begins with a mark
            self.encoding = "utf-8"
        return text

    def _look_at(self, number: int, line: bytes, text: str) -> None:
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            self._others += 1
        else:
            self._first = self._first or number
            self._utf_8 += 1
        if len(self._letters) < _MAX_LETTERS:
            self._letters.update(letter for letter in text if not letter.isascii())

    def problem(self, path: str) -> str | None:
        """Returns why this encoding is probably wrong; None if nothing speaks against it."""
        if not self._utf_8:
            return None
        name = self.encoding
        twice = f"--encoding {name} --encoding {name} insists on {name}"
        if self._others:
            others = "1 other line is" if self._others == 1 else f"{self._others:,} other lines are"
            return (
                f"{path}:{self._first}: is UTF-8, and {others} not: the"
                f" table mixes encodings; save it anew as UTF-8 ({twice})"
            )
        return f"{path}:{self._first}: is UTF-8, and not {name}; leave out --encoding ({twice})"

    def remark(self) -> str | None:
        """Returns the letters that this encoding gave, as only a reader sees whether they are
        right; None if there are none."""
        if not self._letters:
            return None
        letters = " ".join(sorted(self._letters)[:_MAX_LETTERS])
        return f"read as {self.encoding}, the letters beyond ASCII are {letters}; check them"


def problem_of(error: UnicodeDecodeError, encoding: str) -> str:
    """Returns what is wrong with a line that cannot be decoded, and what to do."""
    name = encoding.upper().replace("-SIG", "")
    how = "save the file as UTF-8, or give --encoding with the name of its own encoding"
    return f"is not {name} (byte 0x{error.object[error.start]:02X}); {how}"
