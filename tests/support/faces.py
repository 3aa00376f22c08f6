"""The same call through each face of the library, and how it ended."""

from __future__ import annotations

import os
import pickle
import subprocess
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fault_cases import KEY, KEYS, Fault
from fault_server import GOOD_ID

from skypostal import Client, SkyPostalError
from skypostal.sandbox import APP_KEY, BOX_ID, USER_CODE

# Both ends of each key, which hold no character that is ever escaped but the last.
SECRETS = [part.encode() for key in KEYS for part in (key[:12], key[-12:-1])]
UPDATE: Any = {"customer_box_id": BOX_ID, "customer_key": KEY, "customer_first_name": "New Name"}
# For `indirect=True`: the fixture `face` makes the call.
COMPILED = [pytest.param(name, marks=pytest.mark.compiled) for name in ("c", "rust")]
KINDS = {
    "ConnectError": "connect",
    "TlsError": "tls",
    "ConnectionLostError": "lost",
    "RequestTimeoutError": "timeout",
    "StatusError": "status",
    "RefusedError": "refused",
    "ResponseError": "response",
}


@dataclass
class Report:
    """The end of a call."""

    kind: str
    delivery: str
    attempts: int
    status: int
    retry_after: float | None
    seconds: float
    text: str  # the message and the body


GoOn = Callable[[Report], None]
Face = Callable[[Fault, str, GoOn], None]
"""Makes the call, hands in its report, and makes another one, which is to succeed."""


def python(fault: Fault, url: str, go_on: GoOn) -> None:
    client = Client(
        user_code=USER_CODE,
        app_key=APP_KEY,
        base_url=url,
        timeout=fault.timeout,
        connect_timeout=fault.connect_timeout,
        max_retries=fault.max_retries,
    )
    with client:
        started = time.monotonic()
        try:
            info = client.update_personal_info(**UPDATE)
            seconds = time.monotonic() - started
            assert info.raw["cust_id"] == info.cust_id
            report = Report("ok", "-", 0, 0, None, seconds, f"cust_id {info.cust_id}")
        except SkyPostalError as error:
            seconds = time.monotonic() - started
            report = report_of(error, seconds)
            everything = "".join(
                traceback.format_exception(type(error), error, error.__traceback__)
            )
            everything += f"{error!r} {error} {vars(error)} {client!r}"
            check_secrets(everything.encode() + pickle.dumps(error))
            assert pickle.loads(pickle.dumps(error)) == error
        go_on(report)
        if fault.recovers:
            assert client.update_personal_info(**UPDATE).cust_id == GOOD_ID


def report_of(error: SkyPostalError, seconds: float) -> Report:
    return Report(
        KINDS[type(error).__name__],
        error.delivery,
        error.attempts,
        getattr(error, "status", 0),
        getattr(error, "retry_after", None),
        seconds,
        f"{error}\n{getattr(error, 'body', '')}",
    )


def driver(program: Path) -> Face:
    """A program that does the same in another language."""

    def face(fault: Fault, url: str, go_on: GoOn) -> None:
        milliseconds = [str(round(s * 1000)) for s in (fault.timeout, fault.connect_timeout)]
        command = [str(program), url, *milliseconds, str(fault.max_retries)]
        environment = {
            **os.environ,
            "SKYPOSTAL_USER_CODE": str(USER_CODE),
            "SKYPOSTAL_APP_KEY": APP_KEY,
            "SKYPOSTAL_CUSTOMER_BOX_ID": str(BOX_ID),
            "SKYPOSTAL_CUSTOMER_KEY": KEY,
        }
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
        ) as process:
            assert process.stdout is not None
            lines = list(iter(process.stdout.readline, b"go on?\n"))[:999]
            try:
                kind, delivery, *numbers = lines[0].decode().split()
                attempts, status, retry_after, took = map(int, numbers)
                text = b"".join(lines[1:]).decode()
                after = None if retry_after == -1 else retry_after / 1000
                go_on(Report(kind, delivery, attempts, status, after, took / 1000, text))
            finally:
                again, errors = process.communicate(b"\n", timeout=30)
        check_secrets(b"".join(lines) + again + errors)
        assert (errors, process.returncode) == (b"", 0)
        if fault.recovers:
            assert again == b"again ok %d\n" % GOOD_ID

    return face


def check_secrets(output: bytes) -> None:
    assert not [secret for secret in SECRETS if secret in output]
