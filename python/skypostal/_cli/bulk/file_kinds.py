"""Recognises by its first bytes a file that is no CSV, and says what to do with it."""

from __future__ import annotations

import re

LOOKED_AT = 4096
"""The number of bytes that are enough."""

_AS_CSV = "save it as CSV in UTF-8"
_CONTROLS = rb"[\x00-\x08\x0e-\x1f]"  # no text has them

# The first that fits counts. White space and a byte-order mark may stand before a text.
_KINDS = [
    (re.compile(start, re.DOTALL | re.IGNORECASE), f"is {kind}")
    for start, kind in (
        (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1|\x09\x08\x10\x00\x00\x06",
         "a spreadsheet (.xls, or one with a password) or another file of Office; save it as .xlsx"
         " without a password, or as CSV in UTF-8"),
        (rb"\x1f\x8b", "compressed by gzip; decompress it first"),
        (rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", "compressed by bzip2; decompress it first"),
        (rb"\xfd7zXZ\x00", "compressed by xz; decompress it first"),
        (rb"\x28\xb5\x2f\xfd", "compressed by zstd; decompress it first"),
        (rb"\x04\x22\x4d\x18", "compressed by lz4; decompress it first"),
        (rb"7z\xbc\xaf\x27\x1c|Rar!\x1a\x07", "an archive; unpack it first"),
        (rb"%PDF-", f"a PDF, which has no cells; export the table from where it was made, and"
         f" {_AS_CSV}"),
        (rb"\{\\rtf", f"a text document (RTF); {_AS_CSV}"),
        (rb"ARROW1\x00\x00|FEA1" + _CONTROLS + rb"|\xff\xff\xff\xff.{2}\x00\x00",
         "an Arrow or Feather file; write it as Parquet or CSV"),
        (rb"ORC.{0,4}?" + _CONTROLS, "an ORC file; write it as Parquet or CSV"),
        (rb"Obj\x01", "an Avro file; write it as Parquet or CSV"),
        (rb"SQLite format 3\x00", "an SQLite database; export its table as CSV"),
        (rb"\x89HDF\r\n", "an HDF5 file; write it as Parquet or CSV"),
        (rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|II\*\x00|MM\x00\*", "an image, which has no cells"),
        (rb"\xff\xfe\x00\x00|\x00\x00\xfe\xff", "UTF-32; save it as UTF-8"),
        (rb"\xff\xfe|\xfe\xff", "UTF-16; save it as UTF-8"),
        (rb"([^\x00]\x00\x00\x00){2}|(\x00\x00\x00[^\x00]){2}",
         "UTF-32 without a byte-order mark; save it as UTF-8"),
        (rb"([^\x00]\x00){2}|(\x00[^\x00]){2}",
         "UTF-16 without a byte-order mark; save it as UTF-8"),
        (rb"(\xef\xbb\xbf)?\s*(\{\s*[\"}]|\[\s*[\[{\"\]])", "JSON; write it as CSV"),
        (rb"(\xef\xbb\xbf)?\s*(<!doctype html|<html|<head|<body|<table|<meta)",
         f"an HTML page, perhaps an error page or an export that is named as a table; open it in a"
         f" spreadsheet and {_AS_CSV}"),
        (rb"(\xef\xbb\xbf)?\s*<(\?xml|[a-z_][a-z0-9_:.-]*[ />])",
         f"XML; open it in a spreadsheet and {_AS_CSV}"),
    )
]  # fmt: skip
_ZIP = re.compile(rb"PK(\x03\x04|\x05\x06|\x07\x08)")
_PARQUET = re.compile(rb"PAR[1E]" + _CONTROLS)


def is_parquet(start: bytes) -> bool:
    """Returns whether a file that begins so is Parquet."""
    return _PARQUET.match(start) is not None


def is_zip(start: bytes) -> bool:
    """Returns whether a file that begins so is an archive, as a spreadsheet is."""
    return _ZIP.match(start) is not None


def problem_of(start: bytes) -> str | None:
    """Returns what a file that begins so is, and what to do; None if it may be CSV."""
    return next((problem for pattern, problem in _KINDS if pattern.match(start)), None)
