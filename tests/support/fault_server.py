"""A plain-socket server that does what a server should not, as scripts tell it.

A script is a row of steps that make one exchange. A connection takes the next one when it arrives,
and another with each further request that it brings, as long as no step closed it. When all are
taken, every further exchange is good.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Sequence
from typing import Callable

from documented import RESPONSE_BYTES
from sockets import end

Step = Callable[["Connection"], None]
Script = Sequence[Step]

GOOD_ID = 51736835
# With slashes as the service writes them.
GOOD_BODY = RESPONSE_BYTES.replace(b"/", rb"\/")


class Connection:
    """One client's connection, and what came and went over it."""

    def __init__(self, socket: socket.socket, server: FaultServer) -> None:
        self.socket = socket
        self.server = server
        self.received = 0
        """The number of bytes."""
        self.sent = 0
        self.requests = 0
        """The number of requests that were read whole."""

    def receive(self) -> bytes:
        data = self.socket.recv(65536)
        self.received += len(data)
        if not data:
            raise ConnectionError("the client has left")
        return data

    def send(self, data: bytes) -> None:
        while data:
            sent = self.socket.send(data)
            self.sent += sent
            data = data[sent:]

    def wait(self, seconds: float) -> None:
        if self.server.stopped.wait(seconds):
            raise ConnectionError("the server stops")


def response(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def read(connection: Connection) -> None:
    """Reads one request, its body included."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.receive()
    head = request.partition(b"\r\n\r\n")[0]
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    end = len(head) + 4 + int(length[1] if length else 0)
    while len(request) < end:
        request += connection.receive()
    connection.requests += 1


def hang(connection: Connection) -> None:
    """Reads on without a word, until the client leaves."""
    while True:
        connection.receive()


def close(connection: Connection) -> None:
    connection.socket.close()


def reset(connection: Connection) -> None:
    linger = struct.pack("ii", 1, 0)
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.socket.close()


def redirect(status: str) -> Step:
    """Sends a redirect to a port where the client has no business."""

    def step(connection: Connection) -> None:
        elsewhere = f"Location: http://localhost:{connection.server.elsewhere}/"
        connection.send(response(b"", status, elsewhere))

    return step


def pause_for(seconds: float) -> Step:
    return lambda connection: connection.wait(seconds)


def send(data: bytes) -> Step:
    return lambda connection: connection.send(data)


def send_made(make: Callable[[], bytes]) -> Step:
    """Sends what is made at that moment."""
    return lambda connection: connection.send(make())


def send_slowly(data: bytes, seconds: float) -> Step:
    """Sends byte by byte, with so many seconds after each."""

    def step(connection: Connection) -> None:
        for at in range(len(data)):
            connection.send(data[at : at + 1])
            connection.wait(seconds)

    return step


def send_endlessly(piece: bytes, total: int) -> Step:
    """Sends a piece again and again, as fast as it is taken, up to so many bytes."""

    def step(connection: Connection) -> None:
        pieces = piece * max(1, 65536 // len(piece))
        for _ in range(total // len(pieces)):
            connection.send(pieces)

    return step


GOOD: Script = [read, send(response(GOOD_BODY))]


class FaultServer:
    """Serves scripts at ``url``, and notes whether anyone connects to the port ``elsewhere``.

    At the start it is "listening", "refusing" (nothing is at the port) or "full" (no connection
    completes); ``listen`` makes it listen.
    """

    def __init__(self, scripts: Sequence[Script], start: str = "listening") -> None:
        self.records: list[Connection] = []
        self.stopped = threading.Event()
        self._scripts = list(scripts)
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._fillers: list[socket.socket] = []
        self._elsewhere = socket.create_server(("127.0.0.1", 0))
        self._elsewhere.setblocking(False)
        self.elsewhere: int = self._elsewhere.getsockname()[1]
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        if start == "listening":
            self.listen()
        elif start == "full":
            self._fill()

    def __enter__(self) -> FaultServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        end(self._listener)
        # The first thread accepts, and starts the others.
        for thread in self._threads[:1]:
            thread.join(5)
        for record in self.records:
            end(record.socket)
        for thread in self._threads[1:]:
            thread.join(5)
        for each in [self._listener, self._elsewhere, *self._fillers]:
            each.close()
        assert not any(thread.is_alive() for thread in self._threads)

    @property
    def requests(self) -> int:
        """The number of requests that were read whole."""
        return sum(record.requests for record in self.records)

    @property
    def went_elsewhere(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            self._elsewhere.accept()[0].close()
            return True
        return False

    def listen(self) -> None:
        """Listens, if it did not."""
        for filler in self._fillers:
            filler.close()
        if not self._threads:
            self._listener.listen()
            self._run(self._accept)

    def leave(self) -> None:
        """Refuses connections from now on; those that are open stay."""
        end(self._listener)
        for thread in self._threads[:1]:
            thread.join(5)
        self._listener.close()

    def _fill(self) -> None:
        """Fills the queue of connections that wait to be accepted, until no other gets through."""
        self._listener.listen(0)
        with contextlib.suppress(socket.timeout):
            while True:
                self._fillers.append(socket.socket())
                self._fillers[-1].settimeout(0.2)
                self._fillers[-1].connect(self._listener.getsockname())

    def _run(self, work: Callable[..., None], *arguments: Connection) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.records.append(Connection(self._listener.accept()[0], self))
                self._run(self._serve, self.records[-1])

    def _serve(self, connection: Connection) -> None:
        # An OSError is a client who has left, or a socket that a step closed.
        with connection.socket, contextlib.suppress(OSError):
            more = True
            while more:
                with self._lock:
                    script = self._scripts.pop(0) if self._scripts else GOOD
                for step in script:
                    step(connection)
                more = bool(connection.socket.recv(1, socket.MSG_PEEK))
