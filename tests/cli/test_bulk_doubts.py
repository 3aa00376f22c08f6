"""`skypostal bulk`: what a table probably does not mean is refused, or sent with a remark."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from bulk_command import HEADER, Bulk, assert_ended, key_of, read_report, rows_of, sent, write

from skypostal._cli.bulk.doubts import Doubts
from skypostal._cli.bulk.table import Row, Table
from skypostal.sandbox import Sandbox

HEAD = ",".join(HEADER)
IDENTITY, TAX = "customer_identity_number", "customer_tax_number"

DAMAGED = {
    "like 1.2E+11": ["1.2E+11", "1.23457E+11", "1,23457E+11", "1E+11", "4.5e-7", "1.2E11"],
    "like 12345678.0": ["12345678.0", "7.00"],
    'like ="00123"': ['="00123"', "=00123", "=A1"],
    "like '00123": ["'00123", "'=1", "\u2019007"],
    "like #N/A": ["#N/A", "#N/A N/A", "#NA", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!",
                  "#NULL!", "#N/D", "#\u00a1REF!", "#\u00bfNOMBRE?", "#NV", "#BEZUG!", "########"],
    "like nan, NULL or \\N": ["nan", "NaN", "NULL", "null", "\\N", "<NA>", "None", "N/A", "NaT",
                              "(null)", "undefined", "-nan", "1.#IND"],
    "with U+FFFD, a lost character": ["Jos\ufffd", "\ufffd", "Pe\ufffda Paz"],
    "like &ntilde;": ["Pe&ntilde;a", "A &amp; B", "Pe&#241;a", "&#xF1;andu"],
    "like Pe?a": ["Pe?a", "Jos\u00e9 Mu?oz"],
    "in quotation marks": ['"Ana"', "'Ana Maria'"],
    "with \u00c3\u00b1 for \u00f1": ["Pe\u00c3\u00b1a", "Jos\u00c3\u00a9", "\u00e2\u20ac\u0153A"],
    "with white space or an invisible character around it": [
        "Ana ", " Ana", "Ana\u00a0", "\u200bAna", "Ana\ufeff", "\u3000Zo\u00eb"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "cell"), [(kind, cell) for kind, cells in DAMAGED.items() for cell in cells]
)
def test_a_damaged_cell_has_a_kind(kind: str, cell: str) -> None:
    for cells in ([cell], ["Ana", cell, "Eva"]):
        (remark,) = remarks_on(cells)
        assert remark.startswith(
            f"column 'name': 1 of {len(cells)} cells may be damaged, the first in"
            f" line {cells.index(cell) + 2}: 1 {kind}"
        )


GOOD = [
    "Ana", "O'Neill", "'t Hart", "'s-Gravenhage", "Nguy\u1ec5n V\u0103n A", "Pe\u00f1a",
    "\u00c9mile",
    "Nana", "Nullmann", "Nil son", "12345678", "00123", "12.345.678-9", "1E5", "12E3", "E+11",
    "C# #5", "A.0", "M\u00fcller & S\u00f6hne", "A&B; C", "Who?", "R\u00c9UNION", "\u00c3", "5.0.1",
    "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "S\u00c3O \u201cA\u201d", "123 456 789", "AB-1234567",
]  # fmt: skip


@pytest.mark.parametrize("cell", GOOD)
def test_a_good_cell_has_none(cell: str) -> None:
    assert remarks_on([cell]) == []


def remarks_on(cells: list[str], field: str = "customer_first_name") -> list[str]:
    doubts = Doubts(_table(), {field: 0})
    for line, cell in enumerate(cells, 2):
        doubts.look_at(Row(line, [cell]), is_good=True)
    return doubts.remarks()


def _table() -> Table:
    table = Table()
    table.path, table.columns = "customers.csv", ["name"]
    return table


def test_a_column_has_one_remark_and_is_sent_as_it_stands(bulk: Bulk, sandbox: Sandbox) -> None:
    header = [*HEADER, IDENTITY, TAX, "note"]
    identities, taxes = ["1.2E+11", "007", "'1", "2E+9"], ["345.678", "7", "1234.567", "345.67"]
    names = ["nan", "Null", "Ana", "Zo\u00eb"]
    rows = [
        [str(box), key_of(box), name, identity, tax, "#N/A"]
        for box, name, identity, tax in zip(range(1, 5), names, identities, taxes)
    ]
    write(bulk.table, [*rows, ["5", key_of(5), "#N/A", "", "x", ""]], header)
    done = bulk("--skip-bad")
    assert done.returncode == 3
    remarks = [line for line in done.stderr.splitlines() if "may be damaged" in line]
    start, end = "skypostal bulk: column ", "; sent as it stands"
    assert remarks == [
        f"{start}'customer_first_name': 2 of 5 cells may be damaged, the first in line 2:"
        f" 2 like nan, NULL or \\N{end}",
        f"{start}'{IDENTITY}': 3 of 4 cells may be damaged, the first in line 2:"
        f" 2 like 1.2E+11, 1 like '00123{end}",
        f"{start}'{TAX}': 1 of 5 cells may be damaged, the first in line 2:"
        f" 1 like 345.678, whose point is taken for a decimal point{end}",
    ]
    by_box = {request.json()["customer_box_id"]: request for request in sandbox.requests}
    assert sorted(by_box) == [1, 2, 3, 4]
    for box, identity, tax in zip(range(1, 5), identities, taxes):
        assert by_box[box].changes[IDENTITY] == identity
        assert f'"{TAX}":{tax}'.encode() in by_box[box].body
    # What is updated is not remarked upon again, and --quiet remarks upon nothing.
    bulk.table, bulk.out = bulk.out, bulk.folder / "second.csv"
    assert "damaged" not in bulk("--skip-bad").stderr
    bulk.out = bulk.folder / "third.csv"
    assert "damaged" not in bulk("--quiet", "--skip-bad").stderr


def test_doubts_take_no_time_that_grows_with_a_cell() -> None:
    for cell in (
        "'" * 8000,
        "&a" * 4000,
        "a?" * 4000,
        "#" * 7999 + "a",
        " " * 7999 + "a",
        "1." * 4000,
    ):
        began = time.process_time()
        for _ in range(20):
            remarks_on([cell])
        assert time.process_time() - began < 1, cell[:5]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        # The delimiter is followed by a space.
        (f'{HEAD}\n1,k, "Ana"\n', ":2: a space stands before the quotation mark of a cell"),
        (f'{HEAD}\n1,k,Ana\n2,k, "Lima, Ana"\n', ":3: a space stands before the quotation mark"),
        (f"{HEAD}\n1,k, Ana\n2,k, Eva\n", ": each cell of column 'customer_first_name' begins"),
        (f"{HEAD}\n1, k, Ana\n2, k,\tEva\n", ": each cell of column 'customer_key' begins"),
    ],
)
def test_spaces_behind_the_delimiters_are_refused(
    bulk: Bulk, sandbox: Sandbox, content: str, says: str
) -> None:
    bulk.table.write_text(content)
    for options in ((), ("--skip-bad",)):
        done = bulk(*options)
        assert_ended(done, 2, f"skypostal bulk: {bulk.table}{says}")
        assert (
            "; remove the spaces that stand behind the delimiters\nNothing was sent." in done.stderr
        )
    assert not sandbox.requests


def test_spaces_in_the_header_are_not_mapped_but_removed(bulk: Bulk, sandbox: Sandbox) -> None:
    bulk.table.write_text(
        'customer_box_id,customer_key, customer_first_name, customer_last_name \n1,k, Ana, "L"\n'
    )
    done = bulk()
    assert_ended(done, 2, "column ' customer_first_name': has a space at its start or end, which",
                 "column ' customer_last_name ': ", "remove the spaces around the del")  # fmt: skip
    assert "--map" not in done.stderr and not sandbox.requests


def test_one_cell_with_spaces_is_no_matter_of_the_delimiter(bulk: Bulk, sandbox: Sandbox) -> None:
    write(bulk.table, [*rows_of([1, 2]), ["3", key_of(3), " Ana"]])
    assert_ended(bulk(), 0, "1 of 3 cells may be damaged, the first in line 4: 1 with white space")
    assert len(sandbox.requests) == 3


KEYS = ["k ", " k", "k\u00a0", "\u200bk", "k\u3000", "k\ufeff", "\ufeffk"]


@pytest.mark.parametrize("key", KEYS, ids=ascii)
def test_a_key_with_white_space_around_it_is_bad(bulk: Bulk, sandbox: Sandbox, key: str) -> None:
    bulk.table.write_text(
        f"{HEAD},app_key\n1,{key},Ana,x\n2,k,Eva,{key}\n3,{key_of(3)},Leo,x y\n", encoding="utf-8"
    )
    assert bulk("--skip-bad").returncode == 3
    first, second, _ = read_report(bulk.out)
    for row, field in ((first, "customer_key"), (second, "app_key")):
        assert row["skypostal_status"] == "bad"
        assert row["skypostal_message"].startswith(f"{field}: ")
        assert "invisible" in row["skypostal_message"] and ";" in row["skypostal_message"]
        assert row["skypostal_message"].count(field) == 1
    assert sent(sandbox) == [3]


@pytest.mark.parametrize(
    "cell", ["\u200b", "\ufeff", "\u2060\u200d", "\u00ad", "\ufeffAna"], ids=ascii
)
def test_a_text_of_nothing_visible_is_bad(bulk: Bulk, sandbox: Sandbox, cell: str) -> None:
    write(bulk.table, [["1", key_of(1), cell]])
    assert_ended(bulk(), 2, f"{bulk.table}:2: customer_first_name: ", "invisible")
    assert not sandbox.requests


def written(path: Path, encoding: str, *names: str) -> None:
    lines = [f"{box},{key_of(box)},{name}\n" for box, name in enumerate(names, 1)]
    path.write_bytes(f"{HEAD}\n{''.join(lines)}".encode(encoding))


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp850", "iso8859-15", "windows-1251"])
def test_utf_8_is_not_read_as_a_single_byte_encoding(
    bulk: Bulk, sandbox: Sandbox, encoding: str
) -> None:
    written(bulk.table, "utf-8", "Ana", "Zo\u00eb", "Pe\u00f1a")
    for options in ((), ("--skip-bad",), ("--quiet",)):
        done = bulk("--encoding", encoding, *options)
        assert_ended(done, 2, f"{bulk.table}:3: is UTF-8, and not ", "; leave out --encoding (")
    assert not sandbox.requests
    (twice,) = re.findall(r"\((--encoding \S+ --encoding \S+) insists", done.stderr)
    assert bulk(*twice.split()).returncode == 0
    assert sandbox.customers[2]["customer_first_name"] == "Zo\u00eb".encode().decode(encoding)
    bulk.out = bulk.folder / "second.csv"
    assert bulk().returncode == 0 and sandbox.customers[2]["customer_first_name"] == "Zo\u00eb"


def test_a_table_of_two_encodings_is_refused(bulk: Bulk, sandbox: Sandbox) -> None:
    bulk.table.write_bytes(
        f"{HEAD}\n1,k,Pe\u00f1a\n".encode("cp1252") + "2,k,Pe\u00f1a\n3,k,Ana\n".encode()
    )
    assert_ended(bulk("--encoding", "cp1252"), 2, f"{bulk.table}:3: is UTF-8, and 1 other line is"
                 " not: the table mixes encodings; save it anew as UTF-8")  # fmt: skip
    assert_ended(bulk(), 2, f"{bulk.table}:2: is not UTF-8 (byte 0xF1)")
    assert not sandbox.requests


def test_an_encoding_shows_the_letters_that_it_gives(bulk: Bulk, sandbox: Sandbox) -> None:
    """Only a reader sees that these are wrong."""
    written(bulk.table, "cp850", "Pe\u00f1a", "Jos\u00e9", "Ana")
    for encoding, letters in (("cp1252", "\u00a4 \u201a"), ("cp850", "\u00e9 \u00f1")):
        says = f"read as {encoding}, the letters beyond ASCII are {letters}; check them"
        assert_ended(bulk.check("--encoding", encoding), 0, says)
    written(bulk.table, "ascii", "Ana")
    assert bulk.check("--encoding", "cp1252").stderr == ""


@pytest.mark.parametrize("encoding", ["utf-8-sig", "UTF8", "utf_8", "U8"])
def test_every_name_of_utf_8_is_the_same(bulk: Bulk, sandbox: Sandbox, encoding: str) -> None:
    for mark in ("", "\ufeff"):
        bulk.out = bulk.folder / f"{len(mark)}.csv"
        bulk.table.write_text(f"{mark}{HEAD}\n1,{key_of(1)},Zo\u00eb\n", encoding="utf-8")
        done = bulk("--encoding", encoding)
        assert (done.returncode, done.stderr) == (0, "")
    assert [request.changes["customer_first_name"] for request in sandbox.requests] == [
        "Zo\u00eb"
    ] * 2


def test_no_message_about_an_encoding_advises_a_wrong_one(bulk: Bulk) -> None:
    bulk.table.write_bytes(f"{HEAD}\n1,{key_of(1)},J\x81rgen\n".encode("latin-1"))  # cp850
    done = bulk()
    assert_ended(
        done, 2, ":2: is not UTF-8 (byte 0x81); save the file as UTF-8, or give --encoding"
    )
    assert "cp1252" not in done.stderr
    done = bulk("--encoding", "cp1252")
    assert_ended(done, 2, ":2: is not CP1252 (byte 0x81); save the file as UTF-8")
    assert "such as" not in done.stderr


def test_two_names_of_encodings_are_refused(bulk: Bulk) -> None:
    write(bulk.table, rows_of([1]))
    options = ("--encoding", "cp1252", "--encoding", "utf-8")
    assert_ended(bulk(*options), 2, "--encoding: is given twice with different names")
