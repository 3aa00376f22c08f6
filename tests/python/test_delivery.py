"""Was the customer changed? What the C guide says of each status, alone and after another attempt.

A call makes two attempts. The first is lost, or gets a 503 or a 429; the second ends in each way in
which an attempt can end.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from faces import COMPILED, Face, Report
from fault_cases import BUSY, LOST, MANY, Fault, ok, refused, status
from fault_server import Connection, FaultServer, Script, close, hang, read, response, send
from project import ROOT
from sockets import end

ORDER = ["not_sent", "rejected", "unknown"]
NOW = "Retry-After: 0"
CLOSES = "Connection: close"
SYSTEM_ERROR = b'[{"_verify":false,"error":{"system_error":true}}]'
LATE_ERROR = b'[{"_verify":true,"error":{"error_description":"oh"}}]'

# What the service sends to the first attempt before it closes, and what that leaves of the update.
FIRST = {
    "nothing": (b"", "unknown"),
    "503": (response(b"", BUSY, NOW, CLOSES), "unknown"),
    "429": (response(b"", MANY, NOW, CLOSES), "rejected"),
}


class Last(NamedTuple):
    """How the last attempt ends: the kind, and what it leaves of the update by itself."""

    kind: str
    delivery: str
    script: Script = ()  # none: nothing listens any more


LAST = {
    "refused connection": Last("connect", "not_sent"),
    "closed": Last("lost", "unknown", LOST),
    "silence": Last("timeout", "unknown", [read, hang]),
    "404": Last("status", "rejected", status("404 Not Found")),
    "401": Last("status", "rejected", status("401 Unauthorized")),
    "400": Last("status", "unknown", status("400 Bad Request")),
    "503": Last("status", "unknown", status(BUSY)),
    "refusal": Last("refused", "rejected", ok(refused(b"no"))),
    "system error": Last("refused", "unknown", ok(SYSTEM_ERROR)),
    "late error": Last("refused", "unknown", ok(LATE_ERROR)),
    "no array": Last("response", "unknown", ok(b"{}")),
}


def outcome(face: Face, url: str, *, attempts: int) -> tuple[str, str]:
    """The kind and the delivery of a call of so many attempts."""
    reports: list[Report] = []
    fault = Fault("", (), timeout=0.6, max_retries=attempts - 1, recovers=False)
    face(fault, url, reports.append)
    assert reports[0].attempts == attempts, reports
    return reports[0].kind, reports[0].delivery


def leave(connection: Connection) -> None:
    connection.server.leave()


@pytest.mark.parametrize("face", ["python", COMPILED[0]], indirect=True)
@pytest.mark.parametrize("last", LAST)
def test_an_only_attempt(last: str, face: Face) -> None:
    kind, delivery, script = LAST[last]
    with FaultServer([script], "listening" if script else "refusing") as server:
        assert outcome(face, server.url, attempts=1) == (kind, delivery)


@pytest.mark.parametrize("face", ["python", COMPILED[0]], indirect=True)
@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("first", FIRST)
def test_an_earlier_attempt_is_not_forgotten(first: str, last: str, face: Face) -> None:
    sent, before = FIRST[first]
    kind, delivery, script = LAST[last]
    gone = [] if script else [leave]
    with FaultServer([[read, *gone, send(sent), close], script]) as server:
        got = outcome(face, server.url, attempts=2)
    assert got == (kind, max(before, delivery, key=ORDER.index))


@contextlib.contextmanager
def serving_tls(certificate: trustme.LeafCert, sent: Sequence[bytes]) -> Iterator[str]:
    """Serves one request by TLS for each of `sent`, and speaks no TLS after that."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    responses = list(sent)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    if not responses:
                        connection.recv(65536)
                        connection.sendall(b"220 mail.example.com ESMTP\r\n")
                        continue
                    with context.wrap_socket(connection, server_side=True) as secure:
                        while not secure.recv(65536).endswith(b"}"):
                            pass
                        secure.sendall(responses.pop(0))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://localhost:{listener.getsockname()[1]}"
        end(listener)
        thread.join()


@pytest.mark.parametrize("face", ["python", COMPILED[0]], indirect=True)
@pytest.mark.parametrize("first", [None, *FIRST])
def test_an_earlier_attempt_is_not_forgotten_where_tls_fails(
    first: str | None,
    face: Face,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    sent, before = FIRST[first] if first else (b"", "not_sent")
    attempts = 2 if first else 1
    with serving_tls(authority.issue_cert("localhost"), [sent] * (attempts - 1)) as url:
        assert outcome(face, url, attempts=attempts) == ("tls", before)


def claims() -> dict[str, set[str]]:
    """What the C guide says of each kind: which deliveries an attempt may leave."""
    rows = re.findall(
        r"^\| `SKYPOSTAL_(\w+)` \| .* \| ([^|]*) \|$", (ROOT / "docs/c.md").read_text(), re.M
    )
    return {
        kind.lower(): set(said.replace("not sent", "not_sent").split(", or "))
        for kind, said in rows
    }


def test_the_guide_claims_what_was_seen_above() -> None:
    said = claims()
    assert set().union(*said.values()) == set(ORDER)
    seen: dict[str, set[str]] = {"tls": {"not_sent"}}
    for last in LAST.values():
        seen.setdefault(last.kind, set()).add(last.delivery)
    # That nothing was sent yet is a matter of moments: test_faults.py has these.
    for kind in ("lost", "timeout"):
        seen[kind].add("not_sent")
    assert {kind: said[kind] for kind in seen} == seen
    assert said["invalid_field"] == said["configuration"] == said["misuse"] == {"not_sent"}
