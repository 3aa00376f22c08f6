"""Many calls through a server that fails at random: every outcome must be true.

    python soak.py [CALLS [SEED]]

Sixteen threads share one client. Each call carries a name of its own, so that the server can tell
afterwards which updates it applied, and each outcome is held against that.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import json
import multiprocessing
import os
import random
import socket
import struct
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

import skypostal

THREADS = 16
CONNECTION = 5  # descriptors: the event queue twice, its timer, a connection, and one being opened
TIMEOUT = 0.5  # seconds
ACCEPTED = b'[{"_verify":true,"cust_id":1}]'
REFUSED = b'[{"_verify":false,"error":{"error_description":"no"}}]'
SYSTEM_ERROR = b'[{"_verify":false,"error":{"error_description":"no","system_error":true}}]'
LATE_ERROR = b'[{"_verify":true,"error":{"error_description":"late"}}]'

# The server's reactions to a request, how often each, and whether it applies the update first.
FAULTS: list[tuple[str, int, bool]] = [
    ("response", 60, True),
    ("response in chunks", 5, True),
    ("response and close", 5, True),
    ("close", 2, False),
    ("reset", 2, False),
    ("apply and close", 3, True),
    ("apply and break off", 3, True),
    ("apply and fail", 2, True),
    ("apply and say busy", 1, True),
    ("apply and report an error", 1, True),
    ("apply and report a system error", 1, True),
    ("refuse", 4, False),
    ("too busy", 4, False),
    ("too many", 2, False),
    ("no HTTP", 2, False),
    ("no JSON", 2, True),
    ("too long", 1, True),
    ("stall", 2, False),
    ("apply and stall", 1, True),
]


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Server:
    def __init__(self, seed: int) -> None:
        self.applied: set[str] = set()
        self.received: set[str] = set()
        self.random = random.Random(seed)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)

    def serve(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.run, args=(connection,), daemon=True).start()

    def run(self, connection: socket.socket) -> None:
        if self.random.random() < 0.01:
            connection.close()  # before anything was read
        with contextlib.suppress(OSError), connection:
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    buffer += self.more(connection)
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                while len(buffer) < length:
                    buffer += self.more(connection)
                name = json.loads(buffer[:length])["customer_first_name"]
                buffer = buffer[length:]
                self.received.add(name)
                kinds, weights, _ = zip(*FAULTS)
                self.respond(connection, *self.random.choices(FAULTS, weights)[0], name)

    def respond(
        self, connection: socket.socket, fault: str, _: int, applies: bool, name: str
    ) -> None:
        if applies:
            self.applied.add(name)
        chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(ACCEPTED), ACCEPTED)
        responses = {
            "response": http(ACCEPTED),
            "response in chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk,
            "response and close": http(ACCEPTED, "200 OK", "Connection: close"),
            "apply and break off": http(ACCEPTED)[:-5],
            "apply and fail": http(b"<Fault/>", "500 Internal Server Error"),
            "apply and say busy": http(b"", "503 Service Unavailable", "Retry-After: 0"),
            "apply and report an error": http(LATE_ERROR),
            "apply and report a system error": http(SYSTEM_ERROR),
            "refuse": http(REFUSED),
            "too busy": http(b"", "503 Service Unavailable", "Retry-After: 0"),
            "too many": http(b"", "429 Too Many Requests"),
            "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
            "no JSON": http(b"<html>"),
            "too long": http(b" " * 2**21),
        }
        if fault.endswith("stall"):
            time.sleep(2 * TIMEOUT)
        if fault == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(responses.get(fault, b""))
        if fault not in ("response", "response in chunks", "refuse", "too busy", "too many"):
            raise ConnectionError

    @staticmethod
    def more(connection: socket.socket) -> bytes:
        data = connection.recv(65536)
        if not data:
            raise ConnectionError
        return data


def run_server(seed: int, pipe: Connection) -> None:
    server = Server(seed)
    threading.Thread(target=server.serve, daemon=True).start()
    pipe.send(server.listener.getsockname()[1])
    pipe.recv()
    pipe.send((server.received, server.applied))


def resources() -> tuple[int, int]:
    """Memory in KiB, open descriptors."""
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024, len(os.listdir("/proc/self/fd"))


def soak(calls: int, seed: int) -> None:
    """Raises AssertionError at the first outcome that is not true."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=run_server, args=(seed, theirs), daemon=True
    )
    server.start()
    client = skypostal.Client(
        user_code=1, app_key="k", base_url=f"http://127.0.0.1:{ours.recv()}", timeout=TIMEOUT
    )
    outcomes: dict[str, str] = {}
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    latest = 0.0

    def call(number: int) -> None:
        nonlocal latest
        name = f"name {number}"
        started = time.monotonic()
        try:
            client.update_personal_info(
                customer_box_id=1, customer_key="k", customer_first_name=name
            )
            outcome, delivery = "accepted", "accepted"
        except skypostal.SkyPostalError as error:
            outcome, delivery = type(error).__name__, error.delivery
        latest = max(latest, time.monotonic() - started)
        outcomes[name] = delivery
        counts[outcome, delivery] += 1

    numbers = itertools.count()
    before = resources()
    samples: list[tuple[int, int]] = []
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in range(10):
            list(threads.map(call, itertools.islice(numbers, calls // 10)))
            samples.append(resources())

    ours.send("tell")
    received, applied = ours.recv()
    server.terminate()
    server.join()
    server.close()
    for (outcome, delivery), count in sorted(counts.items()):
        print(f"{outcome:22}{delivery:12}{count:8}")
    print(
        f"latest end {latest * 1000:.0f} ms after the start; the deadline is {TIMEOUT * 1000:.0f}"
    )
    print("memory (KiB), descriptors:", *samples)

    by_delivery: dict[str, Any] = collections.defaultdict(set)
    for name, delivery in outcomes.items():
        by_delivery[delivery].add(name)
    assert len(outcomes) == calls // 10 * 10, "a call had no outcome"
    assert by_delivery["accepted"] <= applied, "accepted, but not applied"
    assert not by_delivery["not_sent"] & received, "not_sent, but received"
    assert not by_delivery["rejected"] & applied, "rejected, but applied"
    assert len(by_delivery["accepted"]) > calls / 2, "too few were accepted to tell anything"
    assert latest < TIMEOUT + 0.1, "a call went on beyond its deadline"
    assert samples[-1][0] - samples[2][0] < 4096, "memory grows"
    assert samples[-1][1] <= before[1] + THREADS * CONNECTION, "descriptors grow"


if __name__ == "__main__":
    arguments = [int(text) for text in sys.argv[1:]]
    soak(*(arguments + [20_000, 1][len(arguments) :]))
    print("every outcome was true")
