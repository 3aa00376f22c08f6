"""Finalizers: Python runs them on any of its threads, which the library's own is none of."""

from __future__ import annotations

import subprocess
import sys

import pytest

from skypostal.sandbox import BOX_ID, CUSTOMER_KEY

# The garbage collector is due when the outcome of an await arrives, and what it finds makes a call.
PROGRAM = f"""
import asyncio, faulthandler, gc, sys, threading, time
import skypostal

faulthandler.dump_traceback_later(30, exit=True)
what, run = sys.argv[1:]
who = dict(customer_box_id={BOX_ID}, customer_key={CUSTOMER_KEY!r})
client, awaited = skypostal.Client(timeout=5), skypostal.AsyncClient(timeout=5)
ends = []

def rows_in_a_generator():
    with client.update_many([who] * 4) as outcomes:
        for outcome in outcomes:
            yield outcome

class Account:
    def __init__(self):
        self.me = self
        if what == "generator":
            self.rows = rows_in_a_generator()
            assert next(self.rows).error is None

    def __del__(self):
        end = "well"
        try:
            if what == "client":
                client.update_personal_info(**who)
            elif what == "function":
                skypostal.update_personal_info(**who)
            elif what == "many":
                assert [o.error for o in client.update_many([who])] == [None]
            elif what == "generator":
                self.rows.close()
            elif what == "closing":
                awaited._client.close()
        except BaseException as error:
            end = repr(error)
        ends.append((threading.current_thread().name, end))

async def main():
    for _ in range(20):
        gc.disable()
        Account()
        if run == "trio":
            await one_in_trio()
        else:
            await one_in_asyncio()

async def one_in_asyncio():
    pending = asyncio.ensure_future(awaited.update_personal_info(**who))
    await asyncio.sleep(0)
    gc.enable()
    time.sleep(0.02)  # whatever the program does meanwhile; the outcome arrives
    await end_of(pending)

async def one_in_trio():
    async def update():
        await end_of(awaited.update_personal_info(**who))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(update)
        await trio.sleep(0)
        await trio.lowlevel.checkpoint()
        gc.enable()
        time.sleep(0.02)

async def end_of(call):
    try:
        await call
    except skypostal.ConfigurationError:
        assert what == "closing"

if run == "trio":
    import trio
gc.set_threshold(1)
trio.run(main) if run == "trio" else asyncio.run(main())
gc.disable()
print(len(ends), set(ends))
"""


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("run", ["asyncio", "trio"])
@pytest.mark.parametrize("what", ["client", "function", "many", "generator", "closing"])
def test_a_finalizer_may_call_while_awaits_are_in_flight(what: str, run: str) -> None:
    program = [sys.executable, "-c", PROGRAM, what, run]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "20 {('MainThread', 'well')}\n"
