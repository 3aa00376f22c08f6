"""How a run of many updates follows a service that asks for less: draws docs/pace.svg.

    python benches/pace.py docs/pace.svg

A local server takes all requests for 10 s, responds with 429 for 3 s, and takes all again. From
second 30 on it takes 300 requests a second. Needs skypostal alone.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import sys
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

import skypostal

SECONDS, BIN = 70, 0.5
PHASES = [(0, "free"), (10, "429"), (13, "free"), (30, "at most 300/s")]
RESPONSE = b'[{"_verify":true,"cust_id":1,"error":{"error_description":"","error_location":""}}]'


class Service(asyncio.Protocol):
    """Responds to each request as the clock says."""

    began: float
    tokens, at = 0.0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.received = transport, b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if separator and len(body) >= length:
            self.received = b""
            status, page = (
                (b"200 OK", RESPONSE) if self.accepts() else (b"429 Too Many Requests", b"")
            )
            response = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(page), page)
            # A service takes its time; so eight connections bring about 1,500 requests a second.
            asyncio.get_running_loop().call_later(0.005, self.transport.write, response)

    def accepts(self) -> bool:
        now = time.monotonic() - Service.began
        if now < 30:
            return not 10 <= now < 13
        # A token bucket, as limits usually are: a tenth of a second may come at once.
        Service.tokens = min(30.0, Service.tokens + (now - Service.at) * 300)
        Service.at = now
        Service.tokens -= 1
        if Service.tokens < 0:
            Service.tokens += 1
            return False
        return True


def serve(port: Connection) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", 0)
        Service.began = time.monotonic()
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def measure() -> tuple[Counter[int], Counter[int]]:
    """Accepted and refused attempts, by the number of the half second in which they ended."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("fork").Process(target=serve, args=(there,), daemon=True)
    server.start()
    port = here.recv()
    accepted, refused = Counter[int](), Counter[int]()
    began = time.monotonic()

    def count(attempt: skypostal.Attempt) -> None:
        counts = refused if attempt.status == 429 else accepted
        counts[int((time.monotonic() - began) / BIN)] += 1

    with skypostal.Client(
        base_url=f"http://127.0.0.1:{port}", user_code=1, app_key="key", on_attempt=count
    ) as client:
        row = {"customer_box_id": 1, "customer_key": "key", "customer_first_name": "New"}
        for outcome in client.update_many(itertools.repeat(row)):
            assert outcome.error is None, outcome
            if time.monotonic() - began > SECONDS:
                break
    server.kill()
    return accepted, refused


def draw(accepted: Counter[int], refused: Counter[int]) -> str:
    # As wide as a telephone shows without making it smaller than can be read.
    width, height, left, top = 420, 250, 56, 44
    most = max(accepted.values()) / BIN * 1.1

    def x(seconds: float) -> float:
        return left + seconds / SECONDS * (width - left - 20)

    def y(rate: float) -> float:
        return top + (1 - rate / most) * (height - top - 40)

    def line(counts: Counter[int], css: str) -> str:
        points = (f"{x(n * BIN):.1f},{y(counts[n] / BIN):.1f}" for n in range(int(SECONDS / BIN)))
        return f'<polyline class="{css}" points="{" ".join(points)}"/>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img">',
        "<title>Attempts a second of a run against a service that asks for less</title>",
        "<style>text{font:13px sans-serif;fill:#777}polyline{fill:none;stroke-width:2}"
        ".accepted{stroke:#2a7}.refused{stroke:#d43}line{stroke:#8886}</style>",
    ]
    for rate in range(0, int(most), 500):
        parts.append(f'<line x1="{left}" x2="{width - 10}" y1="{y(rate):.1f}" y2="{y(rate):.1f}"/>')
        parts.append(
            f'<text x="{left - 8}" y="{y(rate) + 4:.1f}" text-anchor="end">{rate}/s</text>'
        )
    for second in range(0, SECONDS + 1, 10):
        parts.append(
            f'<text x="{x(second):.1f}" y="{height - 22}" text-anchor="middle">{second} s</text>'
        )
    for at, (second, name) in enumerate(PHASES):
        parts.append(
            f'<line x1="{x(second):.1f}" x2="{x(second):.1f}" y1="{top}" y2="{y(0):.1f}"/>'
        )
        # A phase may be shorter than its name.
        parts.append(f'<text x="{x(second):.1f}" y="{top - 8 - 16 * (at % 2)}">{name}</text>')
    parts += [line(accepted, "accepted"), line(refused, "refused")]
    parts.append(f'<text x="{left}" y="{height - 4}">green: accepted; red: refused by 429</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(*measure()))
