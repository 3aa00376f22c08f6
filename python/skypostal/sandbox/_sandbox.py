"""The sandbox itself: its options, its faults, its start and its end."""

from __future__ import annotations

import collections
import contextlib
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ._customers import Customers
from ._server import JSON, Request, Response, Server, tls_context
from ._wcf import REQUEST_ERROR, write_response

KEPT_REQUESTS = 10_000


@dataclass(frozen=True)
class Fault:
    """A fault of one update. `response` is None for the usual response."""

    name: str
    applied: bool
    delay: float
    response: Response | None


class Sandbox:
    """The stand-in, as a context manager: it responds between `start` and `close`. For any thread.

    host, port: where to listen, from construction on; port 0 takes a free one.
    db: an SQLite file to keep the customers in; by default they live in memory.
    idle_timeout: seconds until a silent connection is closed.
    max_requests: responses after which a connection is closed.
    log: called by the serving threads with a line per request, without keys or personal data.
    tls: whether to speak TLS, with a certificate for `localhost`, 127.0.0.1, ::1 and the host by an
        authority made for this sandbox, which `ca_file` holds. Needs `skypostal[testing]`.

    OSError when it cannot listen, sqlite3.Error when it cannot use the database, ImportError when
    tls needs what is not installed, ValueError for an argument out of range.

    Faults. Each of the five methods adds `times` faults to one queue. Each update that arrives, a
    client's retry too, takes the next one; when none is left, all is as usual. Only a POST to
    `PATH` with a body of a good length takes a fault. `applied` makes the update all the same,
    before the wait and the response, unless it would be refused. `delay` is how many seconds later
    the response comes. Threads may add faults and send requests at any time. If requests arrive
    together, any of them may take the next fault.
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
            raise ValueError("idle_timeout: must be seconds, more than 0 and at most 86400")
        if not 0 <= port <= 65535:
            raise ValueError("port: must be 0 to 65535")
        if max_requests < 1:
            raise ValueError("max_requests: must be 1 or more")
        self._idle_timeout, self._max_requests, self._log = idle_timeout, max_requests, log
        self._lock = threading.Lock()
        self._connections = 0
        self._requests: collections.deque[Request] = collections.deque(maxlen=KEPT_REQUESTS)
        self._faults: collections.deque[Fault] = collections.deque()
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
                context = tls_context(self.ca_file, self._host)
            self._server = Server((host, port), self, context)
            self._undo = undo.pop_all()
        self._port = int(self._server.server_address[1])
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it listens, `http://HOST:PORT` or `https://...`: the base URL for a client."""
        return f"{self._scheme}://{self._host}:{self._port}"

    @property
    def requests(self) -> list[Request]:
        """The last 10,000 requests, in the order in which they were handled. Each is here before
        its response, and before the wait of a `delay`."""
        with self._lock:
            return list(self._requests)

    @property
    def connections(self) -> int:
        """The number of TCP connections that it has served so far, open ones included."""
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
        """Responds to the next updates with an HTTP status, from 400 to 599.

        After 401, 403, 404, 405, 411, 413, 415 and 429 a client reports that the update was not
        made. After all others, 503 too, its delivery is unknown.
        retry_after: seconds for a `Retry-After` header; with 0 a client retries at once.
        body: by default a page as WCF writes it.
        """
        if retry_after is not None:
            check("retry_after", retry_after, 0, 10**9, int)
        check("status", status, 400, 599, int)
        page = REQUEST_ERROR if body is None else to_bytes(body)
        self._script(
            f"fail_next(status={status})",
            Response(status, page, retry_after=retry_after),
            applied=applied,
            delay=delay,
            times=times,
        )

    def refuse_next(
        self,
        *,
        description: str = "Refused by the sandbox, as it was asked to",
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
        body = write_response({}, description, location, system_error)
        response = Response(200, body, JSON)
        self._script("refuse_next()", response, applied=applied, delay=delay, times=times)

    def answer_next(
        self, body: str | bytes, *, applied: bool = False, delay: float = 0.0, times: int = 1
    ) -> None:
        """Responds to the next updates with status 200 and this body, whatever it is."""
        response = Response(200, to_bytes(body), JSON)
        self._script("answer_next()", response, applied=applied, delay=delay, times=times)

    def drop_connection(self, *, applied: bool = False, delay: float = 0.0, times: int = 1) -> None:
        """Reads the next updates whole and ends their connections with no byte of a response.

        With a `delay` beyond the client's timeout: a response that never comes.
        """
        self._script("drop_connection()", Response(None), applied=applied, delay=delay, times=times)

    def delay(self, seconds: float, *, times: int = 1) -> None:
        """Makes the next updates as usual and at once, and responds so many seconds later."""
        check("seconds", seconds, 0, 86_400, int, float)
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
        response: Response | None,
        *,
        applied: bool = False,
        delay: float,
        times: int,
    ) -> None:
        check("delay", delay, 0, 86_400, int, float)
        check("times", times, 1, 1_000_000, int)
        with self._lock:
            self._faults.extend([Fault(name, applied, delay, response)] * times)

    def _take_fault(self) -> Fault:
        with self._lock:
            return self._faults.popleft() if self._faults else Fault("", True, 0.0, None)

    def start(self) -> None:
        """Begins to respond, in threads of its own. RuntimeError if it has begun or is closed."""
        if self._thread is not None or self._closed.is_set():
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


def check(name: str, value: object, least: int, most: int, *kinds: type[int] | type[float]) -> None:
    if type(value) not in kinds or not least <= value <= most:  # type: ignore[operator]
        number = "an integer" if kinds == (int,) else "a number"
        raise ValueError(f"{name}: must be {number} from {least} to {most}")


def to_bytes(body: str | bytes) -> bytes:
    if not isinstance(body, (str, bytes)):
        raise ValueError("body: must be str or bytes")
    return body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
