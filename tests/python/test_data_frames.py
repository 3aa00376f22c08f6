"""Values as data frames and files have them: rows of pandas, of numpy and of csv.DictReader."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy
import pandas
import pyarrow as pa
import pytest
from documented import UPDATE

from skypostal import AsyncClient, Client, Outcome, ValidationError
from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, USER_CODE, Sandbox

TAX = "customer_tax_number"


@pytest.fixture(autouse=True)
def customers(sandbox: Sandbox) -> None:
    for number in range(1, 31):
        sandbox.customers.add(customer_box_id=number, customer_key=f"k{number}")


def problems_of(outcomes: Sequence[Outcome]) -> dict[int, str]:
    """The message of each row that failed."""
    assert sorted(outcome.index for outcome in outcomes) == list(range(len(outcomes)))
    errors = {outcome.index: outcome.error for outcome in outcomes if outcome.error is not None}
    for error in errors.values():
        assert isinstance(error, ValidationError)
        assert (error.delivery, error.attempts) == ("not_sent", 0)
    return {index: str(error) for index, error in errors.items()}


def rows_of(text: str, **how: Any) -> csv.DictReader[str]:
    return csv.DictReader(io.StringIO(text), **how)


def test_rows_of_a_csv_file_are_updates(client: Client, sandbox: Sandbox) -> None:
    """The cells beyond the header are under None, and those of a short row are None."""
    lines = [f"{n},k{n},Ana{',Maria' if n == 10 else ''}\n" for n in range(1, 31)]
    lines[3] = "0004,k4\n"
    text = "customer_box_id,customer_key,customer_first_name\n" + "".join(lines)
    problems = problems_of(list(client.update_many(rows_of(text))))
    assert list(problems) == [9]
    assert problems[9].startswith("None: has the cells beyond the last column, as csv.DictReader")
    assert len(sandbox.requests) == 29
    sent = {request.json()["customer_box_id"]: request.changes for request in sandbox.requests}
    assert sent[4] == {} and sent[5] == {"customer_first_name": "Ana"}


def test_empty_cells_are_left_out_if_asked(client: Client, sandbox: Sandbox) -> None:
    text = (
        "customer_box_id,customer_key,customer_gender,user_code\n1,k1,,\n2,k2,F,396\n3,k3\n,k4,F\n"
    )
    empty = list(client.update_many(rows_of(text, restval="")))
    assert {index: problem.partition(";")[0] for index, problem in problems_of(empty).items()} == {
        0: "customer_gender: is empty",
        2: "customer_gender: is empty",
        3: "customer_box_id: must be a positive integer of at most 64 bits",
    }
    skipped = list(client.update_many(rows_of(text, restval=""), skip_empty=True))
    assert problems_of(skipped) == {
        3: "customer_box_id: is required; the customer has it from registration or login"
    }
    changes = [request.changes for request in sandbox.requests[1:]]
    assert sorted(changes, key=len) == [{}, {}, {"customer_gender": "F"}]
    # White space is not empty: it may be what a table means.
    (outcome,) = client.update_many([{**UPDATE, "customer_gender": " "}], skip_empty=True)
    assert "customer_gender: is only white space" in str(outcome.error)


def test_an_event_loop_leaves_out_empty_cells_too(sandbox: Sandbox) -> None:
    async def main() -> list[Outcome]:
        options: Any = {"base_url": sandbox.url, "user_code": str(USER_CODE), "app_key": APP_KEY}
        async with AsyncClient(**options) as client:
            rows = rows_of("customer_box_id,customer_key,customer_gender\n1,k1,\n2,k2,M\n")
            return [outcome async for outcome in client.update_many(rows, skip_empty=True)]

    assert problems_of(asyncio.run(main())) == {}


def frame() -> pandas.DataFrame:
    """A frame with a missing value of each of its kinds."""
    return pandas.DataFrame(
        {
            "customer_box_id": numpy.array([1, 2, 3, 4], dtype="int64"),
            "customer_key": ["k1", "k2", "k3", "k4"],
            "customer_first_name": ["Ana", None, numpy.nan, ""],
            "customer_last_name": pandas.array(["A", pandas.NA, "C", "D"], dtype="string"),
            TAX: pandas.array([1, pandas.NA, 3, 4], dtype="Int64"),
            "customer_birth_date": pandas.to_datetime([None] * 4),
            "customer_identity_number": [numpy.nan] * 4,
        }
    )


def test_rows_of_pandas_are_updates(client: Client, sandbox: Sandbox) -> None:
    rows = frame().to_dict("records")
    problems = problems_of(list(client.update_many(rows)))
    assert len(problems) == 4 and not sandbox.requests
    assert "customer_first_name: is empty" in problems.pop(3)
    for problem in problems.values():
        assert "is a missing value of pandas (NaN, NA or NaT): leave it out" in problem
    assert problems_of(list(client.update_many(rows, skip_empty=True))) == {}
    sent = {request.json()["customer_box_id"]: request.changes for request in sandbox.requests}
    assert sent == {
        1: {"customer_first_name": "Ana", "customer_last_name": "A", TAX: 1},
        2: {},
        3: {"customer_last_name": "C", TAX: 3},
        4: {"customer_last_name": "D", TAX: 4},
    }


def test_a_row_with_an_odd_name_fails_alone(client: Client, sandbox: Sandbox) -> None:
    good = {"customer_box_id": 1, "customer_key": "k1"}
    names: list[Any] = [None, 5, ("customer_gender", "x"), b"customer_gender", numpy.nan]
    rows: list[Any] = [{**good, name: None} for name in names] + [good]
    problems = problems_of(list(client.update_many(rows)))
    assert list(problems) == [0, 1, 2, 3, 4] and len(sandbox.requests) == 1
    for index, kind in enumerate(["int", "tuple", "bytes", "float"], 1):
        assert f"is no field, as its name is no str but {kind}" in problems[index]


NUMPY_INTEGERS = [numpy.int8(7), numpy.uint64(7), numpy.int64(7)]


@pytest.mark.parametrize("integer", NUMPY_INTEGERS, ids=lambda integer: type(integer).__name__)
def test_integers_of_numpy_are_integers(client: Client, sandbox: Sandbox, integer: Any) -> None:
    client.update_personal_info(
        customer_box_id=integer, customer_key="k7", customer_tax_number=integer
    )
    assert sandbox.requests[0].changes == {TAX: 7}
    for wrong in (numpy.bool_(True), numpy.float32(7), numpy.array([7, 7])):
        for field in ("customer_box_id", TAX):
            with pytest.raises(ValidationError, match=f"^{field}: must be .*; this is "):
                client.update_personal_info(**{**UPDATE, field: wrong})


MISSING = [
    float("nan"), numpy.float64("nan"), numpy.float32("nan"), numpy.datetime64("NaT", "D"),
    pandas.NA, pandas.NaT, Decimal("NaN"), Decimal("sNaN"),
]  # fmt: skip


@pytest.mark.parametrize("value", MISSING, ids=lambda value: f"{type(value).__name__} {value}")
def test_a_missing_value_of_pandas_is_named(client: Client, sandbox: Sandbox, value: Any) -> None:
    for field in (*UPDATE, TAX, "user_code"):
        problem = (
            f"^{field}: must be .*; this is a missing value .*: leave it out, or give update_many"
        )
        with pytest.raises(ValidationError, match=problem):
            client.update_personal_info(**{**UPDATE, field: value})
    assert sandbox.connections == 0


@pytest.mark.parametrize(
    ("field", "value", "way_out"),
    [
        ("customer_box_id", 7.0, r'which pandas makes .* astype\("Int64"\)'),
        ("user_code", numpy.float32(7), "which pandas makes"),
        (TAX, 7.5, "may have lost digits; read the column as text"),
        ("customer_identity_number", 7.0, "is a float, not a str; read it as text"),
        ("customer_first_name", b"A", "is bytes, not a str; decode it"),
        ("customer_first_name", b"\xff", "is not UTF-8"),
        ("customer_box_id", "7.0", "is a decimal number, not an integer; remove its fraction"),
        ("customer_box_id", "", "is empty"),
    ],
)
def test_what_a_data_frame_makes_of_a_value_is_told_with_the_way_out(
    client: Client, field: str, value: Any, way_out: str
) -> None:
    with pytest.raises(ValidationError, match=way_out):
        client.update_personal_info(**{**UPDATE, field: value})


def test_a_column_to_keep_that_is_there_twice_is_refused(client: Client, sandbox: Sandbox) -> None:
    names = ["id", "id", "customer_box_id", "customer_key"]
    table = pa.table([["a"], ["b"], [BOX_ID], [CUSTOMER_KEY]], names=names)
    with pytest.raises(ValueError, match="keep: the table has more than one column 'id'"):
        client.update_batch(table, keep=["id"])
    assert not sandbox.requests
