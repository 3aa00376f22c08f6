"""A local stand-in for the service: answers the one call as the real one was seen to.

    with Sandbox() as sandbox:
        client = skypostal.Client(base_url=sandbox.url, user_code=USER_CODE, app_key=APP_KEY)
        ...
        assert sandbox.customers[BOX_ID]["customer_first_name"] == "New Name"

Faults are scripted: `fail_next`, `refuse_next`, `answer_next`, `drop_connection`, `delay`. Under
pytest the fixture `skypostal_sandbox` is one, running.

It is not the service. Where neither the documentation nor an observation says what the service
does, `ASSUMPTIONS` lists what the sandbox does. It knows nothing of the client.
"""

from __future__ import annotations

import collections
import contextlib
import datetime
import json
import os
import re
import socket
import socketserver
import sqlite3
import ssl
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PATH = "/wcf-services/service-customer.svc/customer/customer-update-personal-info"

# The credentials that the public documentation prints, and its customer.
USER_CODE = 396
APP_KEY = "1656d700707ad9a77f737e5df3db088a"
BOX_ID = 811111
CUSTOMER_KEY = "YpbCNpzqxYqVWv+tzg4e4Ex6ALiT+DfKSYA3NY2dZcw="

MAX_BODY = 65_536  # bytes
MAX_STRING = 8_192  # UTF-16 units
KEPT_REQUESTS = 10_000

ASSUMPTIONS = (
    "the texts of refusals, and their place in error_location",
    "an empty string keeps the current value",
    "a birth date that is no YYYY-MM-DD day and a gender other than M or F are refusals (200)",
    "a number or a boolean where a string belongs is an HTML 400",
    "a birth date that was never set is answered as null",
    "dates carry the offset of US Eastern time by today's rule, for every year",
    "a chunked request is answered 411",
    "Content-Type may carry charset=utf-8 and no other charset",
)

_TEXTS = (
    "customer_key",
    "customer_first_name",
    "customer_last_name",
    "customer_identity_number",
    "customer_tax_number",
    "customer_birth_date",
    "customer_gender",
)
_CREDENTIALS = ("user_code", "app_key", "customer_box_id", "customer_key")
_COLUMNS = ("customer_box_id", "cust_id", *_TEXTS)
_TAX = "customer_tax_number"
_ACCEPTED = "accepted"  # the one outcome with which a customer was changed
_JSON = "application/json; charset=utf-8"
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class Request:
    """One request as it was received. Its repr leaves out what may hold keys or personal data."""

    method: str
    path: str = field(repr=False)
    headers: Message = field(repr=False)  # looked up in any case: headers["content-type"]
    body: bytes = field(repr=False)  # empty where it was not read: 411, 413, a bad length
    connection: int  # 1 for the first TCP connection, 2 for the second, ...
    status: int | None  # what it was answered; None: nothing, the connection was dropped
    applied: bool  # whether the update was made, whatever was answered

    def json(self) -> dict[str, Any]:
        """The JSON object that it carries, keys included; a number with a fraction is a Decimal.

        ValueError where the body is no JSON object.
        """
        members = json.loads(self.body, parse_float=Decimal)
        if not isinstance(members, dict):
            raise ValueError("body: a JSON object expected")
        return members

    @property
    def changes(self) -> dict[str, Any]:
        """`json` without the four credentials: what was to change, fit to be shown."""
        return {name: value for name, value in self.json().items() if name not in _CREDENTIALS}


@dataclass(frozen=True)
class _Answer:
    """What goes back; a status of None is nothing, and the end of the connection."""

    status: int | None
    body: bytes = b""
    content_type: str = "text/html; charset=utf-8"
    retry_after: int | None = None


@dataclass(frozen=True)
class _Fault:
    """What happens to one update: it is made or not, the wait, and the answer or the usual one."""

    name: str
    applied: bool
    delay: float
    answer: _Answer | None


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
        query = f"SELECT {', '.join(_COLUMNS)} FROM customers WHERE customer_box_id = ?"
        with self._lock:
            row = self._database.execute(query, (box_id,)).fetchone()
        if row is None:
            raise KeyError(box_id)
        record = dict(zip(_COLUMNS, row))
        tax = record[_TAX]
        if tax is not None:
            record[_TAX] = Decimal(tax) if "." in tax else int(Decimal(tax))
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
        if customer_birth_date is not None and not _is_day(customer_birth_date):
            raise ValueError("customer_birth_date: a day expected, YYYY-MM-DD")
        texts = {
            "customer_key": customer_key,
            "customer_first_name": customer_first_name,
            "customer_last_name": customer_last_name,
            "customer_identity_number": customer_identity_number,
            "customer_tax_number": _plain(customer_tax_number),
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

    def _create(self) -> None:
        # A stand-in need not survive a power failure, and waiting for the disk is slow.
        self._database.execute("PRAGMA synchronous = OFF")
        texts = ", ".join(f"{name} TEXT" for name in _TEXTS)
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


class Sandbox:
    """The stand-in, as a context manager: it answers between `start` and `close`. For any thread.

    host, port: where to listen, from construction on; port 0 takes a free one.
    db: an SQLite file to keep the customers in; by default they live in memory.
    idle_timeout: seconds until a silent connection is closed.
    max_requests: answers after which a connection is closed.
    log: called by the serving threads with a line per request, without keys or personal data.
    tls: whether to speak TLS, with a certificate for `localhost`, 127.0.0.1, ::1 and the host by an
        authority made for this sandbox, which `ca_file` holds. Needs `skypostal[testing]`.

    OSError when it cannot listen, sqlite3.Error when it cannot use the database, ImportError when
    tls needs what is not installed, ValueError for an argument out of range.

    Faults. Each of the five methods adds `times` faults to one queue. Each update that arrives, a
    client's retry too, takes the next one; when none is left, all is as usual. What is no POST to
    `PATH` with a body of a good length takes none. `applied` says whether the update is made all
    the same, before the wait and the answer; one that would be refused is not made either way.
    `delay` is how many seconds later the answer comes. Threads may add faults and bring requests
    at any time; of requests that arrive together, it is open which takes which.
    """

    customers: Customers
    """The records, to add to and to look at."""
    ca_file: Path | None
    """A PEM file for a client to trust (`Client(ca_file=...)`); None without TLS. Lives until
    `close`."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        db: str | os.PathLike[str] = ":memory:",
        idle_timeout: float = 15.0,
        max_requests: int = 100,
        log: Callable[[str], None] | None = None,
        tls: bool = False,
    ) -> None:
        if not 0 < idle_timeout <= 86_400:
            raise ValueError("idle_timeout: seconds expected, more than 0 and at most 86400")
        if max_requests < 1:
            raise ValueError("max_requests: at least 1 expected")
        self._idle_timeout, self._max_requests, self._log = idle_timeout, max_requests, log
        self._lock = threading.Lock()
        self._connections = 0
        self._requests: collections.deque[Request] = collections.deque(maxlen=KEPT_REQUESTS)
        self._faults: collections.deque[_Fault] = collections.deque()
        self._closed = threading.Event()
        self._host = "127.0.0.1" if host in ("", "0.0.0.0") else host
        self._scheme = "https" if tls else "http"
        self.ca_file = None
        with contextlib.ExitStack() as undo:
            database = sqlite3.connect(os.fspath(db), check_same_thread=False)
            self.customers = Customers(database)
            undo.callback(self.customers._close)
            self.customers._create()
            context = None
            if tls:
                folder = undo.enter_context(tempfile.TemporaryDirectory(prefix="skypostal-"))
                self.ca_file = Path(folder, "ca.pem")
                context = _tls_context(self.ca_file, self._host)
            self._server = _Server((host, port), self, context)
            self._undo = undo.pop_all()
        self._port = int(self._server.server_address[1])
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it listens, `http://HOST:PORT` or `https://...`: the base URL for a client."""
        return f"{self._scheme}://{self._host}:{self._port}"

    @property
    def requests(self) -> list[Request]:
        """The last 10,000 requests in the order of their answers, each here before its answer, and
        before the wait of a `delay`."""
        with self._lock:
            return list(self._requests)

    @property
    def connections(self) -> int:
        """How many TCP connections it has served so far, open ones included."""
        return self._connections

    def fail_next(
        self,
        *,
        status: int = 503,
        retry_after: int | None = None,
        body: str | bytes | None = None,
        applied: bool = False,
        delay: float = 0.0,
        times: int = 1,
    ) -> None:
        """Answers the next updates with an HTTP status, from 400 to 599.

        A client believes 401, 403, 404, 405, 411, 413, 415 and 429 that the update was not made;
        of all others, 503 too, its outcome is unknown.
        retry_after: seconds for a `Retry-After` header; with 0 a client retries at once.
        body: by default a page as WCF writes it.
        """
        if retry_after is not None:
            _check("retry_after", retry_after, 0, 10**9, int)
        _check("status", status, 400, 599, int)
        page = _REQUEST_ERROR if body is None else _bytes(body)
        self._script(
            f"fail_next(status={status})",
            _Answer(status, page, retry_after=retry_after),
            applied=applied,
            delay=delay,
            times=times,
        )

    def refuse_next(
        self,
        *,
        description: str = "Refused by the sandbox, as it was told to",
        location: str = "sandbox",
        system_error: bool = False,
        applied: bool = False,
        delay: float = 0.0,
        times: int = 1,
    ) -> None:
        """Refuses the next updates: status 200, `_verify` false, this `error`.

        system_error: an error of the service's own, before which it may have made the update: to a
            client its outcome is unknown.
        applied: needs system_error, as any other refusal says that the update was not made.
        """
        if applied and not system_error:
            raise ValueError("applied: needs system_error=True")
        body = _answer({}, description, location, system_error)
        answer = _Answer(200, body, _JSON)
        self._script("refuse_next()", answer, applied=applied, delay=delay, times=times)

    def answer_next(
        self, body: str | bytes, *, applied: bool = False, delay: float = 0.0, times: int = 1
    ) -> None:
        """Answers the next updates with status 200 and this body, whatever it is."""
        answer = _Answer(200, _bytes(body), _JSON)
        self._script("answer_next()", answer, applied=applied, delay=delay, times=times)

    def drop_connection(self, *, applied: bool = False, delay: float = 0.0, times: int = 1) -> None:
        """Reads the next updates whole and ends their connections with no byte of an answer.

        With a `delay` beyond the client's timeout: an answer that never comes.
        """
        self._script("drop_connection()", _Answer(None), applied=applied, delay=delay, times=times)

    def delay(self, seconds: float, *, times: int = 1) -> None:
        """Makes the next updates as usual and at once, and answers them so many seconds later."""
        _check("seconds", seconds, 0, 86_400, int, float)
        self._script(f"delay({seconds})", None, applied=True, delay=seconds, times=times)

    @property
    def pending_faults(self) -> list[str]:
        """The calls that added the faults which no update has taken yet, once for each fault.

        A test that ends with any did not test what it meant to.
        """
        with self._lock:
            return [fault.name for fault in self._faults]

    def clear_faults(self) -> None:
        """Forgets the faults that no update has taken yet."""
        with self._lock:
            self._faults.clear()

    def _script(
        self,
        name: str,
        answer: _Answer | None,
        *,
        applied: bool = False,
        delay: float,
        times: int,
    ) -> None:
        _check("delay", delay, 0, 86_400, int, float)
        _check("times", times, 1, 1_000_000, int)
        with self._lock:
            self._faults.extend([_Fault(name, applied, delay, answer)] * times)

    def _take_fault(self) -> _Fault:
        with self._lock:
            return self._faults.popleft() if self._faults else _Fault("", True, 0.0, None)

    def start(self) -> None:
        """Begins to answer, in threads of its own. Only once: RuntimeError."""
        if self._thread is not None:
            raise RuntimeError("a sandbox can be started only once")
        self._thread = threading.Thread(target=self._serve, name="skypostal-sandbox", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        # Not serve_forever, which notices its end only by asking now and then.
        while not self._closed.is_set():
            self._server.handle_request()

    def close(self) -> None:
        """Stops listening, ends open connections, closes the database. May be repeated."""
        if self._closed.is_set():
            return
        self._closed.set()
        if self._thread is not None:
            self._server.wake()
            self._thread.join()
        self._server.disconnect()
        self._server.server_close()
        self._undo.close()

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check(
    name: str, value: object, least: int, most: int, *kinds: type[int] | type[float]
) -> None:
    if type(value) not in kinds or not least <= value <= most:  # type: ignore[operator]
        number = "an integer" if kinds == (int,) else "a number"
        raise ValueError(f"{name}: {number} expected, from {least} to {most}")


def _bytes(body: str | bytes) -> bytes:
    if not isinstance(body, (str, bytes)):
        raise ValueError("body: str or bytes expected")
    return body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body


def _tls_context(ca_file: Path, host: str) -> ssl.SSLContext:
    """A certificate for this machine, whose authority is written to ca_file."""
    try:
        import trustme
    except ImportError:
        raise ImportError(
            "a sandbox with tls needs trustme: pip install 'skypostal[testing]'"
        ) from None
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    names = dict.fromkeys(["localhost", "127.0.0.1", "::1", host])
    authority.issue_cert(*names).configure_cert(context)
    return context


class _Refused(Exception):
    """The service says no: the text, and the field it is about."""


def _update(customers: Customers, body: bytes) -> tuple[str, bytes]:
    """What became of it, in words, and the answer. ValueError for what WCF itself refuses."""
    if re.search(b"\xef\xbf[\xbe\xbf]", body):
        raise ValueError("a raw U+FFFE or U+FFFF")
    try:
        members = json.loads(
            body.decode(),
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_members,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(members, dict):
        raise ValueError("not an object")
    user_code, box_id = (
        int(_number(members, name, _INTEGER) or 0) for name in ("user_code", "customer_box_id")
    )
    app_key, customer_key = _string(members, "app_key"), _string(members, "customer_key")
    changes = {name: _string(members, name) for name in _TEXTS[1:] if name != _TAX}
    changes[_TAX] = _plain(_number(members, _TAX, _DECIMAL))
    try:
        if user_code != USER_CODE or app_key != APP_KEY:
            raise _Refused("user_code and app_key do not match", "app_key")
        if box_id not in customers:
            raise _Refused("No customer has this box", "customer_box_id")
        if customer_key != customers[box_id]["customer_key"]:
            raise _Refused("customer_box_id and customer_key do not match", "customer_key")
        if not _is_day(changes["customer_birth_date"] or "1980-08-19"):
            raise _Refused("The birth date is not a day in YYYY-MM-DD form", "customer_birth_date")
        if changes["customer_gender"] not in (None, "M", "F"):
            raise _Refused("The gender is neither M nor F", "customer_gender")
        return _ACCEPTED, _answer(customers._update(box_id, changes))
    except _Refused as refusal:
        description, location = refusal.args
        return f"refused: {description}", _answer({}, description, location)
    except sqlite3.Error as error:
        return f"failed: {error}", _answer({}, str(error), "database", True)


class _Number(str):
    """A JSON number as it was written, so that no digit and no scale is lost."""


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a duplicate member")
    for text in (value for value in members.values() if isinstance(value, str)):
        if len(text.encode("utf-16-le", "surrogatepass")) > 2 * MAX_STRING:
            raise ValueError("a string too long")
    return members


def _string(members: Mapping[str, Any], name: str) -> str | None:
    value = members.get(name)
    if value is not None and type(value) is not str:
        raise ValueError(f"{name}: a string expected")
    return value or None


def _number(members: Mapping[str, Any], name: str, form: re.Pattern[str]) -> str | None:
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ValueError(f"{name}: a plain number expected")
    return value


def _plain(number: int | Decimal | str | None) -> str | None:
    # Not str(): that refuses an int of more than 4,300 digits and writes exponents.
    return None if number is None else format(Decimal(number), "f")


def _is_day(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _answer(
    record: Mapping[str, Any],
    description: str = "",
    location: str = "",
    system_error: bool = False,
) -> bytes:
    """The answer as DataContractJsonSerializer writes it: no spaces, members in ordinal order."""
    birth = record.get("customer_birth_date")
    members = {
        "_verify": bool(record),
        "cust_id": record.get("cust_id", 0),
        "customer_birth_date": birth and _wcf_date(datetime.date.fromisoformat(birth)),
        "customer_first_name": record.get("customer_first_name"),
        "customer_gender": record.get("customer_gender"),
        "customer_identity_number": record.get("customer_identity_number"),
        "customer_last_name": record.get("customer_last_name"),
    }
    error = {
        "error_description": description,
        "error_location": location,
        "system_error": system_error,
    }
    # json cannot write a Decimal.
    tax = _plain(record.get(_TAX)) or "null"
    return f'[{_json(members)[:-1]},"{_TAX}":{tax},"error":{_json(error)}}}]'.encode()


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/")
    return re.sub("[\ud800-\udfff\ufffe\uffff\U00010000-\U0010ffff]", _escape, text)


def _escape(match: re.Match[str]) -> str:
    return re.sub("....", r"\\u\g<0>", match[0].encode("utf-16-be", "surrogatepass").hex())


def _wcf_date(day: datetime.date) -> str:
    """Midnight of the day where the server is, as milliseconds since 1970 UTC and the offset there.

    The zone is a stand-in: US Eastern time by today's rule, second Sunday of March to first Sunday
    of November, for every year. Clocks change at two in the morning, so after that midnight.
    """
    march, november = day.replace(month=3, day=8), day.replace(month=11, day=1)
    begin, end = (first + datetime.timedelta(6 - first.weekday()) for first in (march, november))
    hours = 4 if begin < day <= end else 5
    days = (day - datetime.date(1970, 1, 1)).days
    return f"/Date({(days * 24 + hours) * 3_600_000}-0{hours}00)/"


def _page(title: str, text: str) -> bytes:
    page = (
        '<?xml version="1.0" encoding="utf-8"?>\n<html xmlns="http://www.w3.org/1999/xhtml">\n'
        f"  <head><title>{title}</title></head>\n"
        f'  <body><p class="heading1">{title}</p><p>{text}</p></body>\n</html>'
    )
    return page.encode("utf-8-sig")


_REQUEST_ERROR = _page(
    "Request Error",
    "The server encountered an error processing the request. See server logs for more details.",
)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # the head and the body leave in one send

    def setup(self) -> None:
        self.sandbox = self.server.sandbox
        super().setup()
        self.connection.settimeout(self.sandbox._idle_timeout)
        self.answers = 0
        with self.sandbox._lock:
            self.sandbox._connections += 1
            self.number = self.sandbox._connections
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.do_handshake()

    def serve(self) -> None:
        length = ",".join(self.headers.get_all("Content-Length", []))
        if "Transfer-Encoding" in self.headers or (self.command == "POST" and not length):
            page = _page("Length Required", "HTTP Error 411. The request must have a length.")
            self.refuse_unread("no length", _Answer(411, page))
        elif not re.fullmatch("[0-9]{0,18}", length):
            self.refuse_unread("malformed length", _Answer(400, _REQUEST_ERROR))
        elif int(length or 0) > MAX_BODY:
            self.refuse_unread("body too long", _Answer(413))
        else:
            if self.headers.get("Expect", "").lower() == "100-continue":
                self.send_response_only(100)
                self.end_headers()
                self.wfile.flush()
            body = self.rfile.read(int(length or 0))
            if len(body) < int(length or 0):
                self.close_connection = True
            else:
                self.serve_body(body)

    # The names by which http.server finds them.
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = serve

    def serve_body(self, body: bytes) -> None:
        if self.path != PATH:
            page = _page("Service", "Endpoint not found.")
            self.answer("unknown path", _Answer(404, page), body)
        elif self.command != "POST":
            page = _page("Service", "Method not allowed.")
            self.answer("not a POST", _Answer(405, page), body)
        else:
            self.serve_update(body)

    def serve_update(self, body: bytes) -> None:
        fault = self.sandbox._take_fault()
        outcome, answer = self.update(body) if fault.applied else ("not applied", _Answer(None))
        applied = outcome == _ACCEPTED
        if fault.name:
            outcome += f", {fault.name}"
        self.answer(outcome, fault.answer or answer, body, applied=applied, delay=fault.delay)

    def update(self, body: bytes) -> tuple[str, _Answer]:
        try:
            charset = self.headers.get_content_charset("utf-8")
            if (self.headers.get_content_type(), charset) != ("application/json", "utf-8"):
                raise ValueError("not application/json")
            outcome, answer = _update(self.sandbox.customers, body)
            return outcome, _Answer(200, answer, _JSON)
        except (ValueError, OverflowError) as error:
            return f"malformed: {error}", _Answer(400, _REQUEST_ERROR)

    def refuse_unread(self, outcome: str, answer: _Answer) -> None:
        self.close_connection = True
        self.answer(outcome, answer)
        # Closing over unread bytes would reset the connection and might destroy the answer on its
        # way: give the other side a moment, and some room, to finish.
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(1)
        self.rfile.read(1 << 20)

    def answer(
        self,
        outcome: str,
        answer: _Answer,
        received: bytes = b"",
        *,
        applied: bool = False,
        delay: float = 0.0,
    ) -> None:
        self.answers += 1
        request = Request(
            self.command, self.path, self.headers, received, self.number, answer.status, applied
        )
        with self.sandbox._lock:
            self.sandbox._requests.append(request)
        self.sandbox._closed.wait(delay)
        if answer.status is None:
            self.close_connection = True
        else:
            self.send(answer.status, answer)
        if self.sandbox._log is not None:
            time = datetime.datetime.now().strftime("%H:%M:%S")
            path = self.path.partition("?")[0].encode("unicode_escape").decode()
            self.sandbox._log(f"{time} {self.command} {path} {answer.status or '-'} {outcome}")

    def send(self, status: int, answer: _Answer) -> None:
        self.send_response(status)
        if status == 405:
            self.send_header("Allow", "POST")
        if answer.retry_after is not None:
            self.send_header("Retry-After", str(answer.retry_after))
        if answer.body:
            self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection or self.answers >= self.sandbox._max_requests:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def handle_expect_100(self) -> bool:
        return True  # `serve` looks at the length first

    def version_string(self) -> str:
        return "skypostal-sandbox"

    def log_message(self, format: str, *args: object) -> None:
        """Silence: standard error belongs to the program around us."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    timeout = 1.0  # after which the end is noticed even where `wake` wakes nobody

    def __init__(
        self, address: tuple[str, int], sandbox: Sandbox, context: ssl.SSLContext | None
    ) -> None:
        self.sandbox = sandbox
        self._context = context
        self._open: set[Any] = set()
        self._closed_one = threading.Condition()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # Not http.server's own, which asks the DNS for the host's name.
        socketserver.TCPServer.server_bind(self)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = self.socket.accept()
        if self._context is not None:
            # The handshake is left to the connection's own thread: it may take long, or fail.
            connection = self._context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def wake(self) -> None:
        """Ends a `handle_request` that waits for a connection."""
        self.socket.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._closed_one:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._closed_one:
            self._open.discard(request)
            self._closed_one.notify_all()

    def disconnect(self) -> None:
        with self._closed_one:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    # Not SSLSocket's, which pulls TLS from under the connection's thread.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
            self._closed_one.wait_for(lambda: not self._open, timeout=5)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that went away is no error of ours.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)
