"""`skypostal bulk`: files that are no table say what they are, and what to do."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from bulk_command import HEADER, Bulk, assert_ended, key_of, rows_of, write
from pyarrow import feather, orc

from skypostal.sandbox import Sandbox

HEAD = ",".join(HEADER)
TEXT = f"{HEAD}\n1,{key_of(1)},Ana\n"
TABLE = pa.table({"customer_box_id": [1], "customer_key": ["k"], "customer_gender": ["F"]})


def written(write: object, *arguments: object) -> bytes:
    file = io.BytesIO()
    write(*arguments, file)  # type: ignore[operator]
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("customers.csv", TEXT)
    return file.getvalue()


def stream() -> bytes:
    file = io.BytesIO()
    with pa.ipc.new_stream(file, TABLE.schema) as writer:
        writer.write_table(TABLE)
    return file.getvalue()


def database() -> bytes:
    if sys.version_info < (3, 11):
        return b"SQLite format 3\0" + bytes(84)
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE customers (customer_box_id)")
        return connection.serialize()


FILES = {
    "zip": (zipped(), "is an archive and no spreadsheet; unpack it first"),
    "empty zip": (b"PK\x05\x06" + bytes(18), "is an archive and no spreadsheet"),
    "xls": (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(500), "is a spreadsheet (.xls, or one with"),
    "gzip": (gzip.compress(TEXT.encode()), "is compressed by gzip; decompress it first"),
    "bzip2": (bz2.compress(TEXT.encode()), "is compressed by bzip2; decompress it first"),
    "empty bzip2": (bz2.compress(b""), "is compressed by bzip2; decompress it first"),
    "xz": (lzma.compress(TEXT.encode()), "is compressed by xz; decompress it first"),
    "zstd": (pa.compress(TEXT.encode(), "zstd", asbytes=True), "is compressed by zstd"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", "is an archive; unpack it first"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "is a PDF, which has no cells; export the table"),
    "rtf": (b"{\\rtf1\\ansi customer_box_id}", "is a text document (RTF)"),
    "feather": (written(feather.write_feather, TABLE), "is an Arrow or Feather file; write it as"),
    "feather 1": (b"FEA1" + bytes(60), "is an Arrow or Feather file"),
    "arrow stream": (stream(), "is an Arrow or Feather file"),
    "orc": (written(orc.write_table, TABLE), "is an ORC file; write it as Parquet or CSV"),
    "avro": (written(pl.DataFrame(TABLE).write_avro), "is an Avro file; write it as Parquet or"),
    "sqlite": (database(), "is an SQLite database; export its table as CSV"),
    "hdf5": (b"\x89HDF\r\n\x1a\n\0", "is an HDF5 file"),
    "png": (b"\x89PNG\r\n\x1a\n\0", "is an image, which has no cells"),
    "json": (b'[{"customer_box_id":1}]\n', "is JSON; write it as CSV"),
    "json rows": (b' [\n ["customer_box_id"], [1]]', "is JSON; write it as CSV"),
    "json lines": ('\ufeff{"customer_box_id":1}\n'.encode(), "is JSON; write it as CSV"),
    "html": (b"\n<!DOCTYPE html><html><body>No</body></html>", "is an HTML page, perhaps an error"),
    "html table": (b"<table border=1><tr><td>customer_box_id", "is an HTML page"),
    "xml": (b'<?xml version="1.0"?><Workbook/>', "is XML; open it in a spreadsheet and save it"),
    "bare xml": (b"<customers><customer/></customers>", "is XML"),
    "utf-16": (TEXT.encode("utf-16"), "is UTF-16; save it as UTF-8"),
    "utf-16 be": ("\ufeff".encode("utf-16-be") + TEXT.encode("utf-16-be"), "is UTF-16; save it"),
    "utf-32": (TEXT.encode("utf-32"), "is UTF-32; save it as UTF-8"),
    "utf-16-le": (TEXT.encode("utf-16-le"), "is UTF-16 without a byte-order mark; save it as"),
    "utf-16-be": (TEXT.encode("utf-16-be"), "is UTF-16 without a byte-order mark"),
    "utf-32-le": (TEXT.encode("utf-32-le"), "is UTF-32 without a byte-order mark"),
    "utf-32-be": (TEXT.encode("utf-32-be"), "is UTF-32 without a byte-order mark"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_another_kind_is_known_by_its_first_bytes(bulk: Bulk, kind: str) -> None:
    content, says = FILES[kind]
    for name in ("customers.csv", "customers.parquet"):
        bulk.table = bulk.folder / name
        bulk.table.write_bytes(content)
        assert_ended(bulk(), 2, f"skypostal bulk: {bulk.table}: {says}", "Nothing was sent.")


@pytest.mark.parametrize(
    "name",
    ["ORCID", "BZh9", "PAR1", "FEA1", "[note]", "{note}", "<5", "PKW", "GIF", "Objekt", "ID"],
)
def test_a_column_that_begins_so_is_none_of_them(bulk: Bulk, name: str) -> None:
    bulk.table.write_text(f"{name},{HEAD}\nx,1,{key_of(1)},Ana\n")
    assert_ended(bulk.check(), 0, f"not sent, but kept in the report: {name}")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("sep=;\r\n" + TEXT.replace(",", ";"), ":1: is Excel's sep= line, and not the header"),
        ("\ufeffsep=,\n" + TEXT, ":1: is Excel's sep= line, and not the header; remove it"),
        ('"sep=,"\n' + TEXT, ":1: is Excel's sep= line"),
        ("\n" + TEXT, ":1: is empty; remove it, as the first line names the columns"),
        (" \r\n" + TEXT, ":1: is empty"),
        (",,\n" + TEXT, ":1: is empty"),
        ("Customers 2024,,\n" + TEXT, ":1: names no field, and line 2 does; remove what stands"),
        ('"A title, by ""me"""\n\n# note\n' + TEXT, ":1: names no field, and line 4 does"),
        ("A title\n" + TEXT.replace(",", ";"), ":1: names no field, and line 2 does"),
        ("\ufeff\ufeff" + TEXT, ":1: begins with a second byte-order mark; save the file anew"),
        ("1,k,Ana\n2,k,Eva\n", ":1: names no field; read as 3 columns with ',' between them"),
        (TEXT.replace(",", "~"), ":1: names no field; read as 1 column with ',' between them"),
    ],
)
def test_a_first_line_that_is_not_the_header_is_named(
    bulk: Bulk, sandbox: Sandbox, content: str, says: str
) -> None:
    bulk.table.write_bytes(content.encode())
    assert_ended(bulk("--quiet"), 2, f"{bulk.table}{says}", "Nothing was sent.")
    assert not sandbox.requests


def test_columns_with_names_of_their_own_are_no_title(bulk: Bulk) -> None:
    """Also if a later cell is called as a field is."""
    write(bulk.table, [[*rows_of([1])[0], "customer_key"]], ["a", "b", "c", "d"])
    options = ("--map", "a=customer_box_id", "--map", "b=customer_key")
    assert_ended(bulk.check(*options, "--map", "c=customer_first_name"), 0)


def test_a_long_cell_is_no_matter_of_quotation_marks(bulk: Bulk, sandbox: Sandbox) -> None:
    for size, says in ((200_000, None), (1 << 20, ":2: is longer than 1 MiB, which no row may be")):
        bulk.table.write_text(f"{HEAD},photo\n1,{key_of(1)},Ana,{'A' * size}\n")
        done = bulk.check()
        assert "quotation mark" not in done.stderr
        assert_ended(done, 0 if says is None else 2, says or "")


def test_a_short_row_says_that_excel_makes_them(bulk: Bulk) -> None:
    bulk.table.write_text(f"customer_gender,{HEAD}\nF,1,{key_of(1)}\nF,2,k,Ana\n")
    says = "; an empty cell at the end needs its delimiter too, which Excel leaves out"
    assert_ended(bulk.check(), 2, f":2: has 3 cells, where the header has 4{says}")


def test_without_pyarrow_parquet_is_known_too(bulk: Bulk, tmp_path: Path) -> None:
    (tmp_path / "customers").write_bytes(b"PAR1\x15\x04\x15\x10" + bytes(99))
    code = "import sys; sys.modules['pyarrow'] = None; import skypostal.__main__ as m; m.main()"
    command = [sys.executable, "-c", code, "bulk", str(tmp_path / "customers"), "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "customers: Parquet needs pyarrow: pip install" in done.stderr
