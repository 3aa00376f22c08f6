"""Every way in which a call can go wrong, and how it is to end: one list for all three faces."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from math import inf

from fault_server import (
    GOOD,
    GOOD_BODY,
    Script,
    close,
    hang,
    pause_for,
    read,
    redirect,
    reset,
    response,
    send,
    send_endlessly,
    send_made,
    send_slowly,
)

from skypostal.sandbox import APP_KEY, CUSTOMER_KEY

# The documented customer's, with a slash, which the service spells "\/".
KEY = CUSTOMER_KEY.replace("+", "/")
KEYS = (APP_KEY, KEY)
MIB = 1024 * 1024
ECHO = f"{APP_KEY} {KEY} ".encode()
ECHO += ECHO.replace(b"/", rb"\/")


@dataclass(frozen=True)
class Fault:
    """The scripts of a call's exchanges, the client's options, and the end that is expected."""

    name: str
    scripts: Sequence[Script]
    kind: str = "ok"
    delivery: str = "-"  # or two with a bar between, where either is true
    attempts: int = 1  # where it is to succeed: the requests that the server read
    status: int = 0
    retry_after: tuple[float, float] | None = None  # from, to; in seconds
    shows: str = ""  # in the message or in the body
    url: str = ""
    start: str = "listening"
    timeout: float = 3.0
    connect_timeout: float = 1.0
    max_retries: int = 2
    at_least: float = 0.0  # seconds that the call takes
    late: float = 0.1  # seconds after the deadline that it may end
    pause: float = 0.0  # seconds before the second call
    sends: float = 16 * MIB  # what a server gets rid of at most, buffers of both sides included
    recovers: bool = True  # whether the second call can succeed


def with_head(*lines: str, body: bytes = b"") -> Script:
    return [read, send("\r\n".join([*lines, "", ""]).encode() + body)]


def ok(body: bytes) -> Script:
    return [read, send(response(body))]


def status(line: str, body: bytes = b"", *headers: str) -> Script:
    return [read, send(response(body, line, *headers))]


def chunked(*parts: bytes) -> Script:
    return with_head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"".join(parts))


def retry_after_date(line: str, seconds: int) -> Script:
    return [
        read,
        send_made(
            lambda: response(
                b"", line, f"Retry-After: {formatdate(time.time() + seconds, usegmt=True)}"
            )
        ),
    ]


def accepted(member: bytes) -> bytes:
    return b'[{"_verify":true,"cust_id":51736835,%s}]' % member


def refused(description: bytes) -> bytes:
    return b'[{"_verify":false,"error":{"error_description":"%s"}}]' % description


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


LOST: Script = [read, close]
# No standard library has the last two.
COMPRESSED = {
    "gzip": gzip.compress(GOOD_BODY),
    "deflate": zlib.compress(GOOD_BODY),
    "br": b"\x8b\x80brotli",
    "zstd": b"\x28\xb5\x2f\xfdzstd",
}
DEEP = b"[" * 100_000 + b"]" * 100_000
HTML = "\ufeff<!DOCTYPE html><title>Request Error</title>See server logs".encode()
XML = b'<Fault xmlns="http://schemas.microsoft.com/ws/2005/05/envelope/none"/>'
BUSY = "503 Service Unavailable"
MANY = "429 Too Many Requests"
HALF = response(GOOD_BODY)[:-20]
# These bytes must never be taken for the next call's response.
POISON_BODY = GOOD_BODY.replace(b"51736835", b"666")
POISON = response(POISON_BODY)
H2_SETTINGS = b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\0\x04\0\x01\0\0\0\x05\0\xff\xff\xff"

NO_CONNECTION = [
    Fault("port refused", [], "connect", "not_sent", 3, start="refusing"),
    Fault("host unknown", [], "connect", "not_sent", 3, url="https://nonexistent.invalid",
          recovers=False, timeout=5),
    Fault("connect never completes", [], "connect", "not_sent", 2, start="full",
          connect_timeout=0.2, max_retries=1, at_least=0.4),
    Fault("connect never completes, deadline", [], "timeout", "not_sent", 1, start="full",
          timeout=0.3),
]  # fmt: skip

LOST_CONNECTION = [
    Fault("closed on accept", [[close]] * 3, "lost", "not_sent|unknown", 3),
    Fault("closed after reading", [LOST] * 3, "lost", "unknown", 3),
    Fault("reset after reading", [[read, reset]] * 3, "lost", "unknown", 3),
    Fault("closed amid headers", [[read, send(HALF[:25]), close]] * 3, "lost", "unknown", 3),
    Fault("closed amid body", [[read, send(HALF), close]] * 3, "lost", "unknown", 3),
    Fault("reset amid body", [[read, send(HALF), reset]] * 3, "lost", "unknown", 3),
    Fault("closed amid chunks", [[*chunked(b"ff\r\n["), close]] * 3, "lost", "unknown", 3),
    Fault("length too long", [[*with_head("HTTP/1.1 200 OK", "Content-Length: 9999",
                                          body=GOOD_BODY), close]] * 3, "lost", "unknown", 3),
    Fault("lost, no retries", [LOST], "lost", "unknown", 1, max_retries=0),
    Fault("lost, then success", [LOST, GOOD], attempts=2),
    Fault("lost, then refused", [LOST, ok(refused(b"no"))], "refused", "unknown", 2, shows="no"),
    Fault("lost, then 503", [LOST, status(BUSY, b"", "Retry-After: 9")], "status", "unknown", 2,
          status=503, retry_after=(9, 9)),
    Fault("lost, then hangs", [LOST, [read, hang]], "timeout", "unknown", 2, timeout=0.6),
]  # fmt: skip

SLOW = [
    Fault("never a response", [[read, hang]], "timeout", "unknown", timeout=0.3, at_least=0.3),
    Fault("never reads", [[hang]], "timeout", "unknown", timeout=0.3, at_least=0.3),
    Fault("one byte a second", [[read, send_slowly(response(GOOD_BODY), 1.0)]],
          "timeout", "unknown", timeout=1.2, at_least=1.2),
    Fault("slow body", [[read, send(HALF), send_slowly(b" " * 9999, 0.05)]],
          "timeout", "unknown", timeout=0.4, at_least=0.4),
    Fault("headers without end, slow", [[read, send(b"HTTP/1.1 200 OK\r\n"),
                                         send_slowly(b"A: b\r\n" * 99, 0.05)]],
          "timeout", "unknown", timeout=0.4, at_least=0.4),
    Fault("length too long, left open", [[read, send(HALF), hang]],
          "timeout", "unknown", timeout=0.3, at_least=0.3),
    Fault("503, then hangs", [status(BUSY), [read, hang]], "timeout", "unknown", 2, timeout=0.6),
]  # fmt: skip

ENDLESS = [
    Fault("headers without end", [[read, send(b"HTTP/1.1 200 OK\r\n"),
                                   send_endlessly(b"A: b\r\n", 1024 * MIB)]],
          "response", "unknown"),
    Fault("one header without end", [[read, send(b"HTTP/1.1 200 OK\r\nA: "),
                                      send_endlessly(b"b", 1024 * MIB)]], "response", "unknown"),
    Fault("1 GiB", [[*with_head("HTTP/1.1 200 OK", f"Content-Length: {1024 * MIB}"),
                     send_endlessly(b" ", 1024 * MIB)]], "response", "unknown", shows="1 MiB"),
    Fault("1 GiB in chunks", [[*chunked(), send_endlessly(chunk(b" " * 65536), 1024 * MIB)]],
          "response", "unknown", shows="1 MiB"),
    Fault("500 of 1 GiB", [[*with_head("HTTP/1.1 500 No", f"Content-Length: {1024 * MIB}"),
                            send_endlessly(b"x", 1024 * MIB)]],
          "status", "unknown", status=500, shows="xxx"),
    Fault("interim responses without end", [[read, send_endlessly(b"HTTP/1.1 100 Continue\r\n\r\n",
                                                                1024 * MIB)]],
          "timeout", "unknown", timeout=0.3, at_least=0.3, sends=inf,
          late=0.3),  # hyper reads 50 MB of them at a time
    Fault("trailers without end", [[*chunked(b"2\r\n[]\r\n0\r\n"),
                                    send_endlessly(b"A: b\r\n", 1024 * MIB)]],
          "response", "unknown"),
    Fault("chunk extension without end", [[*chunked(b"2;"), send_endlessly(b"a", 1024 * MIB)]],
          "response", "unknown"),
]  # fmt: skip

NOT_HTTP = [
    Fault("SSH at once", [[send(b"SSH-2.0-OpenSSH_9.6\r\n"), hang]], "response", "unknown"),
    Fault("SSH in response", [[read, send(b"SSH-2.0-OpenSSH_9.6\r\n"), hang]],
          "response", "unknown"),
    Fault("HTTP/2 in response", [[read, send(H2_SETTINGS), hang]], "response", "unknown"),
    Fault("HTTP/2 preface", [[read, send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), hang]],
          "response", "unknown"),
    Fault("HTTP/0.9", [[read, send(b"<html>hello</html>\r\n"), close]], "response", "unknown"),
    Fault("length overflows", [with_head("HTTP/1.1 200 OK", f"Content-Length: {'9' * 30}")],
          "response", "unknown"),
    Fault("two lengths", [with_head("HTTP/1.1 200 OK", "Content-Length: 2", "Content-Length: 3",
                                    body=b"[]")], "response", "unknown"),
    Fault("negative length", [with_head("HTTP/1.1 200 OK", "Content-Length: -2", body=b"[]")],
          "response", "unknown"),
    Fault("chunk size is no number", [chunked(b"zz\r\n[]\r\n0\r\n\r\n")], "response", "unknown"),
    Fault("chunk size overflows", [chunked(b"f" * 17 + b"\r\n[]")], "response", "unknown"),
    Fault("chunk longer than told", [chunked(b"1\r\n[]\r\n0\r\n\r\n")], "response", "unknown"),
]  # fmt: skip

MALFORMED_RESPONSES = [
    Fault("length too short", [with_head("HTTP/1.1 200 OK", f"Content-Length: {len(HALF) // 4}",
                                         body=GOOD_BODY)], "response", "unknown"),
    Fault("200 empty", [ok(b"")], "response", "unknown", shows="empty"),
    Fault("204", [status("204 No Content")], "response", "unknown", shows="empty"),
    Fault("200 null", [ok(b"null")], "response", "unknown", shows="null"),
    Fault("200 []", [ok(b"[]")], "response", "unknown", shows="[]"),
    Fault("200 {}", [ok(b"{}")], "response", "unknown", shows="{}"),
    Fault("200, a gateway's object", [ok(b'{"message":"no"}')], "response", "unknown",
          shows="it is a JSON object, not an array"),
    Fault("200 text", [ok(b"upstream error")], "response", "unknown", shows="it is plain text"),
    Fault("200 SOAP", [ok(XML)], "response", "unknown", shows="it is a SOAP message"),
    Fault("200 cut JSON", [ok(b'[{"_verify":true')], "response", "unknown", shows="cut short"),
    Fault("200 [1,2]", [ok(b"[1,2]")], "response", "unknown", shows="[1,2]"),
    Fault("200 [{}]", [ok(b"[{}]")], "response", "unknown", shows="_verify"),
    Fault("_verify is a text", [ok(b'[{"_verify":"true"}]')], "response", "unknown"),
    Fault("200 HTML", [ok(HTML)], "response", "unknown", shows="See server logs"),
    Fault("200 HTML, named", [ok(HTML)], "response", "unknown",
          shows="it is an HTML page, not the service"),
    Fault("not JSON's end", [ok(GOOD_BODY + b"x")], "response", "unknown"),
    Fault("100,000 deep", [ok(DEEP)], "response", "unknown"),
    Fault("_verify doubled, last false", [ok(b'[{"_verify":true,"_verify":false}]')],
          "refused", "rejected"),
    Fault("refused", [ok(refused(b"no such box"))], "refused", "rejected", shows="no such box"),
    Fault("refused, echoing keys", [ok(refused(b"bad key " + ECHO))], "refused", "rejected",
          shows="bad key *** ***"),
    Fault("200, a text of keys", [ok(b'"%s"' % ECHO)], "response", "unknown", shows="*** ***"),
    Fault("accepted, but a system error", [ok(accepted(b'"error":{"system_error":true}'))],
          "refused", "unknown"),
    Fault("accepted, but an error text", [ok(accepted(b'"error":{"error_description":"oh"}'))],
          "refused", "unknown", shows="oh"),
    Fault("accepted, but an error that is a text", [ok(accepted(b'"error":"oh"'))],
          "refused", "unknown", shows="oh"),
    Fault("refused by a system error", [ok(b'[{"_verify":false,"error":{"system_error":true}}]')],
          "refused", "unknown"),
    *[Fault(f"200 in {coding}", [status("200 OK", body, f"Content-Encoding: {coding}")],
            "response", "unknown", shows=f"compressed with {coding}, although")
      for coding, body in COMPRESSED.items()],
    Fault("200 in gzip, chunked", [with_head("HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked",
                                             body=chunk(COMPRESSED["gzip"]) + b"0\r\n\r\n")],
          "response", "unknown", shows="compressed with gzip, chunked, although"),
    Fault("200, echoing keys", [ok(b"<p>" + ECHO)], "response", "unknown", shows="*** ***"),
]  # fmt: skip

GOOD_RESPONSES = [
    Fault("success", [GOOD]),
    Fault("byte-order mark", [ok(b"\xef\xbb\xbf" + GOOD_BODY)]),
    Fault("chunks", [chunked(chunk(GOOD_BODY[:9]), chunk(GOOD_BODY[9:]), b"0\r\n\r\n")]),
    Fault("ends with the connection", [[*with_head("HTTP/1.1 200 OK", body=GOOD_BODY), close]]),
    Fault("identity, as asked", [status("200 OK", GOOD_BODY, "Content-Encoding: identity")]),
    Fault("interim 100", [[read, send(b"HTTP/1.1 100 Continue\r\n\r\n" + response(GOOD_BODY))]]),
    Fault("empty reason phrase", [status("200 ", GOOD_BODY)]),
    Fault("no reason phrase", [status("200", GOOD_BODY)]),
    Fault("one byte at a time", [[read, send_slowly(response(GOOD_BODY), 0.001)]]),
    Fault("invalid UTF-8 echoed", [ok(accepted(b'"customer_first_name":"Jos\xe9"'))]),
    Fault("lone surrogate echoed", [ok(accepted(rb'"customer_first_name":"x\ud83d"'))]),
    Fault("100,000 deep in a member", [ok(accepted(b'"new":' + DEEP))]),
    Fault("_verify doubled, last true", [ok(b'[{"_verify":false,"_verify":true,"cust_id":1,'
                                            b'"cust_id":51736835}]')]),
    Fault("response trails", [[read, send(response(GOOD_BODY) + POISON)]]),
    Fault("response trails, no retries", [[read, send(response(GOOD_BODY) + POISON)]],
          max_retries=0, pause=0.05),
    Fault("response trails later",
          [[read, send(response(GOOD_BODY)), pause_for(0.03), send(POISON)]], pause=0.1),
    Fault("array trails", [[read, send(response(GOOD_BODY) + POISON_BODY)]]),
    Fault("junk trails", [[read, send(response(GOOD_BODY) + b"\0\xff junk")]]),
    Fault("closes, as it said", [[read, send(response(GOOD_BODY, "200 OK", "Connection: close")),
                                  close]], max_retries=0),
    Fault("closes without a word", [[*GOOD, close]] * 2),
    Fault("closes later", [[*GOOD, pause_for(0.03), close]] * 2, max_retries=0, pause=0.1),
]  # fmt: skip

STATUSES = [
    Fault("101", [with_head("HTTP/1.1 101 Switching Protocols", "Connection: upgrade",
                            "Upgrade: x")], "status", "unknown", status=101),
    Fault("302 elsewhere", [[read, redirect("302 Found")]], "status", "rejected", status=302),
    Fault("307 elsewhere", [[read, redirect("307 Temporary Redirect")]], "status", "rejected",
          status=307),
    Fault("400 HTML", [status("400 Bad Request", HTML)], "status", "unknown", status=400,
          shows="See server logs"),
    Fault("401", [status("401 Unauthorized")], "status", "rejected", status=401),
    Fault("404 in gzip", [status("404 Not Found", COMPRESSED["gzip"], "Content-Encoding: gzip")],
          "status", "rejected", status=404, shows="bytes, compressed with gzip)"),
    Fault("404 HTML", [status("404 Not Found", HTML)], "status", "rejected", status=404),
    Fault("405", [status("405 Method Not Allowed", HTML, "Allow: POST")], "status", "rejected",
          status=405),
    Fault("413 empty", [status("413 Request Entity Too Large")], "status", "rejected",
          status=413),
    Fault("500 XML", [status("500 Internal Server Error", XML)], "status", "unknown", status=500,
          shows="<Fault"),
    Fault("500 JSON", [status("500 Internal Server Error", b'{"Message":"oh"}')],
          "status", "unknown", status=500, shows='"oh"'),
    Fault("500 usual form", [status("500 Internal Server Error", GOOD_BODY)],
          "status", "unknown", status=500, shows="_verify"),
    Fault("500, echoing keys", [status("500 Oh", b"bad " + ECHO)], "status", "unknown",
          status=500, shows="bad *** ***"),
    Fault("500 cut", [[*with_head("HTTP/1.1 500 Oh", "Content-Length: 99", body=b"oh"), close]],
          "status", "unknown", status=500, shows="oh"),
    Fault("407, though no proxy is set", [status("407 Proxy Authentication Required")], "status",
          "unknown", status=407),
    Fault("408", [status("408 Request Timeout")] * 3, "status", "unknown", 3, status=408),
    Fault("429", [status(MANY)] * 3, "status", "rejected", 3, status=429),
    Fault("502", [status("502 Bad Gateway")] * 3, "status", "unknown", 3, status=502),
    Fault("503", [status(BUSY)] * 3, "status", "unknown", 3, status=503),
    Fault("504", [status("504 Gateway Timeout")] * 3, "status", "unknown", 3, status=504),
    Fault("503 cut", [[*with_head(f"HTTP/1.1 {BUSY}", "Content-Length: 99"), close]] * 3,
          "status", "unknown", 3, status=503),
    Fault("503, no retries", [status(BUSY)], "status", "unknown", 1, status=503, max_retries=0),
    Fault("503, then success", [status(BUSY), GOOD], attempts=2),
    Fault("503 and closed, then success", [[*status(BUSY), close], GOOD], attempts=2),
    Fault("503, then 429", [status(BUSY, b"", "Retry-After: 0"), *[status(MANY)] * 2],
          "status", "unknown", 3, status=429),
    Fault("503, then refused", [status(BUSY, b"", "Retry-After: 0"), ok(refused(b"no"))],
          "refused", "unknown", 2),
    Fault("504, then 503", [status("504 Oh"), *[status(BUSY)] * 2], "status", "unknown", 3,
          status=503),
]  # fmt: skip

RETRY_AFTER = [
    Fault("429, retry after 0", [status(MANY, b"", "Retry-After: 0"), GOOD], attempts=2),
    Fault("503, retry after 1", [status(BUSY, b"", "Retry-After: 1"), GOOD], attempts=2,
          at_least=1),
    Fault("429, retry after a date", [retry_after_date(MANY, 2), GOOD], attempts=2, at_least=0.9),
    Fault("503, retry after a past date", [retry_after_date(BUSY, -9), GOOD], attempts=2),
    Fault("503, retry after 0 thrice", [status(BUSY, b"", "Retry-After: 0")] * 3,
          "status", "unknown", 3, status=503, retry_after=(0, 0)),
    Fault("429, retry beyond the deadline", [status(MANY, b"", "Retry-After: 5")],
          "status", "rejected", status=429, retry_after=(5, 5)),
    Fault("503, retry date beyond the deadline", [retry_after_date(BUSY, 3600)],
          "status", "unknown", status=503, retry_after=(3590, 3600)),
    Fault("503, absurd retry", [status(BUSY, b"", f"Retry-After: {'9' * 30}")],
          "status", "unknown", status=503, retry_after=(1e9, inf)),
    Fault("503, retry after soon", [status(BUSY, b"", "Retry-After: soon"), GOOD], attempts=2),
    Fault("503, retry after -1", [status(BUSY, b"", "Retry-After: -1")] * 3,
          "status", "unknown", 3, status=503),
]  # fmt: skip

FAULTS: list[Fault] = [
    *NO_CONNECTION, *LOST_CONNECTION, *SLOW, *ENDLESS, *NOT_HTTP,
    *MALFORMED_RESPONSES, *GOOD_RESPONSES, *STATUSES, *RETRY_AFTER,
]  # fmt: skip
