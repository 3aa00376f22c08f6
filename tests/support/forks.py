"""A program whose forked child has the process number of the process that made its client.

``forks.py how what``. It updates, and its child does; a namespace's program then updates again.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import skypostal
from skypostal.sandbox import BOX_ID, CUSTOMER_KEY

CLONE_NEWUSER, CLONE_NEWPID = 0x10000000, 0x20000000
# The exit status of a program that this machine does not let make a namespace.
NOT_PERMITTED = 77
SECONDS = 15

libc = ctypes.PyDLL(None, use_errno=True)


def new_namespace() -> None:
    """The next child is number 1 of a PID namespace."""
    if libc.unshare(CLONE_NEWPID) and libc.unshare(CLONE_NEWUSER | CLONE_NEWPID):
        print(os.strerror(ctypes.get_errno()))
        os._exit(NOT_PERMITTED)


def clone() -> int:
    """As ``fork`` in a namespace, but without the handlers that ``fork`` calls."""
    number = {"x86_64": 56, "aarch64": 220}[platform.machine()]
    child: int = libc.syscall(number, CLONE_NEWPID | signal.SIGCHLD, 0, 0, 0, 0)
    assert child >= 0, os.strerror(ctypes.get_errno())
    return child


def run_in_child(work: Callable[[], object], fork: Callable[[], int] = os.fork) -> None:
    child = fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
    deadline = time.monotonic() + SECONDS
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            # No other signal ends number 1 of a namespace, and all that is in it ends with it.
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    if ended[1]:
        os._exit(os.waitstatus_to_exitcode(ended[1]) & 0xFF)


def in_namespace(update: Callable[[], object]) -> None:
    def child() -> None:
        assert os.getpid() == 1
        update()

    update()
    new_namespace()
    run_in_child(child)
    update()


def by_clone(update: Callable[[], object]) -> None:
    def child() -> None:
        assert libc.syscall({"x86_64": 39, "aarch64": 172}[platform.machine()]) == 1
        update()

    update()
    run_in_child(child, clone)
    update()


def with_its_number(update: Callable[[], object]) -> None:
    """A daemon's worker has the number that the program had before it became a daemon."""
    receive, send = os.pipe()

    def program() -> None:
        update()
        number = os.getpid()
        if os.fork() == 0:
            try:
                while is_there(number):
                    time.sleep(0.01)
                daemon(number)
                os.write(send, b"1")
            finally:
                os._exit(0)

    def daemon(number: int) -> None:
        for _ in range(200):
            # As after all other numbers were given.
            with open("/proc/sys/kernel/ns_last_pid", "w") as last:
                last.write(str(number - 1))
            child = os.fork()
            if child == 0:
                if os.getpid() != number:
                    os._exit(2)
                update()
                os._exit(0)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if status != 2:
                assert status == 0, status
                return
        raise AssertionError(f"no process was given the number {number}")

    run_in_child(program)
    os.close(send)
    assert os.read(receive, 1) == b"1"


def is_there(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def updates() -> dict[str, Callable[[], Any]]:
    who: Any = {"customer_box_id": BOX_ID, "customer_key": CUSTOMER_KEY}
    client, awaited = skypostal.Client(timeout=5), skypostal.AsyncClient(timeout=5)

    def many() -> None:
        (outcome,) = client.update_many([who])
        assert outcome.error is None, outcome.error

    async def many_awaited() -> None:
        outcomes = [outcome async for outcome in awaited.update_many([who])]
        assert [outcome.error for outcome in outcomes] == [None]

    return {
        "client": lambda: client.update_personal_info(**who),
        "function": lambda: skypostal.update_personal_info(**who),
        "async": lambda: asyncio.run(awaited.update_personal_info(**who)),
        "many": many,
        "async_many": lambda: asyncio.run(many_awaited()),
    }


def main(how: str, what: str) -> None:
    ways = {"namespace": in_namespace, "clone": by_clone, "number": with_its_number}
    update = updates()[what]
    new_namespace()
    run_in_child(lambda: ways[how](update))


if __name__ == "__main__":
    main(*sys.argv[1:])
