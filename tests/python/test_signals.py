"""Signals of a Python host: it alone takes them, and a server that hangs up ends nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from skypostal.sandbox import BOX_ID, CUSTOMER_KEY, Sandbox

UPDATE = f"""
import asyncio, os, signal, sys
import skypostal
who = dict(customer_box_id={BOX_ID}, customer_key={CUSTOMER_KEY!r})

async def many_awaited():
    return [outcome async for outcome in skypostal.AsyncClient().update_many([who])]

def update(what):
    if what == "async":
        asyncio.run(skypostal.AsyncClient().update_personal_info(**who))
    elif what == "many":
        list(skypostal.Client().update_many([who]))
    elif what == "async_many":
        asyncio.run(many_awaited())
    else:
        skypostal.Client().update_personal_info(**who)
"""

# Each thread of the library, with what it does not block. A look-up takes less than a millisecond.
THREADS = """
import threading, time
blocked = {}

def look():
    while True:
        for thread in os.listdir("/proc/self/task"):
            try:
                with open(f"/proc/self/task/{thread}/status") as status:
                    fields = dict(line.split(":", 1) for line in status)
            except (FileNotFoundError, ProcessLookupError):
                continue
            # Of a thread that is ending, Linux shows no thread and no signal.
            if int(fields["Threads"]) > 0:
                blocked[fields["Name"].strip()] = int(fields["SigBlk"], 16)

threading.Thread(target=look, daemon=True).start()
deadline = time.monotonic() + 30
while "skypostal-names" not in blocked:
    assert time.monotonic() < deadline
    update(sys.argv[1])
# Of a fault, a thread must hear itself.
never = {signal.SIGKILL, signal.SIGSTOP, signal.SIGBUS, signal.SIGFPE, signal.SIGILL,
         signal.SIGSEGV}
for name in sorted(blocked):
    if name.startswith("skypostal"):
        print(name, [number for number in signal.valid_signals() - never
                     if not blocked[name] >> (number - 1) & 1])
"""

# As Python's documentation of pthread_sigmask and sigwait has it.
CRITICAL = """
update(sys.argv[1])
handled = []
signal.signal(signal.SIGUSR1, lambda *_: handled.append(1))
with_handler, without = signal.SIGUSR1, signal.SIGTERM
signal.pthread_sigmask(signal.SIG_BLOCK, [with_handler, without])
for number in with_handler, without:
    os.kill(os.getpid(), number)
update(sys.argv[1])
assert signal.sigpending() == {with_handler, without} and not handled
assert signal.sigtimedwait([without], 5).si_signo == without
signal.pthread_sigmask(signal.SIG_UNBLOCK, [with_handler])
assert handled
"""

WHATS = ["client", "async", "many", "async_many"]


def run(program: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("what", WHATS)
def test_no_thread_of_the_library_takes_a_signal(what: str, sandbox: Sandbox) -> None:
    # The name has a thread look it up.
    by_name = sandbox.url.replace("127.0.0.1", "localhost")
    threads = run(UPDATE + THREADS, what, SKYPOSTAL_BASE_URL=by_name).splitlines()
    background = [] if what == "client" else ["skypostal []"]
    assert threads == [*background, "skypostal-names []"]
    run(UPDATE + CRITICAL, what, SKYPOSTAL_BASE_URL=by_name)


# A server that begins to respond while most of the request is still to come, and hangs up. A
# client that goes on writing gets SIGPIPE.
HANGING_UP = """
import asyncio, signal, socket, struct, sys, threading
import skypostal

listener = socket.socket()
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
listener.bind(("127.0.0.1", 0))
listener.listen(50)

def hang_up():
    while True:
        connection, _ = listener.accept()
        connection.recv(100)
        connection.send(b"HTTP/1.1 200 OK\\r\\nContent-Length: 99\\r\\n\\r\\n[")
        connection.shutdown(socket.SHUT_WR)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

threading.Thread(target=hang_up, daemon=True).start()
text = "\\u4e16" * 8192
who = dict(customer_box_id=1, customer_key="k", customer_first_name=text, customer_last_name=text)
masks = set()
options = dict(
    base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", user_code=1, app_key="k",
    max_retries=0, on_attempt=lambda _: masks.add(frozenset(signal.pthread_sigmask(0, []))),
)
handled = []
what, disposition = sys.argv[1:]
signal.signal(signal.SIGPIPE, {
    "default": signal.SIG_DFL, "ignored": signal.SIG_IGN, "handled": lambda *_: handled.append(1),
}[disposition])
before = signal.getsignal(signal.SIGPIPE)

def updates():
    client = skypostal.Client(**options)
    for _ in range(50):
        try:
            client.update_personal_info(**who)
        except skypostal.SkyPostalError as error:
            yield error

async def awaited():
    client, errors = skypostal.AsyncClient(**options), []
    for _ in range(50):
        try:
            await client.update_personal_info(**who)
        except skypostal.SkyPostalError as error:
            errors.append(error)
    return errors

async def many_awaited():
    rows = skypostal.AsyncClient(**options).update_many([who] * 50)
    return [outcome.error async for outcome in rows]

errors = {
    "client": updates,
    "async": lambda: asyncio.run(awaited()),
    "many": lambda: [o.error for o in skypostal.Client(**options).update_many([who] * 50)],
    "async_many": lambda: asyncio.run(many_awaited()),
}[what]()
assert [type(error).__name__ for error in errors] == ["ConnectionLostError"] * 50
assert signal.getsignal(signal.SIGPIPE) is before and not handled
# What Python code does meanwhile, such as to start a program, is done with the host's own mask.
assert masks == {frozenset()} and not signal.sigpending()
"""


@pytest.mark.parametrize("disposition", ["default", "ignored", "handled"])
@pytest.mark.parametrize("what", WHATS)
def test_a_server_that_hangs_up_ends_no_host(what: str, disposition: str) -> None:
    run(HANGING_UP, what, disposition)
