"""The customers of a table, for `skypostal sandbox --customers`."""

from __future__ import annotations

from typing import Any

import skypostal
from skypostal.sandbox import Sandbox

from .._fields import CHANGES, FIELDS, REQUIRED
from .bulk.check import problems_of
from .bulk.columns import Columns
from .bulk.table import Table, TableError, open_table


def add_customers(sandbox: Sandbox, path: str) -> int:
    """Adds the customers of a table, and returns their number. Those that are there already become
    what the table says. Raises TableError, which names the line, for what is no customer."""
    table = open_table(path, encoding="utf-8", delimiter=None, known=FIELDS)
    try:
        return _add(sandbox, table)
    finally:
        table.close()


def _add(sandbox: Sandbox, table: Table) -> int:
    # Its problems do not matter: a column that has not the name of a field is left out.
    columns = Columns(table.columns, [], [])
    for name in REQUIRED:
        if name not in columns.at:
            raise TableError(f"{table.path}: has no column {name}")
    customers, count = sandbox.customers, 0
    next_id = max((record["cust_id"] or 0 for record in customers.values()), default=0) + 1
    # It checks the cells, and sends nothing.
    with skypostal.Client(user_code=1, app_key="-", trust_env=False) as client:
        for row in columns.rows(table):
            if columns.is_updated(row):  # in a report: its keys are left out
                continue
            fields = {} if row.problem else columns.fields(row.cells)
            for problem in [row.problem] if row.problem else problems_of(client, fields):
                unit = "" if table.place == "line" else f"{table.place} "
                raise TableError(f"{table.path}:{unit}{row.line}: {problem}")
            record = _record(fields)
            box = record["customer_box_id"]
            if box in customers:
                record["cust_id"] = customers[box]["cust_id"]
                customers.remove(box)
            else:
                record["cust_id"], next_id = next_id, next_id + 1
            customers.add(**record)
            count += 1
    return count


def _record(fields: dict[str, Any]) -> dict[str, Any]:
    record = {name: fields[name] for name in (*REQUIRED, *CHANGES) if name in fields}
    if "customer_birth_date" in record:
        record["customer_birth_date"] = str(record["customer_birth_date"])
    return record
