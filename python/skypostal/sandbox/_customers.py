"""The customers of a sandbox, in SQLite."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from ._wcf import TAX_NUMBER, is_day, plain_decimal

# The credentials that the public documentation prints, and its customer.
USER_CODE = 396
APP_KEY = "1656d700707ad9a77f737e5df3db088a"
BOX_ID = 811111
CUSTOMER_KEY = "YpbCNpzqxYqVWv+tzg4e4Ex6ALiT+DfKSYA3NY2dZcw="

TEXTS = (
    "customer_key",
    "customer_first_name",
    "customer_last_name",
    "customer_identity_number",
    "customer_tax_number",
    "customer_birth_date",
    "customer_gender",
)

COLUMNS = ("customer_box_id", "cust_id", *TEXTS)


class Customers(Mapping[int, dict[str, Any]]):
    """The customers by customer_box_id, read from SQLite each time. Any thread, until it is closed.

    A record is a new dict of customer_box_id and cust_id (int), customer_key, customer_first_name,
    customer_last_name, customer_identity_number, customer_gender (str), customer_birth_date (str,
    YYYY-MM-DD) and customer_tax_number (int, or Decimal with its scale). What is not set is None.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._lock = threading.RLock()
        # A request may hold half of a surrogate pair; SQLite keeps such text when given as bytes.
        database.text_factory = lambda text: text.decode("utf-8", "surrogatepass")

    def __getitem__(self, box_id: int) -> dict[str, Any]:
        query = f"SELECT {', '.join(COLUMNS)} FROM customers WHERE customer_box_id = ?"
        with self._lock:
            row = self._database.execute(query, (box_id,)).fetchone()
        if row is None:
            raise KeyError(box_id)
        record = dict(zip(COLUMNS, row))
        tax = record[TAX_NUMBER]
        if tax is not None:
            record[TAX_NUMBER] = Decimal(tax) if "." in tax else int(Decimal(tax))
        return record

    def __iter__(self) -> Iterator[int]:
        with self._lock:
            rows = self._database.execute("SELECT customer_box_id FROM customers").fetchall()
        return iter([box_id for (box_id,) in rows])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def add(
        self,
        *,
        customer_box_id: int,
        customer_key: str,
        cust_id: int | None = None,
        customer_first_name: str | None = None,
        customer_last_name: str | None = None,
        customer_identity_number: str | None = None,
        customer_tax_number: int | Decimal | str | None = None,
        customer_birth_date: str | None = None,
        customer_gender: str | None = None,
    ) -> None:
        """Adds a customer, by default with the next cust_id. ValueError if the box is taken."""
        if customer_birth_date is not None and not is_day(customer_birth_date):
            raise ValueError("customer_birth_date: must be a day, YYYY-MM-DD")
        texts = {
            "customer_key": customer_key,
            "customer_first_name": customer_first_name,
            "customer_last_name": customer_last_name,
            "customer_identity_number": customer_identity_number,
            "customer_tax_number": plain_decimal(customer_tax_number),
            "customer_birth_date": customer_birth_date,
            "customer_gender": customer_gender,
        }
        with self._lock, self._database:
            if customer_box_id in self:
                raise ValueError(f"customer_box_id {customer_box_id} is taken")
            self._database.execute(
                "INSERT INTO customers (customer_box_id, cust_id) "
                "VALUES (?, coalesce(?, (SELECT max(cust_id) + 1 FROM customers), 1))",
                (customer_box_id, cust_id),
            )
            self._update(customer_box_id, texts)

    def remove(self, customer_box_id: int) -> None:
        """Removes a customer. KeyError if there is none with this box."""
        with self._lock, self._database:
            query = "DELETE FROM customers WHERE customer_box_id = ?"
            if self._database.execute(query, (customer_box_id,)).rowcount == 0:
                raise KeyError(customer_box_id)

    def _create(self) -> None:
        # A stand-in need not survive a power failure, and waiting for the disk is slow.
        self._database.execute("PRAGMA synchronous = OFF")
        texts = ", ".join(f"{name} TEXT" for name in TEXTS)
        with self._lock, self._database:
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS customers "
                f"(customer_box_id INTEGER PRIMARY KEY, cust_id INTEGER, {texts})"
            )
            if BOX_ID not in self:
                self.add(
                    customer_box_id=BOX_ID,
                    customer_key=CUSTOMER_KEY,
                    cust_id=51736835,
                    customer_first_name="Old Name",
                    customer_last_name="Old Last",
                    customer_identity_number="123456789",
                    customer_tax_number=0,
                    customer_birth_date="1975-02-01",
                    customer_gender="F",
                )

    def _update(self, box_id: int, changes: Mapping[str, str | None]) -> dict[str, Any]:
        """Sets what is not None in one transaction and returns the record as it then is."""
        columns = ", ".join(f"{name} = coalesce(CAST(? AS TEXT), {name})" for name in changes)
        values = [text and text.encode("utf-8", "surrogatepass") for text in changes.values()]
        update = f"UPDATE customers SET {columns} WHERE customer_box_id = ?"
        with self._lock, self._database:
            self._database.execute(update, (*values, box_id))
            return self[box_id]

    def _close(self) -> None:
        with self._lock:
            self._database.close()
