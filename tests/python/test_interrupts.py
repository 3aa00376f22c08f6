"""Ctrl-C and other signals while a call waits."""

from __future__ import annotations

import _thread
import functools
import logging
import signal
import subprocess
import sys
import threading
import time

import pytest
from clients import client_of
from documented import CUSTOMER

import skypostal
from skypostal import Client, PersonalInfo
from skypostal.sandbox import Sandbox


def test_ctrl_c_ends_a_call_at_once_and_the_next_one_works(environment: None, silent: str) -> None:
    code = f"""
import signal, time, skypostal
signal.signal(signal.SIGINT, signal.default_int_handler)
client = skypostal.Client()
for _ in range(2):
    try:
        print("calling", flush=True)
        print(client.update_personal_info(**{CUSTOMER!r}).cust_id)
    except KeyboardInterrupt:
        print(time.monotonic(), flush=True)
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "calling\n"
        time.sleep(0.15)
        interrupted = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert 0 <= float(child.stdout.readline()) - interrupted < 0.3
        assert child.stdout.read() == "calling\n51736835\n"
    assert child.returncode == 0


def test_an_interrupt_ends_a_call_on_every_system(silent: str) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    started = time.monotonic()
    threading.Timer(0.2, _thread.interrupt_main).start()
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            client_of(silent).update_personal_info(**CUSTOMER)
    finally:
        signal.signal(signal.SIGINT, before)
    assert 0.2 <= time.monotonic() - started < 2
    assert vars(caught.value) == {"delivery": "unknown", "attempts": 1}


class Alarm(Exception):
    pass


def test_whatever_a_signal_handler_raises_ends_the_call(silent: str) -> None:
    def handler(number: int, frame: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, handler)
    # Waiting for a response, and waiting to try again.
    try:
        for client in (client_of(silent), client_of("http://127.0.0.1:9", max_retries=1000)):
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            started = time.monotonic()
            with pytest.raises(Alarm):
                client.update_personal_info(**CUSTOMER)
            assert 0.2 <= time.monotonic() - started < 0.5
    finally:
        signal.signal(signal.SIGALRM, before)


def test_it_does_so_in_the_midst_of_a_hook_and_of_a_log_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def handler(number: int, frame: object) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # as for: a second one kills
        raise Alarm

    class Handler:
        def __call__(self, *arguments: object) -> None:
            handler(*arguments)  # type: ignore[arg-type]

    class Signals(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            signal.raise_signal(signal.SIGALRM)
            return True

    logger, signals = logging.getLogger("skypostal"), Signals()
    before = signal.getsignal(signal.SIGALRM)
    try:
        for hook in (lambda _: signal.raise_signal(signal.SIGALRM), None):
            if hook is None:
                logger.addFilter(signals)
            client = client_of("http://127.0.0.1:9", max_retries=1000, on_attempt=hook)
            for installed in (handler, functools.partial(handler), Handler()):
                signal.signal(signal.SIGALRM, installed)
                with pytest.raises(Alarm):
                    client.update_personal_info(**CUSTOMER)
    finally:
        logger.removeFilter(signals)
        signal.signal(signal.SIGALRM, before)


def test_a_signal_that_is_handled_does_not_end_a_call(client: Client, sandbox: Sandbox) -> None:
    calls: list[int] = []
    sandbox.delay(0.3)
    before = signal.signal(signal.SIGALRM, lambda number, frame: calls.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert client.update_personal_info(**CUSTOMER).cust_id == 51736835
    finally:
        signal.signal(signal.SIGALRM, before)
    assert calls == [signal.SIGALRM]


def test_a_call_from_a_signal_handler_breaks_nothing(client: Client, sandbox: Sandbox) -> None:
    inner: list[object] = []
    sandbox.delay(0.3)

    def handler(number: int, frame: object) -> None:
        try:
            inner.append(client.update_personal_info(**CUSTOMER))
        except BaseException as error:
            inner.append(error)

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert client_of(sandbox.url).update_personal_info(**CUSTOMER).cust_id == 51736835
    finally:
        signal.signal(signal.SIGALRM, before)
    # Whether it works or says that it cannot; but no panic.
    assert len(inner) == 1 and isinstance(inner[0], (PersonalInfo, skypostal.SkyPostalError))
    client.update_personal_info(**CUSTOMER)
