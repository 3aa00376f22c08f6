"""The end of the interpreter: threads in mid-call, and finalizers that call."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from skypostal.sandbox import BOX_ID, CUSTOMER_KEY, Sandbox

CUST_ID = 51736835

pytestmark = pytest.mark.usefixtures("for_programs")

START = f"""
import asyncio, collections.abc, faulthandler, os, sys, threading, time
import skypostal

faulthandler.dump_traceback_later(30, exit=True)
who = dict(customer_box_id={BOX_ID}, customer_key={CUSTOMER_KEY!r})

class AtTheEnd:
    "Is finalized after every module, when no other thread gets the GIL any more."
    def __init__(self, work):
        self.work = work
    def __del__(self):
        self.work()
"""


def run(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", START + program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# Daemon threads run code of Python inside of a call when the interpreter ends, and want the GIL
# again while that still takes half a second. CPython before 3.14 ends them then.
IN_PYTHON = """
started = threading.Barrier(4)

def python(*_):
    started.wait()
    time.sleep(0.2)
    return 1.0

class Number:
    __float__ = python

class Rows:
    def __iter__(self):
        return self
    __next__ = python

def generator():
    python()
    yield who

def closed():
    try:
        yield who
        yield who
    finally:
        python()

def drop():
    rows = client.update_many(closed(), concurrency=1)
    next(rows)

class Mapping(collections.abc.Mapping):
    __getitem__ = who.__getitem__
    def __iter__(self):
        python()
        return iter(who)
    def __len__(self):
        return len(who)

def unraisable(*_):
    raise ValueError

async def awaited(**options):
    await skypostal.AsyncClient(**options).update_personal_info(**who)

client = skypostal.Client()
uses = {
    "hook": lambda: skypostal.Client(on_attempt=python).update_personal_info(**who),
    "awaited hook": lambda: asyncio.run(awaited(on_attempt=python)),
    "argument": lambda: client.update_personal_info(timeout=Number(), **who),
    "iterator": lambda: list(client.update_many(Rows())),
    "generator": lambda: list(client.update_many(generator())),
    "end of a generator": drop,
    "mapping": lambda: list(client.update_many([Mapping()])),
    "unraisable": lambda: skypostal.Client(on_attempt=unraisable).update_personal_info(**who),
}
if sys.argv[1] == "unraisable":
    sys.unraisablehook = python
for _ in range(3):
    threading.Thread(target=uses[sys.argv[1]], daemon=True).start()
started.wait()
# Not time.sleep: under Wine, CPython 3.13 ends in it here, even without other threads.
wait = threading.Lock().acquire
wait()
sys.at_the_end = AtTheEnd(lambda wait=wait, write=os.write: (wait(timeout=0.5), write(1, b"end")))
"""


@pytest.mark.parametrize(
    "use",
    [
        *["hook", "awaited hook", "argument", "iterator", "generator", "end of a generator"],
        *["mapping", "unraisable"],
    ],
)
def test_a_thread_that_runs_python_inside_of_a_call_is_stopped(use: str) -> None:
    assert run(IN_PYTHON, use) == "end"


FINALIZER = """
client = skypostal.Client()
calls = {
    "client": lambda: client.update_personal_info(**who).cust_id,
    "bulk": lambda: [outcome.result.cust_id for outcome in client.update_many([who])][0],
}
call = calls[sys.argv[1]]
if sys.argv[2] == "used":
    call()
sys.at_the_end = AtTheEnd(lambda write=os.write: write(1, b"%d" % call()))
"""


@pytest.mark.parametrize("call", ["client", "bulk"])
@pytest.mark.parametrize("before", ["used", "new"])
def test_a_finalizer_may_call_at_the_very_end(call: str, before: str, sandbox: Sandbox) -> None:
    # Longer than the interval at which a call looks for signals.
    sandbox.delay(0.2, times=2 if before == "used" else 1)
    assert run(FINALIZER, call, before) == str(CUST_ID)


# What an interpreter does in each of its lives, in a host that ends and begins it.
EMBEDDED = f"""
import asyncio, logging, os, sys
import skypostal

logged = []
logger = logging.getLogger("skypostal")
logger.setLevel(logging.DEBUG)
logger.addFilter(logged.append)
who = dict(customer_box_id={BOX_ID}, customer_key={CUSTOMER_KEY!r})
async def awaited():
    async with skypostal.AsyncClient(on_attempt=lambda attempt: None) as client:
        infos = await asyncio.gather(*[client.update_personal_info(**who) for _ in range(5)])
        return {{info.cust_id for info in infos}}

client = skypostal.Client()
assert "skypostal._preload" in sys.modules
calls = [
    lambda: client.update_personal_info(**who).cust_id,
    lambda: skypostal.update_personal_info(**who).cust_id,
    lambda: [outcome.result.cust_id for outcome in client.update_many([who])][0],
    lambda: asyncio.run(awaited()).pop(),
]
for call in calls:
    os.write(1, b"%d " % call())
try:
    client.update_personal_info(timeout=3, customer_box_id=-1, customer_key="k")
except skypostal.ValidationError as error:
    os.write(1, b"%s " % error.field.encode())
os.write(1, b"%d logged " % len(logged))
"""

HOST = r"""
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    void *python = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
    void (*initialize)(int);
    int (*run)(const char *);
    int (*finalize)(void);
    int life, failures = argc != 3;

    if (!python)
        return fprintf(stderr, "%s\n", dlerror()), 2;
    *(void **)&initialize = dlsym(python, "Py_InitializeEx");
    *(void **)&run = dlsym(python, "PyRun_SimpleString");
    *(void **)&finalize = dlsym(python, "Py_FinalizeEx");
    for (life = 0; life < 3; life++) {
        initialize(0);
        failures += run(argv[2]) != 0;
        failures += finalize() != 0;
    }
    return failures;
}
"""


# Debian has Python's shared library in a package of its own.
@pytest.mark.toolchains
def test_an_interpreter_may_end_and_begin_again(tmp_path: Path) -> None:
    (tmp_path / "host.c").write_text(HOST)
    command = ["cc", "-Wall", "-Wextra", "-Werror", "host.c", "-o", "host", "-ldl"]
    subprocess.run(command, cwd=tmp_path, check=True)
    folder, name = sysconfig.get_config_vars("LIBDIR", "INSTSONAME")
    paths = f"import sys; sys.path[:] = {sys.path!r}\n"
    command = [str(tmp_path / "host"), f"{folder}/{name}", paths + EMBEDDED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    # CPython's decimal warns of its own second life.
    others = [line for line in done.stderr.splitlines() if line and "mpd_setminalloc" not in line]
    assert others == []
    assert done.stdout == (f"{CUST_ID} " * 4 + "customer_box_id 8 logged ") * 3
