"""Everything that a call needs is imported when the client is made, at the latest.

A program loads all of itself. Then it enters a ``chroot``, gives up its rights, or a newer
installation takes the place of its own: from there on it can import nothing.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from fault_server import FaultServer, Script, close, hang, read, response, send
from project import environment_of

import skypostal
from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, USER_CODE, Sandbox

PROGRAM = """
import sys
{before}
import skypostal
given = dict(user_code={user_code}, app_key={app_key!r}, base_url=sys.argv[1])
who = dict(customer_box_id={box_id}, customer_key={customer_key!r})
client = skypostal.Client(**given)
late = []
class Forbidden:
    def find_spec(name, path=None, target=None):
        late.append(name)
        raise ModuleNotFoundError(f"{{name}} is imported late", name=name)
sys.meta_path.insert(0, Forbidden)
{call}
print("late:", *late)
"""


def run(url: str, before: str, call: str) -> None:
    """Makes a client, and then the call, in a process of its own that may import nothing more."""
    code = PROGRAM.format(
        before=before,
        call=call,
        user_code=USER_CODE,
        app_key=APP_KEY,
        box_id=BOX_ID,
        customer_key=CUSTOMER_KEY,
    )
    command = [sys.executable, "-I", "-c", code, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "late:\n", "")


# What the program imports itself, and what it does then.
CALLS = {
    "plain": ("", "assert client.update_personal_info(**who).cust_id == 51736835"),
    "text": ("", "client.update_personal_info(**who, customer_first_name='Zo\\u00eb \\U0001f600')"),
    "birth date": (
        "import datetime",
        "client.update_personal_info(**who, customer_birth_date=datetime.date(1980, 8, 19))",
    ),
    "birth date as a text": (
        "",
        "client.update_personal_info(**who, customer_birth_date='1980-08-19')",
    ),
    "tax number": ("", "client.update_personal_info(**who, customer_tax_number=5)"),
    "tax number as a Decimal": (
        "from decimal import Decimal",
        "client.update_personal_info(**who, customer_tax_number=Decimal('12.50'))",
    ),
    "record": (
        "",
        "info = client.update_personal_info(**who)\n"
        "repr(info), info.to_dict(), info.raw, hash(info), info == info",
    ),
    "pickled record": (
        "import copy, pickle",
        "info = client.update_personal_info(**who)\n"
        "assert pickle.loads(pickle.dumps(info)) == info == copy.copy(info)",
    ),
    "thread": (
        "import _thread",
        "lock = _thread.allocate_lock(); lock.acquire()\n"
        "def call():\n client.update_personal_info(**who)\n lock.release()\n"
        "_thread.start_new_thread(call, ()); assert lock.acquire(timeout=10)",
    ),
    "rows": ("", "assert [o.error for o in client.update_many([who, who])] == [None, None]"),
    "rows of another mapping": (
        "from types import MappingProxyType",
        "assert [o.error for o in client.update_many([MappingProxyType(who)])] == [None]",
    ),
    "closed run": ("", "with client.update_many([who] * 20) as run: repr(next(run))"),
    "closed client": ("", "with client: client.update_personal_info(**who)"),
    "preview": ("", "client.preview(**who)"),
    "probe": ("", "client._probe()"),
    "logging": (
        "import logging; logging.basicConfig(level='DEBUG', stream=open('/dev/null', 'w'))",
        "client.update_personal_info(**who)",
    ),
    "hook": (
        "told = []",
        "client = skypostal.Client(**given, on_attempt=told.append)\n"
        "client.update_personal_info(**who); assert 'number=1' in repr(told[0])",
    ),
    "hook that raises": (
        "sys.unraisablehook = lambda _: None",
        "client = skypostal.Client(**given, on_attempt=lambda _: 1 / 0)\n"
        "client.update_personal_info(**who)",
    ),
    "asyncio": (
        "import asyncio",
        "async def main():\n"
        " async with skypostal.AsyncClient(**given, on_attempt=repr) as client:\n"
        "  return await client.update_personal_info(**who)\n"
        "asyncio.run(main())",
    ),
    "asyncio, rows": (
        "import asyncio",
        "async def main():\n"
        " run = skypostal.AsyncClient(**given).update_many([who, who])\n"
        " return [outcome.error async for outcome in run]\n"
        "assert asyncio.run(main()) == [None, None]",
    ),
    "trio": (
        "import trio",
        "async def main():\n"
        " client = skypostal.AsyncClient(**given)\n"
        " await client.update_personal_info(**who)\n"
        " return [outcome.error async for outcome in client.update_many([who, who])]\n"
        "assert trio.run(main) == [None, None]",
    ),
    # A table is read and written by another package, which imports what it likes when it likes.
    "pyarrow": (
        "import pyarrow\n"
        "table = pyarrow.table({'customer_box_id': [1], 'customer_key': ['k']})\n"
        "table.to_pylist(); pyarrow.array([None, 1], pyarrow.int64())",
        "assert client.update_batch(table).to_pylist()[0]['ok']",
    ),
    "polars": (
        "import polars\n"
        "table = polars.DataFrame({'customer_box_id': [1], 'customer_key': ['k']})\n"
        "polars.DataFrame(table.to_dicts()); table.to_pandas",
        "assert client.update_batch(table).to_dicts()[0]['ok']",
    ),
}


@pytest.mark.parametrize(("before", "call"), CALLS.values(), ids=CALLS.keys())
def test_a_call_imports_nothing(before: str, call: str) -> None:
    with FaultServer([]) as server:
        run(server.url, before, call)


def record(**members: bytes) -> Script:
    shown = b"".join(b', "%s": %s' % (name.encode(), text) for name, text in members.items())
    return [read, send(response(b'[{"_verify": true, "cust_id": 5%s}]' % shown))]


RECORDS = {
    "fraction": record(customer_tax_number=b"12.50"),
    "long number": record(customer_tax_number=b"9" * 40),
    "endless number": record(customer_tax_number=b"9" * 5000),
    "exponent": record(customer_tax_number=b"1e999999999999999999"),
    "nested": record(other=b"[" * 5000 + b"]" * 5000),
    "other members": record(other=b'{"a": [1.50, 1e5, null, true, "\\u00eb"]}'),
    "day": record(customer_birth_date=rb'"\/Date(335505600000-0400)\/"'),
    "no day": record(customer_birth_date=b'"soon"'),
}


@pytest.mark.parametrize("script", RECORDS.values(), ids=RECORDS.keys())
def test_reading_a_record_imports_nothing(script: Script) -> None:
    with FaultServer([script]) as server:
        run(
            server.url,
            "",
            "info = client.update_personal_info(**who)\ninfo.to_dict(), info.raw, repr(info)",
        )


BUSY = [read, send(response(b"busy", "503 Busy", "Retry-After: 0"))]
ERRORS: dict[str, tuple[list[Script], str, str]] = {
    "ValidationError": ([], "customer_gender='x'", ""),
    "ValidationError of a number": ([], "customer_tax_number=object()", ""),
    "ValidationError of a day": ([], "customer_birth_date=object()", ""),
    "ValidationError of a text": ([], "customer_first_name='\\ud800'", ""),
    "TypeError": ([], "customer_frist_name='x'", ""),
    "TypeError of a timeout": ([], "timeout='x'", ""),
    "ConfigurationError": ([], "", "client.close()"),
    "ConnectError": ([], "", "client = skypostal.Client(**{**given, 'base_url': nowhere})"),
    "TlsError": (
        [[send(b"no TLS\r\n\r\n"), close]] * 3,
        "",
        "client = skypostal.Client(**{**given, 'base_url': secure})",
    ),
    "ConnectionLostError": ([[read, close]] * 3, "", ""),
    "RequestTimeoutError": ([[read, hang]], "timeout=0.2", ""),
    "StatusError": ([BUSY] * 3, "", ""),
    "RefusedError": (
        [[read, send(response(b'[{"_verify":false,"error":{"error_description":"no"}}]'))]],
        "",
        "",
    ),
    "ResponseError": ([[read, send(response(b"[]"))]], "", ""),
    "LookupError of a signal": ([[read, hang]], "", "signal.setitimer(signal.ITIMER_REAL, 0.2)"),
}

FAIL = """
client = skypostal.Client(**given, on_attempt=lambda attempt: None)
{first}
try:
    client.update_personal_info(**who, {field})
except {error} as error:
    for twin in (error, pickle.loads(pickle.dumps(error))):
        repr(twin), str(twin), vars(twin), hash(twin)
        assert twin.delivery in ("not_sent", "rejected", "unknown") and twin.attempts >= 0
else:
    raise AssertionError("no error")
"""


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_imports_nothing(name: str) -> None:
    scripts, field, first = ERRORS[name]
    error = name.partition(" ")[0]
    if hasattr(skypostal, error):
        error = f"skypostal.{error}"
    with FaultServer(scripts) as server:
        before = (
            "import logging, pickle, signal\n"
            "def handler(*_): raise LookupError\n"
            "signal.signal(signal.SIGALRM, handler)\n"
            "nowhere, secure = 'http://127.0.0.1:9', sys.argv[1].replace('http:', 'https:')"
        )
        run(server.url, before, FAIL.format(first=first, field=field, error=error))


def test_a_pickled_record_imports_what_it_needs_with_itself(sandbox: Sandbox) -> None:
    # As in a worker of a pool, which makes no client.
    code = (
        "import pickle, sys, skypostal\n"
        "info = pickle.load(sys.stdin.buffer)\n"
        "sys.meta_path[:] = []; sys.path[:] = []\n"
        "print(info.customer_tax_number, info.customer_birth_date, len(info.raw))"
    )
    client = skypostal.Client(base_url=sandbox.url, user_code=USER_CODE, app_key=APP_KEY)
    info = client.update_personal_info(
        customer_box_id=BOX_ID, customer_key=CUSTOMER_KEY, customer_tax_number="12.50"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], input=pickle.dumps(info), capture_output=True
    )
    shown = f"12.50 {info.customer_birth_date} {len(info.raw)}"
    assert (done.stdout.decode().splitlines(), done.stderr) == ([shown], b"")


# What a program of some size has imported, and what is made before the files are out of reach.
DAEMON = """
import asyncio, os, sys
from decimal import Decimal
import skypostal

options = dict(ca_file=sys.argv[2] or None, trust_env=False)
client, waiting = skypostal.Client(**options), skypostal.AsyncClient(**options)
who = dict(customer_box_id={box_id}, customer_key={customer_key!r})
{leave}
info = client.update_personal_info(**who, customer_tax_number=Decimal("12.50"))
assert info.customer_tax_number == Decimal("12.50"), info.to_dict()
assert info.customer_birth_date and info.raw
assert [outcome.error for outcome in client.update_many([who, who])] == [None, None]
assert asyncio.run(waiting.update_personal_info(**who)).cust_id == info.cust_id
try:
    client.update_personal_info(**{{**who, "customer_key": "wrong"}})
except skypostal.RefusedError as error:
    assert error.delivery == "rejected"
else:
    raise AssertionError("refused")
"""
LEAVE = {
    "a new installation": "sys.path[:] = []; skypostal.__path__[:] = []; "
    "sys.path_importer_cache.clear()",
}
if sys.platform != "win32" and os.geteuid() == 0:
    LEAVE["chroot"] = "os.chroot(sys.argv[1]); os.chdir('/')"
    LEAVE["chroot as nobody"] = LEAVE["chroot"] + "; os.setgid(65534); os.setuid(65534)"


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("leave", LEAVE.values(), ids=LEAVE.keys())
def test_a_client_works_where_no_file_is_left(leave: str, tls: bool, tmp_path: Path) -> None:
    code = DAEMON.format(leave=leave, box_id=BOX_ID, customer_key=CUSTOMER_KEY)
    with Sandbox(tls=tls) as sandbox:
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), str(sandbox.ca_file or "")],
            env=environment_of(sandbox),
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(tmp_path.iterdir())
