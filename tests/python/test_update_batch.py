"""Tables of customers: update_batch, by pyarrow and by polars."""

from __future__ import annotations

import datetime
import os
import signal
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import skypostal
from skypostal import Client
from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, USER_CODE, Sandbox

WHO: dict[str, list[Any]] = {"customer_box_id": [BOX_ID], "customer_key": [CUSTOMER_KEY]}
NAMES = skypostal.update_batch_schema().names
Library = Callable[[Any], Any]
LIBRARIES = pytest.mark.parametrize("library", [pa.table, pl.DataFrame])


@pytest.fixture
def customers(sandbox: Sandbox) -> dict[str, list[Any]]:
    """The columns of a table of 50 customers, with another one of the user's."""
    numbers = list(range(1, 51))
    for number in numbers:
        sandbox.customers.add(customer_box_id=number, customer_key=f"secret {number}")
    return {
        "id": [f"x{number}" for number in numbers],
        "customer_box_id": numbers,
        "customer_key": [f"secret {number}" for number in numbers],
        "customer_first_name": [f"Zoë {number}" for number in numbers],
        "customer_last_name": [None if number % 2 else "Last" for number in numbers],
        "customer_identity_number": [f"00{number}" for number in numbers],
        "customer_tax_number": [Decimal(f"{number}.450") for number in numbers],
        "customer_birth_date": [datetime.date(1980, 1, number % 28 + 1) for number in numbers],
        "customer_gender": ["M" if number % 2 else "F" for number in numbers],
    }


def rows(table: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pa.table(table).to_pylist()
    return found


class OfArray:
    """Has one half of the interface and nothing else."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    def __arrow_c_array__(self, requested_schema: object | None = None) -> Any:
        return self.batch.__arrow_c_array__(requested_schema)


class OfStream(OfArray):
    """Has the other half."""

    __arrow_c_array__ = None  # type: ignore[assignment]

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        return self.batch.__arrow_c_stream__(requested_schema)


def pandas_of(columns: dict[str, list[Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(columns)
    frame.index = pd.Index(range(7, 7 + len(frame)))[::-1]  # nameless, and no mere range
    return frame


TABLES: dict[str, tuple[Library, type]] = {
    "batch": (pa.record_batch, pa.RecordBatch),
    "table": (pa.table, pa.Table),
    "chunks": (lambda c: pa.concat_tables([pa.table(c)[:20], pa.table(c)[20:]]), pa.Table),
    "reader": (lambda c: pa.table(c).to_reader(7), pa.RecordBatch),
    "array": (lambda c: OfArray(pa.record_batch(c)), pa.RecordBatch),
    "stream": (lambda c: OfStream(pa.record_batch(c)), pa.RecordBatch),
    "polars": (pl.DataFrame, pl.DataFrame),
    "pandas": (pandas_of, pa.RecordBatch),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_is_updated_row_by_row(
    kind: str, client: Client, sandbox: Sandbox, customers: dict[str, list[Any]]
) -> None:
    make, gives = TABLES[kind]
    # Rows end in another order than they began.
    for number in range(50):
        sandbox.delay(0.02 if number % 3 else 0)
    report = client.update_batch(make(customers), keep=["id"])

    assert type(report) is gives
    assert pa.table(report).column_names == ["id", *NAMES]
    assert hasattr(report, "__arrow_c_stream__")
    for number, row in enumerate(rows(report), 1):
        record = sandbox.customers[number]
        assert row == {
            "id": f"x{number}",
            "customer_box_id": number,
            "ok": True,
            "delivery": None,
            "attempts": 1,
            "error": None,
            "message": None,
            "cust_id": record["cust_id"],
            "customer_first_name": f"Zoë {number}",
            "customer_last_name": None if number % 2 else "Last",
            "customer_identity_number": f"00{number}",
            "customer_tax_number": f"{number}.450",
            "customer_birth_date": datetime.date(1980, 1, number % 28 + 1),
            "customer_gender": "M" if number % 2 else "F",
        }
        assert record["customer_first_name"] == f"Zoë {number}"
        assert record["customer_tax_number"] == Decimal(f"{number}.450")
    assert all(
        ("customer_last_name" in request.json()) == (request.json()["customer_box_id"] % 2 == 0)
        for request in sandbox.requests
    )


def test_the_schema_is_known_beforehand_and_always_the_same(
    client: Client, customers: dict[str, list[Any]]
) -> None:
    batch = pa.record_batch(customers)
    schema = skypostal.update_batch_schema()
    assert client.update_batch(batch, keep=["id"]).schema == schema.insert(0, batch.schema.field(0))
    nothing = pa.record_batch(pa.table(customers).schema.empty_table().to_pydict())
    assert client.update_batch(pa.record_batch(WHO)).schema == schema
    assert schema.field("customer_birth_date").type == pa.date32()
    assert schema.field("customer_tax_number").type == pa.string()
    nothing = pa.table(customers).schema.empty_table()
    for empty in (nothing, pa.RecordBatch.from_pylist([], nothing.schema), pl.DataFrame(nothing)):
        report = client.update_batch(empty, keep="id")
        assert len(report) == 0 and pa.table(report).column_names == ["id", *NAMES]


def test_rows_that_fail_are_rows(
    client: Client, sandbox: Sandbox, customers: dict[str, list[Any]]
) -> None:
    customers["customer_key"][0] = "wrong"
    customers["customer_first_name"][1] = ""
    customers["customer_birth_date"][2] = datetime.date(1066, 10, 14)
    customers["customer_box_id"][3] = None
    sandbox.refuse_next(description=f"no, {customers['customer_key'][4]}!")
    sandbox.fail_next(status=500)
    sandbox.answer_next("[]", applied=True)
    report = rows(client.update_batch(pa.record_batch(customers), keep=["id"], concurrency=1))
    reported = [(row["ok"], row["delivery"], row["attempts"], row["error"]) for row in report]
    # The first that are sent meet what was scripted.
    assert reported[:8] == [
        (False, "rejected", 1, "refused"),
        (False, "not_sent", 0, "invalid_field"),
        (False, "not_sent", 0, "invalid_field"),
        (False, "not_sent", 0, "invalid_field"),
        (False, "unknown", 1, "status"),
        (False, "unknown", 1, "response"),
        (True, None, 1, None),
        (True, None, 1, None),
    ]
    assert set(reported[8:]) == {(True, None, 1, None)}
    assert report[1]["message"].startswith("customer_first_name: is empty")
    assert report[2]["message"].startswith("customer_birth_date: ")
    assert (report[3]["customer_box_id"], report[3]["id"]) == (None, "x4")
    assert report[3]["message"].startswith("customer_box_id: is required")
    assert report[4]["cust_id"] is report[4]["customer_first_name"] is None


def test_no_key_is_in_the_report(client: Client, sandbox: Sandbox) -> None:
    for echoed in (CUSTOMER_KEY, APP_KEY):
        sandbox.refuse_next(description=f"not with {echoed}")
        (row,) = rows(client.update_batch(pa.table({**WHO, "app_key": [APP_KEY]})))
        assert row["error"] == "refused" and "not with" in row["message"]
        assert CUSTOMER_KEY not in str(row) and APP_KEY not in str(row)


GOOD_COLUMNS: list[tuple[str, Any, Any]] = [
    # What is sent, as the sandbox keeps it.
    ("customer_first_name", pa.array(["Ana"], pa.string()), "Ana"),
    ("customer_first_name", pa.array(["Ana"], pa.large_string()), "Ana"),
    ("customer_first_name", pa.array(["Ana"], pa.string_view()), "Ana"),
    ("customer_first_name", pa.array(["Ana"]).dictionary_encode(), "Ana"),
    ("customer_first_name", pl.Series(["Ana"], dtype=pl.Categorical), "Ana"),
    ("customer_first_name", pl.Series(["Ana"], dtype=pl.Enum(["Ana"])), "Ana"),
    ("customer_first_name", pa.nulls(1), "Old Name"),
    ("customer_first_name", pl.Series([None]), "Old Name"),
    ("customer_gender", pa.array(["M"]).dictionary_encode(), "M"),
    ("customer_identity_number", pa.array(["007"]), "007"),
    ("customer_tax_number", pa.array(["00123.450"]), Decimal("123.450")),
    ("customer_tax_number", pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
    ("customer_tax_number", pa.array([7], pa.int8()), 7),
    ("customer_tax_number", pa.array([Decimal("1.50")], pa.decimal128(28, 2)), Decimal("1.50")),
    ("customer_tax_number", pa.array([10**27], pa.decimal256(40, 0)), 10**27),
    ("customer_tax_number", pl.Series([Decimal("0.0000001")]), Decimal("0.0000001")),
    ("customer_tax_number", pl.Series([7], dtype=pl.UInt32), 7),
    ("customer_birth_date", pa.array([datetime.date(1980, 8, 19)]), "1980-08-19"),
    ("customer_birth_date", pa.array(["1980-08-19"]), "1980-08-19"),
    ("customer_birth_date", pl.Series([datetime.date(1980, 8, 19)]), "1980-08-19"),
    ("user_code", pa.array([USER_CODE], pa.int16()), USER_CODE),
    ("user_code", pl.Series([USER_CODE], dtype=pl.UInt64), USER_CODE),
]


@pytest.mark.parametrize(("name", "column", "kept"), GOOD_COLUMNS)
def test_a_column_of_each_good_type(
    name: str, column: Any, kept: Any, client: Client, sandbox: Sandbox
) -> None:
    library: Library = pl.DataFrame if isinstance(column, pl.Series) else pa.table
    (row,) = rows(client.update_batch(library({**WHO, name: column})))
    assert row["ok"], row
    if name != "user_code":
        assert sandbox.customers[BOX_ID][name] == kept
        assert str(row[name]) == (format(kept, "f") if isinstance(kept, Decimal) else str(kept))


BAD_COLUMNS: list[tuple[str, Any, str]] = [
    ("customer_tax_number", pa.array([1.5]), "double; cast it to string, as it may have lost"),
    ("customer_tax_number", pl.Series([1.5]), "Float64; cast it to string, as it may have lost"),
    ("customer_tax_number", pa.array([True]), "bool; cast it to string"),
    ("customer_box_id", pa.array([1.0]), "double; cast it to int64, as it may have lost digits"),
    ("customer_box_id", pa.array(["1"]), "string; cast it to int64"),
    ("user_code", pa.array([Decimal(1)]), "decimal128(1, 0); cast it to int64"),
    ("customer_identity_number", pa.array([7]), "int64; cast it to string"),
    ("customer_first_name", pa.array([b"Ana"]), "binary; cast it to string"),
    ("customer_birth_date", pa.array([datetime.datetime(1980, 1, 1)]), "timestamp[us]; cast it to"),
    ("customer_birth_date", pl.Series([datetime.datetime(1980, 1, 1)]), "Datetime("),
    ("customer_birth_date", pa.array([0], pa.date64()), "date64[ms]; cast it to date32"),
    ("customer_gender", pa.array([["M"]]), "list<"),
]


@pytest.mark.parametrize(("name", "column", "problem"), BAD_COLUMNS)
def test_a_column_of_another_type_is_refused_before_anything_is_sent(
    name: str, column: Any, problem: str, client: Client, sandbox: Sandbox
) -> None:
    library: Library = pl.DataFrame if isinstance(column, pl.Series) else pa.table
    with pytest.raises(skypostal.ValidationError) as raised:
        client.update_batch(library({**WHO, name: column}))
    assert str(raised.value).startswith(f"{name}: is a column of {problem}")
    assert (raised.value.field, raised.value.delivery) == (name, "not_sent")
    assert sandbox.requests == []


@LIBRARIES
@pytest.mark.parametrize(
    ("changes", "keep", "field", "problem"),
    [
        ({"customer_frist_name": ["x"]}, None, "customer_frist_name", "mean 'customer_first_name'"),
        ({"phone": ["x"]}, [], "phone", "give it as keep"),
        ({"phone": ["x"], "fax": ["y"]}, ["phone"], "fax", "is no field"),
        ({"customer_key": None}, None, "customer_key", "is required; the table has no such column"),
        ({"customer_box_id": None}, None, "customer_box_id", "is required"),
        ({"id": ["x"]}, ["phone"], None, "keep: the table has no column 'phone'"),
        ({}, ["customer_key"], None, "keep: customer_key is secret"),
        ({"app_key": ["x"]}, "app_key", None, "keep: app_key is secret"),
        ({}, ["customer_box_id"], None, "keep: customer_box_id is a field"),
        ({"ok": ["x"]}, ["ok"], None, "keep: ok is a field, or a column that the report has"),
        (
            {"customerLastName": ["x"]},
            ["customerLastName"],
            None,
            "keep: 'customerLastName' looks like customer_last_name; give the column that name",
        ),
        ({"Customer-Key\u200b": ["x"]}, ["Customer-Key\u200b"], None, "looks like customer_key"),
    ],
)
def test_a_table_with_other_columns_is_refused_before_anything_is_sent(
    library: Library,
    changes: dict[str, Any],
    keep: Any,
    field: str | None,
    problem: str,
    client: Client,
    sandbox: Sandbox,
) -> None:
    columns = {name: values for name, values in {**WHO, **changes}.items() if values}
    with pytest.raises(ValueError) as raised:
        client.update_batch(library(columns), keep=keep)
    assert problem in str(raised.value)
    assert getattr(raised.value, "field", None) == field
    assert sandbox.requests == []


def test_a_column_that_stands_there_twice_is_refused(client: Client, sandbox: Sandbox) -> None:
    columns = [*WHO.values(), ["A"], ["B"]]
    table = pa.table(columns, [*WHO, "customer_first_name", "customer_first_name"])
    with pytest.raises(skypostal.ValidationError, match="customer_first_name: stands above more"):
        client.update_batch(table)
    assert sandbox.requests == []


@pytest.mark.parametrize("thing", [None, [WHO], WHO, "table", pa.table])
def test_what_is_no_table_is_a_type_error(thing: Any, client: Client) -> None:
    with pytest.raises(TypeError, match="takes a table with the Arrow PyCapsule interface"):
        client.update_batch(thing)


def test_a_table_that_cannot_be_read_is_refused_without_a_word_of_it(
    client: Client, sandbox: Sandbox
) -> None:
    broken = pa.DictionaryArray.from_arrays(pa.array([5]), pa.array(["secret"]), safe=False)
    mixed = pd.DataFrame({**WHO, "customer_first_name": ["secret"]}, dtype=object)
    mixed = pd.concat([mixed, mixed.assign(customer_first_name=7)])
    for table in (pa.table({**WHO, "customer_first_name": broken}), mixed, pa.array(["secret"])):
        with pytest.raises(ValueError, match=r"the table cannot be read \(Arrow") as raised:
            client.update_batch(table)
        assert "secret" not in str(raised.value) and raised.value.__suppress_context__
    assert sandbox.requests == []


NOT_UTF_8 = pa.array([b"secret \xff", b"Zo\xc3\xab", None], pa.binary()).view(pa.string())


@pytest.mark.parametrize(
    "column",
    [
        NOT_UTF_8,
        pa.chunked_array([NOT_UTF_8[:2], NOT_UTF_8[2:]]),
        NOT_UTF_8.dictionary_encode(),
        NOT_UTF_8.dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string())),
        NOT_UTF_8.cast(pa.binary()).cast(pa.large_binary()).view(pa.large_string()),
    ],
    ids=lambda column: str(column.type),
)
def test_a_text_that_is_not_utf_8_fails_its_row(
    client: Client, sandbox: Sandbox, column: Any
) -> None:
    table = pa.table(
        {
            "customer_box_id": [BOX_ID] * 3,
            "customer_key": [CUSTOMER_KEY] * 3,
            "customer_first_name": column,
            "note": column,
        }
    )
    report = client.update_batch(table, keep="note", concurrency=1)
    first, second, third = rows(report.drop_columns("note"))
    assert (first["error"], first["delivery"]) == ("invalid_field", "not_sent")
    assert first["message"].startswith("customer_first_name: must be a text")
    assert second["ok"] and third["ok"] and "secret" not in first["message"]
    assert [request.changes for request in sandbox.requests] == [{"customer_first_name": "Zoë"}, {}]
    # A column that is kept is as it was.
    kept = report["note"].chunk(0)
    assert getattr(kept, "dictionary", kept)[0].as_buffer().to_pybytes() == b"secret \xff"


@LIBRARIES
def test_a_column_of_nothing_is_null_whatever_its_type(
    library: Library, client: Client, sandbox: Sandbox
) -> None:
    for kind in (pa.float64(), pa.bool_(), pa.timestamp("us"), pa.list_(pa.string())):
        empty = {name: pa.nulls(1, kind) for name in ("customer_tax_number", "customer_gender")}
        (row,) = rows(client.update_batch(library(pa.table({**WHO, **empty}))))
        assert row["ok"] and sandbox.requests[-1].changes == {}
        with pytest.raises(skypostal.ValidationError, match="is a column of"):
            client.update_batch(library(pa.table({**WHO, **empty}).slice(1)))
    frame = pd.DataFrame({**WHO, "customer_tax_number": [float("nan")]})
    assert rows(client.update_batch(frame))[0]["ok"]


@LIBRARIES
def test_empty_texts_are_left_out_if_asked(library: Library, client: Client) -> None:
    table = library({**WHO, "customer_first_name": [""]})
    assert "customer_first_name: is empty" in rows(client.update_batch(table))[0]["message"]
    assert rows(client.update_batch(table, skip_empty=True))[0]["ok"]


@LIBRARIES
def test_what_python_cannot_hold_fails_its_row(library: Library, client: Client) -> None:
    table: dict[str, Any] = {
        "customer_box_id": pa.array([BOX_ID, 2**64 - 1], pa.uint64()),
        "customer_key": [CUSTOMER_KEY] * 2,
        "customer_birth_date": pa.array([2**31 - 1, 0], pa.date32()),
    }
    first, second = rows(client.update_batch(library(pa.table(table))))
    assert first["error"] == second["error"] == "invalid_field"
    assert first["message"].startswith("customer_birth_date: ")
    assert second["message"].startswith("customer_box_id: must be a positive integer")
    assert second["customer_box_id"] is None


@LIBRARIES
@pytest.mark.parametrize(
    "number", ["12345678901234567890.5", "1e-7", "-3", "1e300", "9" * 500, "null"]
)
def test_the_tax_number_of_the_response_keeps_its_digits(
    library: Library, number: str, client: Client, sandbox: Sandbox
) -> None:
    sandbox.answer_next(f'[{{"_verify":true,"customer_tax_number":{number}}}]')
    (row,) = rows(client.update_batch(library(WHO)))
    shown = {"1e-7": "0.0000001", "1e300": "1E+300", "null": None}.get(number, number)
    assert row["ok"] and row["customer_tax_number"] == shown


@LIBRARIES
def test_a_service_that_cannot_be_reached_raises_nothing(
    library: Library, sandbox: Sandbox, customers: dict[str, list[Any]]
) -> None:
    url = sandbox.url
    sandbox.close()
    nowhere = Client(base_url=url, user_code=USER_CODE, app_key=APP_KEY, max_retries=0)
    customers["customer_first_name"][0] = " "
    report = rows(nowhere.update_batch(library(customers), keep="id", max_connect_failures=3))
    assert [row["id"] for row in report] == customers["id"]
    assert {row["delivery"] for row in report} == {"not_sent"} and not any(r["ok"] for r in report)
    assert [row["error"] for row in report] == ["invalid_field", *["connect"] * 49]
    assert 3 <= sum(row["attempts"] for row in report) < 20
    assert report[-1]["attempts"] == 0
    assert report[-1]["message"].startswith("stopped after 3 consecutive rows that found no ")


def test_what_would_fail_each_row_is_raised_before_anything_is_sent(
    client: Client, sandbox: Sandbox
) -> None:
    table = pa.table(WHO)
    for options in ({"concurrency": 0}, {"rate": -1.0}, {"timeout": 0.0}):
        with pytest.raises(skypostal.ConfigurationError, match=f"^{next(iter(options))}: "):
            client.update_batch(table, **options)
    with pytest.raises(skypostal.ConfigurationError, match="^app_key: is missing"):
        Client(base_url=sandbox.url, user_code=USER_CODE).update_batch(table)
    assert sandbox.requests == []
    # In a column they may be missing for some.
    codes = {"user_code": [USER_CODE, None], "app_key": [APP_KEY, APP_KEY]}
    both = {**{name: values * 2 for name, values in WHO.items()}, **codes}
    first, second = rows(Client(base_url=sandbox.url).update_batch(pa.table(both)))
    assert first["ok"]
    assert (second["error"], second["delivery"]) == ("configuration", "not_sent")


def test_options_are_those_of_update_many(
    client: Client, sandbox: Sandbox, customers: dict[str, list[Any]]
) -> None:
    table = pa.table(customers).drop_columns("id")[:12]
    began = time.monotonic()
    client.update_batch(table, concurrency=1, rate=20)
    assert sandbox.connections == 1 and time.monotonic() - began > 0.4
    sandbox.delay(5)
    report = rows(client.update_batch(table, concurrency=12, timeout=0.3))
    assert [row["error"] for row in report].count("timeout") == 1


@pytest.mark.usefixtures("environment")
def test_the_function_keeps_a_client(sandbox: Sandbox) -> None:
    for _ in range(3):
        (row,) = rows(skypostal.update_batch(pa.record_batch(WHO)))
        assert row["ok"]
        skypostal.update_personal_info(customer_box_id=BOX_ID, customer_key=CUSTOMER_KEY)
    # One of the background thread and one of this thread, each for three calls.
    assert sandbox.connections == 2


@LIBRARIES
def test_an_interrupt_has_the_report_so_far(
    library: Library, client: Client, sandbox: Sandbox, customers: dict[str, list[Any]]
) -> None:
    sandbox.delay(0, times=10)
    sandbox.delay(30, times=2)

    def interrupt() -> None:
        while len(sandbox.requests) < 12:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as raised:
        client.update_batch(library(customers), keep="id", concurrency=2)
    assert time.monotonic() - began < 10
    report = rows(raised.value.report)  # type: ignore[attr-defined]
    assert [row["id"] for row in report] == customers["id"]
    # Two rows are in flight at a time, and either may reach the sandbox first.
    deliveries = [row["delivery"] for row in report[:12]]
    assert (deliveries.count(None), deliveries.count("unknown")) == (10, 2)
    assert {(row["delivery"], row["error"]) for row in report[12:]} == {("not_sent", "cancelled")}


def test_an_exception_between_two_rows_does_not_claim_that_nothing_was_sent(
    sandbox: Sandbox, customers: dict[str, list[Any]]
) -> None:
    class Stop(BaseException):
        pass

    def stop(attempt: skypostal.Attempt) -> None:
        raise Stop

    client = Client(base_url=sandbox.url, user_code=USER_CODE, app_key=APP_KEY, on_attempt=stop)
    with pytest.raises(Stop) as raised:
        client.update_batch(pa.table(customers), keep="id", concurrency=1)
    report = rows(raised.value.report)  # type: ignore[attr-defined]
    assert report[0]["delivery"] in (None, "unknown")
    assert [row["id"] for row in report] == customers["id"]
