"""Which column is which field: what looks like one is never left out in silence."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pyarrow as pa
import pytest
from bulk_command import HEADER, NAMES, Bulk, assert_ended, key_of, read_report, rows_of, write
from pyarrow import parquet

from skypostal.sandbox import Sandbox

FIRST = "customer_first_name"


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("customerFirstName", FIRST),
        ("CustomerFirstName", FIRST),
        ("CUSTOMERFIRSTNAME", FIRST),
        ("Customer.First-Name", FIRST),
        ("[customer_first_name]", FIRST),
        ("customers.customer_first_name", FIRST),
        ("customer__first__name", FIRST),
        ("firstName", FIRST),
        ("\u200bcustomer_first_name", FIRST),
        ("customer_first_name\u00a0", FIRST),
        ("customer\u00ad_first_name", FIRST),
        ("\ufeffcustomer_first_name", FIRST),
        ("\u202ecustomer_first_name\u202c", FIRST),
        ("ｃｕｓｔｏｍｅｒ＿ｆｉｒｓｔ＿ｎａｍｅ", FIRST),
        ("customer\u2011first\u2011name", FIRST),
        ("customer\nfirst\nname", FIRST),
        ("customerFristName", FIRST),
        ("customerLastName", "customer_last_name"),
        ("customerIdentityNumber", "customer_identity_number"),
        ("customerTaxNumber", "customer_tax_number"),
        ("customerBirthDate", "customer_birth_date"),
        ("Gender", "customer_gender"),
        ("UserCode", "user_code"),
        ("App-Key", "app_key"),
    ],
)
def test_a_column_that_looks_like_a_field_is_refused(
    bulk: Bulk, sandbox: Sandbox, name: str, field: str
) -> None:
    write(bulk.table, [["1", key_of(1), "1980-08-19", "x"]],
          [*HEADER[:2], "customer_birth_date" if "irth" not in name else FIRST, name])  # fmt: skip
    done = bulk("--quiet")
    assert_ended(done, 2, "is no field; say --map ", f"={field}", "Nothing was sent.")
    assert not sandbox.requests and os.listdir(bulk.folder) == ["customers.csv"]


@pytest.mark.parametrize("name", ["\u200bcustomer_first_name", "first\nname", "customerFirstName"])
def test_what_the_refusal_advises_can_be_typed(bulk: Bulk, sandbox: Sandbox, name: str) -> None:
    write(bulk.table, [["1", key_of(1), "Ana", "F"]], [*HEADER[:2], name, "customer_gender"])
    words = bulk("--quiet").stderr.split("--map ")[1].partition(" or --ignore ")
    mapped, ignored = words[0].strip("'"), words[2].partition("\n")[0].strip("'")
    assert bulk("--ignore", ignored, "--out", str(bulk.folder / "first.csv")).returncode == 0
    assert bulk("--map", mapped).returncode == 0
    assert [request.changes for request in sandbox.requests] == [
        {"customer_gender": "F"},
        {FIRST: "Ana", "customer_gender": "F"},
    ]


def test_names_in_another_style_still_show_the_delimiter(bulk: Bulk) -> None:
    bulk.table.write_text("customerBoxId;customerKey;customerFirstName\n1;k;Ana\n")
    assert_ended(bulk(), 2, "--map customerBoxId=customer_box_id", "--map customerKey=customer_key",
                 f"--map customerFirstName={FIRST}")  # fmt: skip


@pytest.mark.parametrize("options", [(), ("--quiet",), ("--dry-run",)])
def test_a_table_that_changes_nothing_is_refused(
    bulk: Bulk, sandbox: Sandbox, options: tuple[str, ...]
) -> None:
    write(bulk.table, [["1", key_of(1), "Ana"]], [*HEADER[:2], "given name"])
    assert_ended(bulk(*options), 2, "no column changes anything; --map COLUMN=FIELD says which")
    write(bulk.table, [["1", key_of(1), ""], ["2", key_of(2), ""]])
    assert_ended(bulk(*options), 2, "no row changes anything: all cells of its fields are empty")
    bulk.table = bulk.folder / "customers.parquet"
    columns = {"customer_box_id": [1], "customer_key": [key_of(1)], FIRST: pa.nulls(1)}
    parquet.write_table(pa.table(columns), bulk.table)
    assert_ended(bulk(*options), 2, "no row changes anything")
    assert not sandbox.requests and not bulk.out.exists() and not bulk.journal.exists()


def test_rows_that_change_nothing_are_counted(bulk: Bulk) -> None:
    write(bulk.table, [*rows_of([1, 2]), ["3", key_of(3), ""]])
    assert_ended(bulk(), 0, "skypostal bulk: 1 of 3 rows change nothing\n")
    report = bulk.out.read_text()
    bulk.table, bulk.out = bulk.out, bulk.folder / "second.csv"
    # Of a report the rows that are done count too: what is left need not change anything.
    bulk.table.write_text(report.replace("updated,,1,,,3,,", f"failed,unknown,1,,,3,{key_of(3)},"))
    assert_ended(bulk(), 0, "1 of 3 rows change nothing")
    assert bulk("--quiet", "--out", str(bulk.folder / "third.csv")).stderr == ""


@pytest.mark.parametrize("name", ["Skypostal_Status", "skypostal status", "\u200bskypostal_status"])
def test_a_report_whose_columns_are_renamed_is_refused(
    bulk: Bulk, sandbox: Sandbox, name: str
) -> None:
    write(bulk.table, [["updated", "", "1", "", "", *rows_of([1])[0]]], [name, *NAMES[1:], *HEADER])
    assert_ended(bulk(), 2, "looks like skypostal_status of a report; give it this name, or say")
    assert not sandbox.requests


def test_a_header_with_a_nul_is_refused(bulk: Bulk) -> None:
    bulk.table.write_bytes(b"customer_box_id,customer_key\0,customer_first_name\n")
    assert_ended(bulk(), 2, f"{bulk.table}:1: holds a NUL byte; save the file as UTF-8")


def test_columns_are_mapped_ignored_and_carried(bulk: Bulk, sandbox: Sandbox) -> None:
    write(
        bulk.table,
        [["1", key_of(1), "Ana", "a=b", "L"]],
        ["box", "KEY", "first", "customer_gender", "x=y"],
    )
    options = ("--map", "box=customer_box_id", "--map", "KEY=customer_key",
               "--map", "first=customer_first_name", "--map", "x=y=customer_last_name",
               "--ignore", "customer_gender")  # fmt: skip
    done = bulk(*options)
    assert_ended(done, 0, "not sent, but kept in the report: customer_gender\n")
    (request,) = sandbox.requests
    assert request.changes == {"customer_first_name": "Ana", "customer_last_name": "L"}
    (row,) = read_report(bulk.out)
    assert (row["KEY"], row["customer_gender"]) == ("", "a=b")
    assert bulk("--quiet", "--out", str(bulk.folder / "other.csv"), *options).stderr == ""


@pytest.mark.parametrize(
    ("header", "options", "problem"),
    [
        ([*HEADER, "First Name"], (), "column 'First Name': is no field; say"
         " --map 'First Name=customer_first_name' or --ignore 'First Name'\n"),
        ([*HEADER, "birthdate"], (), "--map birthdate=customer_birth_date or"),
        ([*HEADER, "customer_frist_name"], (), "--map customer_frist_name=customer_first_name or"),
        ([*HEADER, "customer_first_name"], (), "column 'customer_first_name': is there twice"),
        (["customer_box_id", "note"], (), "no column customer_key; say which it is: --map"),
        (HEADER, ("--map", "first=customer_first_name"), "--map first=customer_first_name: there is"
         " no such column"),
        (HEADER, ("--map", "customer_key"), "--map customer_key: must be COLUMN=FIELD"),
        (HEADER, ("--map", "customer_key=key"), "key is no field"),
        (HEADER, ("--map", "customer_key=customer_kex"), "did you mean customer_key?"),
        (HEADER, ("--ignore", "customer_keys"), "--ignore customer_keys: there is no such column;"
         " did you mean customer_key?"),
        ([*HEADER, "a"], ("--map", "a=customer_first_name"), "both are customer_first_name;"
         " --ignore one of them"),
        ([*HEADER, "skypostal_status"], (), "some columns of a report are there, and some are not"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_told_are_refused(
    bulk: Bulk, sandbox: Sandbox, header: list[str], options: Sequence[str], problem: str
) -> None:
    write(bulk.table, [["1", key_of(1), "Ana", "x"][: len(header)]], header)
    assert_ended(bulk(*options), 2, problem, "Nothing was sent.")
    assert not sandbox.requests and os.listdir(bulk.folder) == ["customers.csv"]


def test_other_columns_are_no_alarm(bulk: Bulk) -> None:
    """Each is nearer to no field than a typing error is."""
    others = ["", "id", "customer_id", "name", "phone", "customer_phone", "customer_email", "date",
              "country", "city", "status", "notes", "gender_at_birth"]  # fmt: skip
    write(bulk.table, [["1", key_of(1), "Ana", *others]], [*HEADER, *others])
    assert_ended(bulk.check(), 0)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            ["--map", "name=customer_first_name", "--map", "name=customer_last_name"],
            "--map name=customer_last_name: the column is customer_first_name already",
        ),
        (
            ["--map", "name=customer_first_name", "--ignore", "name"],
            "--ignore name: the column is given to a field by --map",
        ),
    ],
)
def test_a_column_that_is_meant_in_two_ways_is_refused(
    bulk: Bulk, options: list[str], problem: str
) -> None:
    header = ["customer_box_id", "customer_key", "customer_gender", "name"]
    write(bulk.table, [["1", "k", "F", "Ana"]], header)
    done = bulk(*options)
    assert done.returncode == 2 and problem in done.stderr
