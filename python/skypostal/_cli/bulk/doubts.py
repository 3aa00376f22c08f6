"""Doubts about cells that can be sent: damage by a spreadsheet, an export or a wrong delimiter."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping

from .table import Row, Table

_TAX = "customer_tax_number"

# The words that databases and data frames write for a missing value. There are people of some of
# these names, so nothing is refused.
_MISSING = frozenset(
    ("nan", "-nan", "null", "(null)", "[null]", "\\n", "<na>", "na", "n/a", "nat", "none", "nil",
     "undefined", "missing", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan")
)  # fmt: skip
_FORMS = [
    (re.compile(form), shown)
    for form, shown in (
        (r"[+-]?\d+(?:[.,]\d+)?[eE][+-]\d+|[+-]?\d+[.,]\d+[eE]\d+", "like 1.2E+11"),
        (r"[+-]?\d+\.0+", "like 12345678.0"),
        (r"=.*", 'like ="00123"'),
        (r"['\u2019][\d=+@-].*", "like '00123"),
        (r"#N/[AD](?: .*)?|#NV|#NA|#[\u00a1\u00bf]?[^\W\d_][^\s#]{1,15}[!?]|#+", "like #N/A"),
        (r".*\ufffd.*", "with U+FFFD, a lost character"),
        (r".*&(?:#\d+|#[xX][0-9a-fA-F]+|[a-zA-Z]{2,8});.*", "like &ntilde;"),
        (r".*[^\W\d_]\?[^\W\d_].*", "like Pe?a"),
        (r"\s*(?P<mark>[\"']).+(?P=mark)\s*", "in quotation marks"),
    )
]
# Each form begins like this or has one of these characters: most cells need no other look.
_MAY_HAVE_FORM = re.compile(r"[+\-\d=#\"'\u2019\s]|.*[\ufffd&?]")
_THOUSANDS = re.compile(r"\d{1,3}\.\d{3}")
_SPACED_QUOTE = re.compile(r'[ \t]+"')


def has_blank_edge(text: str) -> bool:
    """Returns whether a text begins or ends with white space or an invisible character."""
    return any(
        edge.isspace() or unicodedata.category(edge) == "Cf"
        for edge in (text[:1], text[-1:])
        if not edge.isalnum() and edge
    )


class _Column:
    def __init__(self, field: str, name: str) -> None:
        self.field, self.name = field, name
        self.cells = self.spaced = self.doubted = self.first = 0
        self.kinds: Counter[str] = Counter()


class Doubts:
    """Counts doubtful cells, column by column. They are sent unchanged."""

    def __init__(self, table: Table, fields: Mapping[str, int]) -> None:
        self._table = table
        self._columns = [(at, _Column(field, table.columns[at])) for field, at in fields.items()]
        self._spaced_quote = 0  # the first line with one

    def look_at(self, row: Row, is_good: bool) -> None:
        """Looks at the cells of a row that is not updated yet; a good one can be sent."""
        if row.problem:
            if not self._spaced_quote and any(map(_SPACED_QUOTE.match, map(str, row.cells))):
                self._spaced_quote = row.line
            return
        for at, column in self._columns:
            cell = row.cells[at]
            # A cell of nothing but spaces is refused as such.
            if not cell or not isinstance(cell, str) or cell.isspace():
                continue
            column.cells += 1
            if _is_plain(cell):
                continue
            if cell[0] in " \t":
                column.spaced += at > 0
                if not self._spaced_quote and _SPACED_QUOTE.match(cell):
                    self._spaced_quote = row.line
            kind = _kind_of(cell, column.field) if is_good else None
            if kind is not None:
                column.kinds[kind] += 1
                column.doubted += 1
                column.first = column.first or row.line

    def problem(self) -> str | None:
        """Returns why the file as a whole must not be sent; None if nothing says so."""
        path, how = self._table.path, "remove the spaces that stand behind the delimiters"
        if self._spaced_quote:
            return (
                f"{path}:{self._spaced_quote}: a space stands before the quotation mark of a cell,"
                f" which would keep both; {how}"
            )
        spaced = [column for _, column in self._columns if column.spaced == column.cells > 0]
        if sum(column.spaced for column in spaced) < 2:
            return None
        return f"{path}: each cell of column {spaced[0].name!r} begins with a space; {how}"

    def remarks(self) -> list[str]:
        """Returns a remark for each column with doubtful cells."""
        return [
            f"column {column.name!r}: {column.doubted:,} of {column.cells:,} cells may be damaged,"
            f" the first in {self._table.place} {column.first}:"
            f" {', '.join(f'{count:,} {kind}' for kind, count in column.kinds.items())};"
            " sent as it stands"
            for _, column in self._columns
            if column.doubted
        ]


def _kind_of(cell: str, field: str) -> str | None:
    """Returns the kind of damage that a cell seems to have."""
    if cell.lower() in _MISSING:
        return "like nan, NULL or \\N"
    if field == _TAX and _THOUSANDS.fullmatch(cell):
        return "like 345.678, whose point is taken for a decimal point"
    if _MAY_HAVE_FORM.match(cell):
        for form, shown in _FORMS:
            if form.fullmatch(cell):
                return shown
    if not cell.isascii() and _is_mojibake(cell):
        return "with \u00c3\u00b1 for \u00f1, which is UTF-8 that was read as another encoding"
    return "with white space or an invisible character around it" if has_blank_edge(cell) else None


def _is_plain(cell: str) -> bool:
    """Returns whether a cell is beyond doubt, as most are, at little cost."""
    return (
        cell.isascii()
        and (cell.isalnum() or (cell.replace(" ", "").isalpha() and cell[0] != " " != cell[-1]))
        and cell.lower() not in _MISSING
    )


def _is_mojibake(cell: str) -> bool:
    try:
        cell.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return False
    return True
