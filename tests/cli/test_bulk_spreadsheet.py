"""`skypostal bulk` with spreadsheets."""

from __future__ import annotations

import datetime
import json
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl  # type: ignore[import-untyped]
import pytest
from bulk_command import Bulk, add_customers, assert_ended, key_of, sent, wait_until
from command_line import environment, run
from project import ROOT

from skypostal.sandbox import Sandbox

HEADER = ["customer_box_id", "customer_key", "customer_identity_number"]
# Written by LibreOffice Calc 7.4 from tests/cli/customers.fods, with its values computed.
OF_LIBREOFFICE = ROOT / "tests" / "cli" / "customers.xlsx"


def save(path: Path, rows: Sequence[Sequence[Any]], header: Sequence[Any] = HEADER) -> Any:
    """Saves rows; a tuple is a value and its number format."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(header)
    for at, row in enumerate(rows, 2):
        for column, value in enumerate(row, 1):
            cell = sheet.cell(at, column)
            cell.value, number_format = value if isinstance(value, tuple) else (value, None)
            if number_format is not None:
                cell.number_format = number_format
    book.save(path)
    return book


@pytest.fixture
def bulk(bulk: Bulk) -> Bulk:
    bulk.table = bulk.folder / "customers.xlsx"
    return bulk


def arrived(bulk: Bulk, sandbox: Sandbox, cell: Any, field: str = HEADER[2]) -> Any:
    """What arrives of a cell."""
    save(bulk.table, [[101, key_of(101), cell]], [*HEADER[:2], field])
    assert_ended(bulk(), 0)
    request = sandbox.requests[-1]
    assert '"customer_box_id":101,' in request.body.decode()
    return json.loads(request.body, parse_float=str)[field]


@pytest.mark.parametrize(("cell", "text"), [
    ("00123", "00123"),
    ("Zoë", "Zoë"),
    ("  x", "  x"),
    ("=", "="),
    ("Ana_x0021_", "Ana!"),
    (12345678, "12345678"),
    (12345678.0, "12345678"),
    ((120_000_000_000, "General"), "120000000000"),
    ((1.2e11, "0.00E+00"), "120000000000"),
    (999_999_999_999_999, "999999999999999"),
    ((123, "00000"), "00123"),
    ((123, "00000;-00000"), "00123"),
    ((123, '"No. "00000'), "00123"),
    ((123, r"0000\-0000"), "00000123"),
    ((1234, "#,##0"), "1234"),
    ((123, "0"), "123"),
    ((123, "0.00"), "123"),
    ((123, "@"), "123"),
    (0, "0"),
    (123.25, "123.25"),
    (0.1 + 0.2, "0.3"),
    (0.00001, "0.00001"),
    (datetime.date(1980, 8, 19), "1980-08-19"),
    ((datetime.datetime(1980, 8, 19), "dd/mm/yy"), "1980-08-19"),
])  # fmt: skip
def test_a_cell_becomes_what_a_person_reads(
    bulk: Bulk, sandbox: Sandbox, cell: Any, text: str
) -> None:
    add_customers(sandbox, [101])
    assert arrived(bulk, sandbox, cell) == text


@pytest.mark.parametrize(("field", "cell", "value"), [
    ("customer_tax_number", 123456, 123456),
    ("customer_tax_number", 123.5, "123.5"),
    ("customer_tax_number", "0123.450", "123.450"),
    ("customer_birth_date", datetime.date(1980, 8, 19), "1980-08-19"),
    ("customer_birth_date", "1980-08-19", "1980-08-19"),
    ("customer_gender", "M", "M"),
])  # fmt: skip
def test_each_field_takes_its_cells(
    bulk: Bulk, sandbox: Sandbox, field: str, cell: Any, value: Any
) -> None:
    add_customers(sandbox, [101])
    assert arrived(bulk, sandbox, cell, field) == value


REFUSED: list[tuple[Any, str]] = [
    ("#N/A", "is the error #N/A; correct it"),
    ("#REF!", "is the error #REF!; correct it"),
    ("=A2", "is a formula without a stored value; open the file in Excel and save it"),
    (True, "is the truth value TRUE; write a text or a number"),
    (1234567890123456, "is a number of more than 15 digits"),
    (1e15, "is a number of more than 15 digits"),
    (-1e300, "is a number of more than 15 digits"),
    (datetime.datetime(1980, 8, 19, 12, 30), "is a day with the time 12:30:00; remove the time"),
    (datetime.time(12, 30), "is the time 12:30:00, and no day"),
    ((datetime.timedelta(hours=30), "[h]:mm:ss"), "is the time 1 day, 6:00:00, and no day"),
    ((60, "yyyy-mm-dd"), "is a day before 1900-03-01"),
    ((-5, "yyyy-mm-dd"), "is a day before 1900-03-01"),
    ((99_999_999, "yyyy-mm-dd"), "is the error #VALUE!"),
]


def test_a_cell_without_a_sure_value_makes_its_row_bad(bulk: Bulk, sandbox: Sandbox) -> None:
    rows = [[box, key_of(box), cell] for box, (cell, _) in enumerate(REFUSED, 101)]
    save(bulk.table, [*rows, [200, key_of(200), "Ana"]])
    add_customers(sandbox, [200])
    done = bulk("--skip-bad")
    assert_ended(done, 3)
    for row, (_, problem) in enumerate(REFUSED, 2):
        assert f"{bulk.table}:row {row}: customer_identity_number: {problem}" in done.stderr
    assert sent(sandbox) == [200]
    assert statuses_of(bulk) == ["bad"] * len(REFUSED) + ["updated"]


def statuses_of(bulk: Bulk) -> list[str]:
    with bulk.out.open(encoding="utf-8-sig") as file:
        return [line.partition(",")[0] for line in file][1:]


def test_in_a_column_that_is_not_sent_any_cell_is_carried(bulk: Bulk, sandbox: Sandbox) -> None:
    cells = [cell for cell, _ in REFUSED]
    header = [*HEADER, *(f"note {at}" for at in range(len(cells)))]
    save(bulk.table, [[101, key_of(101), "Ana", *cells]], header)
    add_customers(sandbox, [101])
    assert_ended(bulk(), 0)
    report = bulk.out.read_text(encoding="utf-8-sig")
    assert ",Ana,#N/A,#REF!,,TRUE,1234567890123456,1000000000000000," in report
    assert bulk.out.read_bytes().startswith(b"\xef\xbb\xbf")  # so that Excel reads its letters


def test_a_formula_with_its_value_is_its_value(bulk: Bulk, sandbox: Sandbox) -> None:
    """As LibreOffice wrote the file."""
    add_customers(sandbox, [101, 102, 103])
    bulk.table = OF_LIBREOFFICE
    done = bulk("--skip-bad")
    assert_ended(done, 3, f"{OF_LIBREOFFICE}:row 5: customer_first_name: is the error #N/A")
    bodies = [request.json() for request in sandbox.requests]
    bodies.sort(key=lambda body: body["customer_box_id"])
    assert [body["customer_first_name"] for body in bodies] == ["ANA", "Zoë", "Leo"]
    assert [body["customer_identity_number"] for body in bodies] == ["00123", "120000000000", "7"]
    assert [body["customer_birth_date"] for body in bodies] == [
        "1980-08-19", "2001-02-03", "1899-12-31",
    ]  # fmt: skip


def test_the_report_of_a_spreadsheet_is_a_table_again(bulk: Bulk, sandbox: Sandbox) -> None:
    save(bulk.table, [[101, key_of(101), (7, "000")], [102, "wrong", datetime.date(1980, 8, 19)]])
    add_customers(sandbox, [101, 102])
    assert bulk().returncode == 3
    report = bulk.out.read_text(encoding="utf-8-sig").replace("wrong", key_of(102))
    bulk.table = bulk.folder / "second.csv"
    bulk.table.write_text(report, encoding="utf-8-sig")
    bulk.out = bulk.folder / "second-report.csv"
    assert_ended(bulk(), 0)
    assert sandbox.customers[101]["customer_identity_number"] == "007"
    assert sandbox.customers[102]["customer_identity_number"] == "1980-08-19"


def test_a_run_is_continued(bulk: Bulk, sandbox: Sandbox) -> None:
    rows = [[box, key_of(box), "Ana"] for box in range(101, 104)]
    save(bulk.table, rows)
    add_customers(sandbox, range(101, 104))
    sandbox.delay(60, times=3)
    process = bulk.start()
    wait_until(lambda: sandbox.requests)
    process.kill()
    process.communicate()
    sandbox.clear_faults()
    content = bulk.table.read_bytes()
    save(bulk.table, rows[:2])
    assert_ended(bulk("--resume"), 2, "is not what it was")
    bulk.table.write_bytes(content)
    assert_ended(bulk("--resume"), 0)
    assert statuses_of(bulk) == ["updated"] * 3


def test_the_first_row_with_cells_is_the_header(bulk: Bulk, sandbox: Sandbox) -> None:
    add_customers(sandbox, [101])
    save(bulk.table, [[], HEADER, [], [101, key_of(101), "Ana"], []], [])
    assert_ended(bulk(), 0)
    assert sent(sandbox) == [101]
    bulk.out.unlink()
    save(bulk.table, [HEADER, [101, key_of(101), "Ana"]], ["Our customers"])
    assert_ended(bulk(), 2, f"{bulk.table}:row 1: names no field, and row 2 does; remove what")
    save(bulk.table, [[101, key_of(101), "Ana", None, "more"]])
    assert_ended(bulk(), 2, f"{bulk.table}:row 2: has 5 cells, where the header has 3")


def test_the_sheet_is_the_only_one_or_is_named(bulk: Bulk, sandbox: Sandbox) -> None:
    add_customers(sandbox, [101])
    book = save(bulk.table, [[101, key_of(101), "Ana"]])
    book.create_sheet("Notes")
    book.save(bulk.table)
    assert_ended(bulk(), 2, "has the sheets 'Sheet', 'Notes'; say which: --sheet NAME")
    assert_ended(bulk("--sheet", "Sheets"), 2, "has no sheet 'Sheets'; there are 'Sheet', 'Notes'")
    assert_ended(bulk("--sheet", "Notes"), 2, "the sheet 'Notes' is empty")
    assert_ended(bulk("--sheet", "Sheet"), 0)
    bulk.out.unlink()
    book["Notes"].sheet_state = "hidden"
    book.save(bulk.table)
    assert_ended(bulk(), 0)
    csv = bulk.folder / "customers.csv"
    csv.write_text("customer_box_id\n")
    done = run("bulk", str(csv), "--dry-run", "--sheet", "Sheet")
    assert_ended(done, 2, f"{csv}: is no spreadsheet, so it has no sheet 'Sheet'")


def test_another_name_or_a_macro_is_no_matter(bulk: Bulk, sandbox: Sandbox) -> None:
    add_customers(sandbox, [101])
    save(bulk.table, [[101, key_of(101), "Ana"]])
    bulk.table = bulk.table.rename(bulk.folder / "customers.txt")
    assert_ended(bulk(), 0)


def rewritten(path: Path, name: str, old: bytes, new: bytes) -> None:
    """Changes a part of a file, as other software may write it."""
    with zipfile.ZipFile(path) as archive:
        parts = {each: archive.read(each) for each in archive.namelist()}
    assert old in parts[name]
    parts[name] = parts[name].replace(old, new)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, content in parts.items():
            archive.writestr(each, content)


SHEET = "xl/worksheets/sheet1.xml"


@pytest.mark.parametrize(("old", "new", "problem"), [
    (b"</row></sheetData>", b"</row>", "cannot be read as a spreadsheet: "),
    (b'<row r="2"', b'<row r="99999999999"', "has more than 1,048,576 rows, as no sheet has"),
    (b'<c r="A2" t="n"><v>101', b'<c r="A2" t="n"><v>1E999', ":row 2: customer_box_id: is a numb"),
    (b'<c r="A2" t="n"><v>101', b'<c r="A2" t="n"><v>1x1', "cannot be read as a spreadsheet: "),
    (b"<worksheet ", b'<!DOCTYPE w [<!ENTITY a SYSTEM "file:///etc/passwd">]><worksheet ', ""),
])  # fmt: skip
def test_a_file_that_is_wrong_inside_is_refused(
    bulk: Bulk, sandbox: Sandbox, old: bytes, new: bytes, problem: str
) -> None:
    add_customers(sandbox, [101])
    save(bulk.table, [[101, key_of(101), "Ana"]])
    rewritten(bulk.table, SHEET, old, new)
    done = bulk()
    assert_ended(done, 2 if problem else 0, problem)
    assert "Traceback" not in done.stderr


def test_a_file_that_unpacks_to_more_than_memory_holds_is_refused(bulk: Bulk) -> None:
    save(bulk.table, [[101, key_of(101), "Ana"]])
    with zipfile.ZipFile(bulk.table, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("xl/theme/theme2.xml", bytes(260 << 20))
    done = bulk()
    assert_ended(done, 2, "takes more than 1 GiB for a sheet, or more than 256 MiB for the rest")


@pytest.mark.parametrize(("names", "problem"), [
    (["xl/workbook.bin"], "is an Excel binary workbook (.xlsb); save it as .xlsx"),
    (["mimetype"], "is an OpenDocument spreadsheet (.ods); save it as .xlsx"),
    (["customers.csv"], "is an archive and no spreadsheet; unpack it first"),
    (["xl/workbook.xml"], "cannot be read as a spreadsheet: "),
])  # fmt: skip
def test_another_archive_is_refused(bulk: Bulk, names: list[str], problem: str) -> None:
    with zipfile.ZipFile(bulk.table, "w") as archive:
        for name in names:
            archive.writestr(name, "application/vnd.oasis.opendocument.spreadsheet")
    assert_ended(bulk(), 2, f"skypostal bulk: {bulk.table}: {problem}")


def test_a_file_that_was_cut_off_is_refused(bulk: Bulk) -> None:
    save(bulk.table, [[101, key_of(101), "Ana"]])
    bulk.table.write_bytes(bulk.table.read_bytes()[:-100])
    assert_ended(bulk(), 2, f"{bulk.table}: is a damaged archive, or one that was cut off")


def test_without_openpyxl_a_spreadsheet_says_what_to_install(bulk: Bulk) -> None:
    import subprocess

    save(bulk.table, [[101, key_of(101), "Ana"]])
    code = "import sys; sys.modules['openpyxl'] = None; import skypostal.__main__ as m; m.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *bulk.arguments()],
        env=environment(bulk.url), capture_output=True, text=True,
    )  # fmt: skip
    assert "needs openpyxl: pip install 'skypostal[excel]'; or save it as CSV" in done.stderr
    assert "Traceback" not in done.stderr


def test_dates_of_1904_are_the_same_days(bulk: Bulk, sandbox: Sandbox) -> None:
    add_customers(sandbox, [101])
    book = save(bulk.table, [[101, key_of(101), None]])
    book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    sheet = book.active
    sheet["C2"] = datetime.date(1980, 8, 19)
    book.save(bulk.table)
    assert_ended(bulk(), 0)
    assert sandbox.customers[101]["customer_identity_number"] == "1980-08-19"


def test_the_check_remarks_on_texts_as_in_csv(bulk: Bulk) -> None:
    save(bulk.table, [[101, key_of(101), "1.2E+11"], [102, key_of(102), "NULL"]])
    done = run("bulk", str(bulk.table), "--dry-run", url=bulk.url)
    assert_ended(done, 0, "may be damaged, the first in row 2: 1 like 1.2E+11, 1 like nan, NULL")


def test_statuses_are_read_of_a_report_that_excel_saved(bulk: Bulk, sandbox: Sandbox) -> None:
    """A report as a spreadsheet again: attempts are numbers there."""
    names = ["skypostal_status", "skypostal_delivery", "skypostal_attempts", "skypostal_error",
             "skypostal_message"]  # fmt: skip
    rows = [["updated", "", 1, "", "", 101, "", "Ana"],
            ["failed", "unknown", 3, "lost", "x", 102, key_of(102), "Leo"]]  # fmt: skip
    save(bulk.table, rows, [*names, *HEADER])
    add_customers(sandbox, [101, 102])
    assert_ended(bulk(), 0)
    assert sent(sandbox) == [102] and statuses_of(bulk) == ["updated"] * 2


def test_a_carriage_return_that_excel_escapes_is_refused(bulk: Bulk) -> None:
    save(bulk.table, [[1, "k", "Ana_x000D_"]])
    done = bulk()
    assert done.returncode == 2 and "has a control character" in done.stderr


def test_a_formula_is_found_however_its_tag_goes_on(bulk: Bulk) -> None:
    save(bulk.table, [[1, "k", "=A2"]])
    rewritten(bulk.table, "xl/worksheets/sheet1.xml", b"<f>", b"<f\n>")
    done = bulk()
    assert done.returncode == 2 and "is a formula without a stored value" in done.stderr
