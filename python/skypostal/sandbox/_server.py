"""The HTTP server of a sandbox."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import re
import socket
import socketserver
import ssl
import sys
import threading
import time
from dataclasses import dataclass, field
from decimal import Decimal
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._service import ACCEPTED, update
from ._wcf import REQUEST_ERROR, error_page

if TYPE_CHECKING:
    from ._sandbox import Sandbox

PATH = "/wcf-services/service-customer.svc/customer/customer-update-personal-info"
CREDENTIALS = ("user_code", "app_key", "customer_box_id", "customer_key")
MAX_BODY = 65_536  # bytes
JSON = "application/json; charset=utf-8"


@dataclass(frozen=True)
class Request:
    """One request as it was received. Its repr leaves out what may hold keys or personal data."""

    method: str
    path: str = field(repr=False)
    headers: Message = field(repr=False)  # looked up in any case: headers["content-type"]
    body: bytes = field(repr=False)  # empty where it was not read: 411, 413, a bad length
    connection: int  # 1 for the first TCP connection, 2 for the second, ...
    status: int | None  # of the response; None: the connection was dropped
    applied: bool  # whether the update was made, whatever the response said

    def json(self) -> dict[str, Any]:
        """The JSON object that it carries, keys included; a number with a fraction is a Decimal.

        ValueError where the body is no JSON object.
        """
        members = json.loads(self.body, parse_float=Decimal)
        if not isinstance(members, dict):
            raise ValueError("body: must be a JSON object")
        return members

    @property
    def changes(self) -> dict[str, Any]:
        """`json` without the four credentials: what was to change. It holds no key."""
        return {name: value for name, value in self.json().items() if name not in CREDENTIALS}


@dataclass(frozen=True)
class Response:
    """A response; a status of None stands for no response and the end of the connection."""

    status: int | None
    body: bytes = b""
    content_type: str = "text/html; charset=utf-8"
    retry_after: int | None = None


def tls_context(ca_file: Path, host: str) -> ssl.SSLContext:
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


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # the head and the body leave in one send

    def setup(self) -> None:
        self.sandbox = self.server.sandbox
        super().setup()
        self.connection.settimeout(self.sandbox._idle_timeout)
        if sys.platform == "win32":
            self.rfile.close()
            self.rfile = io.BufferedReader(_Received(self.connection, self.sandbox._closed))
        self.response_count = 0
        with self.sandbox._lock:
            self.sandbox._connections += 1
            self.number = self.sandbox._connections
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.do_handshake()

    def serve(self) -> None:
        length = ",".join(self.headers.get_all("Content-Length", []))
        if "Transfer-Encoding" in self.headers or (self.command == "POST" and not length):
            page = error_page("Length Required", "HTTP Error 411. The request must have a length.")
            self.refuse_unread("no length", Response(411, page))
        elif not re.fullmatch("[0-9]{0,18}", length):
            self.refuse_unread("malformed length", Response(400, REQUEST_ERROR))
        elif int(length or 0) > MAX_BODY:
            self.refuse_unread("body too long", Response(413))
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
            page = error_page("Service", "Endpoint not found.")
            self.respond("unknown path", Response(404, page), body)
        elif self.command != "POST":
            page = error_page("Service", "Method not allowed.")
            self.respond("not a POST", Response(405, page), body)
        else:
            self.serve_update(body)

    def serve_update(self, body: bytes) -> None:
        fault = self.sandbox._take_fault()
        outcome, response = self.update(body) if fault.applied else ("not applied", Response(None))
        applied = outcome == ACCEPTED
        if fault.name:
            outcome += f", {fault.name}"
        self.respond(outcome, fault.response or response, body, applied=applied, delay=fault.delay)

    def update(self, body: bytes) -> tuple[str, Response]:
        try:
            charset = self.headers.get_content_charset("utf-8")
            if (self.headers.get_content_type(), charset) != ("application/json", "utf-8"):
                raise ValueError("not application/json")
            outcome, response = update(self.sandbox.customers, body)
            return outcome, Response(200, response, JSON)
        except (ValueError, OverflowError) as error:
            return f"malformed: {error}", Response(400, REQUEST_ERROR)

    def refuse_unread(self, outcome: str, response: Response) -> None:
        self.close_connection = True
        self.respond(outcome, response)
        # Closing over unread bytes would reset the connection and might destroy the response on its
        # way: give the other side a moment, and some room, to finish.
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(1)
        self.rfile.read(1 << 20)

    def respond(
        self,
        outcome: str,
        response: Response,
        received: bytes = b"",
        *,
        applied: bool = False,
        delay: float = 0.0,
    ) -> None:
        self.response_count += 1
        request = Request(
            self.command, self.path, self.headers, received, self.number, response.status, applied
        )
        with self.sandbox._lock:
            self.sandbox._requests.append(request)
        self.sandbox._closed.wait(delay)
        if response.status is None:
            self.close_connection = True
        else:
            self.send(response.status, response)
        if self.sandbox._log is not None:
            now = datetime.datetime.now().strftime("%H:%M:%S")
            path = self.path.partition("?")[0].encode("unicode_escape").decode()
            self.sandbox._log(f"{now} {self.command} {path} {response.status or '-'} {outcome}")

    def send(self, status: int, response: Response) -> None:
        self.send_response(status)
        if status == 405:
            self.send_header("Allow", "POST")
        if response.retry_after is not None:
            self.send_header("Retry-After", str(response.retry_after))
        if response.body:
            self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        if self.close_connection or self.response_count >= self.sandbox._max_requests:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def handle_expect_100(self) -> bool:
        return True  # `serve` looks at the length first

    def version_string(self) -> str:
        return "skypostal-sandbox"

    def log_message(self, format: str, *args: object) -> None:
        """Silence: standard error belongs to the program around us."""


class _Received(io.RawIOBase):
    """The bytes that a connection receives, until the sandbox closes.

    On Windows, a thread that reads does not notice that another one shuts the connection down.
    """

    def __init__(self, connection: socket.socket, closed: threading.Event) -> None:
        self._connection, self._closed = connection, closed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        timeout = self._connection.gettimeout() or 0.0
        deadline = time.monotonic() + timeout
        try:
            while True:
                if self._closed.is_set():
                    raise ConnectionAbortedError("the sandbox has closed")
                self._connection.settimeout(max(0.001, min(0.1, deadline - time.monotonic())))
                try:
                    return self._connection.recv_into(buffer)
                except socket.timeout:
                    if time.monotonic() >= deadline:
                        raise
        finally:
            self._connection.settimeout(timeout)


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    timeout = 1.0  # after which the end is noticed even where `wake` has no effect
    # On Windows it would let two servers listen at one port.
    allow_reuse_address = sys.platform != "win32"

    def __init__(
        self, address: tuple[str, int], sandbox: Sandbox, context: ssl.SSLContext | None
    ) -> None:
        self.sandbox = sandbox
        self._context = context
        self._open: set[Any] = set()
        self._closed_one = threading.Condition()
        super().__init__(address, Handler)

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
        """Ends a `handle_request` that waits for a connection, by one that is not served."""
        host, port = self.socket.getsockname()
        # Not every system connects to the address that stands for all of its addresses.
        address = "127.0.0.1" if host == "0.0.0.0" else host
        with contextlib.suppress(OSError):
            socket.create_connection((address, port), timeout=self.timeout).close()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return not self.sandbox._closed.is_set()

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
