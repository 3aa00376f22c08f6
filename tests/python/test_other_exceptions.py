"""A call that ends in an exception that is not this package's own tells what became of the update.

Such as the recursion limit, no memory left, what a hook raises, a cancelled task, the end of the
interpreter. The exception has ``delivery`` and ``attempts``, as every error has.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import random
import socket
import subprocess
import sys
import time
from decimal import Decimal
from typing import Any, Callable

import pytest
import trio
from fault_server import FaultServer, Script, close, read, response, send
from project import environment_of

import skypostal
from skypostal import AsyncClient, Client
from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, USER_CODE, Sandbox

WHO: Any = {"customer_box_id": BOX_ID, "customer_key": CUSTOMER_KEY}
GIVEN: Any = {"user_code": USER_CODE, "app_key": APP_KEY}

REFUSED = [read, send(response(b'[{"_verify":false,"error":{"error_description":"no"}}]'))]
LOST = [read, close]
MISSING = [read, send(response(b"", "404 Not Found"))]


def told(raised: BaseException) -> tuple[str, int]:
    told: Any = raised
    return told.delivery, told.attempts


class Stop(BaseException):
    """Of no kind that anything knows."""


class Cramped(BaseException):
    """Takes no attribute."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


@pytest.mark.parametrize("ending", [Stop, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize(
    ("scripts", "at", "expected"),
    [
        # It was accepted, and the caller has no record that says so.
        ([], 1, ("unknown", 1)),
        ([LOST], 1, ("unknown", 1)),
        ([LOST], 2, ("unknown", 2)),
        ([REFUSED], 1, ("rejected", 1)),
        ([MISSING], 1, ("rejected", 1)),
        ([LOST, REFUSED], 2, ("unknown", 2)),
    ],
)
def test_a_hook_that_ends_a_call(
    ending: type[BaseException], scripts: list[Script], at: int, expected: tuple[str, int]
) -> None:
    def hook(attempt: skypostal.Attempt) -> None:
        if attempt.number == at:
            raise ending

    with FaultServer(scripts) as server, pytest.raises(ending) as raised:
        Client(**GIVEN, base_url=server.url, on_attempt=hook).update_personal_info(**WHO)
    assert told(raised.value) == expected
    assert server.requests == at


def test_a_hook_that_ends_a_call_which_found_no_connection() -> None:
    def hook(attempt: skypostal.Attempt) -> None:
        raise Stop

    client = Client(**GIVEN, base_url="http://127.0.0.1:9", on_attempt=hook)
    with pytest.raises(Stop) as raised:
        client.update_personal_info(**WHO)
    assert told(raised.value) == ("not_sent", 1)


def test_an_exception_without_room_comes_out_all_the_same() -> None:
    def hook(attempt: skypostal.Attempt) -> None:
        raise Cramped

    with FaultServer([]) as server, pytest.raises(Cramped):
        Client(**GIVEN, base_url=server.url, on_attempt=hook).update_personal_info(**WHO)


# What a value of the caller's own may raise where it is converted.
RAISED = [Stop, KeyboardInterrupt, MemoryError, RecursionError, ImportError, LookupError]
VALUES: dict[str, Callable[[Callable[..., Any]], dict[str, Any]]] = {
    "user_code": lambda fail: {"user_code": type("Code", (), {"__index__": fail})()},
    "customer_box_id": lambda fail: {"customer_box_id": type("Box", (), {"__index__": fail})()},
    "tax number": lambda fail: {
        "customer_tax_number": type("Number", (Decimal,), {"__format__": fail})(5)
    },
    "whole tax number": lambda fail: {
        "customer_tax_number": type("Number", (), {"__index__": fail})()
    },
    "birth date": lambda fail: {
        "customer_birth_date": type("Day", (datetime.date,), {"isoformat": fail})(1980, 8, 19)
    },
}


def failing(raised: type[BaseException]) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise raised("of a test")

    return fail


@pytest.mark.parametrize("raised", RAISED)
@pytest.mark.parametrize("value", VALUES)
def test_what_a_conversion_raises_is_no_invalid_field(
    value: str, raised: type[BaseException], sandbox: Sandbox
) -> None:
    fields = {**WHO, **VALUES[value](failing(raised))}
    client = Client(**GIVEN, base_url=sandbox.url)

    async def wait() -> None:
        await AsyncClient(**GIVEN, base_url=sandbox.url).update_personal_info(**fields)

    for call in (lambda: client.update_personal_info(**fields), lambda: asyncio.run(wait())):
        with pytest.raises(raised, match="of a test") as caught:
            call()
        assert told(caught.value) == ("not_sent", 0)
    assert not sandbox.requests


@pytest.mark.parametrize("raised", RAISED)
def test_what_a_conversion_raises_ends_a_run_and_loses_no_row(
    raised: type[BaseException], client: Client
) -> None:
    bad = {**WHO, **VALUES["tax number"](failing(raised))}
    run = client.update_many([WHO, WHO, bad, WHO])
    outcomes = []
    with pytest.raises(raised, match="of a test") as caught:
        for outcome in run:
            outcomes.append(outcome)
    # An Exception comes after the outcomes, anything else at once and with them.
    assert bool(outcomes) == issubclass(raised, Exception)
    outcomes += getattr(caught.value, "outcomes", [])
    assert sorted(outcome.index for outcome in outcomes) == [0, 1]


@pytest.mark.parametrize("raised", [Stop, MemoryError, ImportError, UnicodeError])
@pytest.mark.parametrize(
    ("option", "method"),
    [("user_code", "__index__"), ("ca_file", "__fspath__"), ("timeout", "__float__")],
)
def test_what_an_option_raises_comes_out(
    option: str, method: str, raised: type[BaseException]
) -> None:
    value = type("Value", (), {method: failing(raised)})()
    with pytest.raises(raised, match="of a test"):
        Client(**{**GIVEN, option: value})
    if option == "timeout":
        with pytest.raises(raised, match="of a test") as caught:
            Client(**GIVEN).update_personal_info(**WHO, timeout=value)
        assert told(caught.value) == ("not_sent", 0)


def test_near_the_recursion_limit_the_delivery_is_true(sandbox: Sandbox) -> None:
    client = Client(**GIVEN, base_url=sandbox.url)

    def at_depth(depth: int, call: Callable[[], None]) -> None:
        if depth > 0:
            at_depth(depth - 1, call)
        else:
            call()

    end: BaseException | None = None

    def call() -> None:
        nonlocal end
        try:
            client.update_personal_info(**fields)
        except (RecursionError, skypostal.SkyPostalError) as error:
            end = error

    expected: list[tuple[dict[str, Any], Any]] = [
        ({"customer_tax_number": Decimal(5)}, type(None)),
        ({"customer_key": "wrong"}, skypostal.RefusedError),
        ({"customer_gender": "x"}, skypostal.ValidationError),
    ]
    for changes, usual in expected:
        fields, seen = {**WHO, **changes}, 0
        for depth in range(sys.getrecursionlimit() - 200, sys.getrecursionlimit()):
            end, before = None, len(sandbox.requests)
            try:
                at_depth(depth, call)
            except RecursionError:
                continue  # before the call
            sent = len(sandbox.requests) > before
            if isinstance(end, RecursionError) and not hasattr(end, "delivery"):
                assert not sent  # Python did not enter the call
            elif not isinstance(end, usual):
                assert isinstance(end, RecursionError)
                assert told(end) == (("rejected", 1) if sent else ("not_sent", 0))
                seen += 1
        assert seen, f"no RecursionError in place of {usual}"


# A call is made again and again. Each time another allocation of Python's fails.
WITHOUT_MEMORY = """
import sys, _testcapi
from decimal import Decimal
import skypostal
client = skypostal.Client()
rows = [dict(customer_box_id={box_id}, customer_key={customer_key!r}, customer_first_name=f"{{at}}",
             customer_tax_number=Decimal(5)) for at in range(200)]
rows += [{{**row, "customer_key": "wrong", "customer_first_name": f"{{at}}"}}
         for at, row in enumerate(rows, len(rows))]
client.update_personal_info(**rows[0])
told = []
for row in rows:
    at = int(row["customer_first_name"]) % 200
    error = None
    _testcapi.set_nomemory(at, at + 1)
    try:
        try:
            client.update_personal_info(**row)
        except BaseException as raised:
            error = raised
    except MemoryError as raised:
        error = raised
    finally:
        _testcapi.remove_mem_hooks()
    # Python has no memory for the traceback of ours, and raises another in its place.
    ours = error.__context__ if error and error.__context__ else error
    told.append((type(error).__name__, getattr(ours, "delivery", None)))
for number, (error, delivery) in enumerate(told):
    print(number, error, delivery)
"""


def test_without_memory_the_delivery_is_true(sandbox: Sandbox) -> None:
    code = WITHOUT_MEMORY.format(box_id=BOX_ID, customer_key=CUSTOMER_KEY)
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=environment_of(sandbox), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    names = [str(request.changes.get("customer_first_name")) for request in sandbox.requests[1:]]
    failed = 0
    for line in done.stdout.splitlines():
        number, error, delivery = line.split()
        accepted = int(number) < 200
        if error != "MemoryError":
            assert (error, delivery) == (
                ("NoneType", "None") if accepted else ("RefusedError", "rejected")
            )
            continue
        failed += 1
        if number in names:
            assert delivery == ("unknown" if accepted else "rejected"), line
        else:
            # None where the call was not even entered.
            assert delivery in ("not_sent", "None"), line
    assert failed > 20


async def until_cancelled(client: AsyncClient, **changes: Any) -> tuple[str, int] | None:
    """Returns what is told of a call that is cancelled."""
    try:
        await client.update_personal_info(**WHO, **changes)
    except asyncio.CancelledError as cancelled:
        return told(cancelled)
    return None


def test_a_cancelled_task_tells_what_became_of_the_update() -> None:
    async def main() -> list[tuple[str, int] | None]:
        with socket.create_server(("127.0.0.1", 0), backlog=200) as listening:
            address = f"127.0.0.1:{listening.getsockname()[1]}"
            calls = []
            for url, count in [(f"http://{address}", 101), (f"https://{address}", 1)]:
                client = AsyncClient(**GIVEN, base_url=url)
                calls += [asyncio.ensure_future(until_cancelled(client)) for _ in range(count)]
            await asyncio.sleep(0.5)
            # The one that waits before those whose turn it would take.
            for call in reversed(calls):
                call.cancel()
            return await asyncio.gather(*calls)

    *sent, waiting, handshaking = asyncio.run(main())
    assert sent == [("unknown", 1)] * 100
    # The last one waits for its turn, and the other for the end of a handshake.
    assert (waiting, handshaking) == (("not_sent", 0), ("not_sent", 1))


def test_a_cancelled_scope_of_trio_tells_it_too() -> None:
    async def main(url: str) -> None:
        with trio.move_on_after(0.2):
            try:
                await AsyncClient(**GIVEN, base_url=url).update_personal_info(**WHO)
            except trio.Cancelled as cancelled:
                ends.append(told(cancelled))
                raise

    ends: list[tuple[str, int]] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        trio.run(main, f"http://127.0.0.1:{listening.getsockname()[1]}")
    assert ends == [("unknown", 1)]


def test_a_lost_attempt_stays_open_when_the_next_one_is_cancelled() -> None:
    async def main(url: str) -> tuple[str, int] | None:
        again = asyncio.Event()
        client = AsyncClient(**GIVEN, base_url=url, on_attempt=lambda _: again.set())
        call = asyncio.ensure_future(until_cancelled(client))
        await again.wait()
        call.cancel()
        return await call

    with FaultServer([LOST]) as server:
        assert asyncio.run(main(server.url)) in [("unknown", 1), ("unknown", 2)]


def test_what_a_cancelled_task_calls_not_sent_never_arrives(sandbox: Sandbox) -> None:
    told_of: dict[str, str] = {}

    async def main() -> None:
        random.seed(5)
        async with AsyncClient(**GIVEN, base_url=sandbox.url) as client:
            for number in range(1000):
                name = f"n{number}"
                call = asyncio.ensure_future(until_cancelled(client, customer_first_name=name))
                await asyncio.sleep(random.choice([0, 0.0002, 0.0005, 0.001]))
                call.cancel()
                # One that had not begun is cancelled itself.
                with contextlib.suppress(asyncio.CancelledError):
                    told_of[name] = (await call or ("accepted", 1))[0]
        await asyncio.sleep(0.2)

    asyncio.run(main())
    arrived = {request.changes["customer_first_name"] for request in sandbox.requests}
    wrong = {name for name, delivery in told_of.items() if delivery == "not_sent"} & arrived
    assert not wrong
    # It was close: there are many of either.
    assert {"not_sent", "unknown"} <= set(told_of.values())


def test_a_hook_on_an_event_loop_ends_it_and_tells(sandbox: Sandbox) -> None:
    def hook(attempt: skypostal.Attempt) -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        try:
            await AsyncClient(**GIVEN, base_url=sandbox.url, on_attempt=hook).update_personal_info(
                **WHO
            )
        except KeyboardInterrupt as interrupt:
            ends.append(told(interrupt))
            raise

    ends: list[tuple[str, int]] = []
    with pytest.raises(KeyboardInterrupt) as raised:
        asyncio.run(main())
    assert [told(raised.value), *ends] == [("unknown", 1)] * 2


AT_EXIT = """
import asyncio, atexit, os, sys

def late():
    info = asyncio.run(skypostal.AsyncClient().update_personal_info(**who))
    print(f"awaited: {{info is not None}}", flush=True)

atexit.register(late)
import skypostal
who = dict(customer_box_id={box_id}, customer_key={customer_key!r})

class Last:
    def __init__(self, **fields):
        self.client, self.fields, self.write = skypostal.Client(), fields, os.write
    def __del__(self):
        try:
            shown = f"accepted: {{self.client.update_personal_info(**self.fields) is not None}}"
        except BaseException as error:
            shown = f"{{error.delivery}} {{error.attempts}}"
        self.write(1, shown.encode() + b"\\n")

# When these go, no module is left.
sys.last = [
    Last(**{{**who, "customer_key": "wrong"}}), Last(**who, customer_gender="x"), Last(**who)
]
"""


def test_when_the_interpreter_ends_the_delivery_is_true(sandbox: Sandbox) -> None:
    code = AT_EXIT.format(box_id=BOX_ID, customer_key=CUSTOMER_KEY)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment_of(sandbox),
        capture_output=True,
        text=True,
        timeout=30,
    )
    expected = "awaited: True\naccepted: True\nnot_sent 0\nrejected 1\n"
    assert (done.stdout, done.stderr) == (expected, "")


@pytest.mark.parametrize("run", [asyncio.run, trio.run])
@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit, GeneratorExit, BaseException])
def test_what_a_hook_raises_ends_an_awaited_call(
    sandbox: Sandbox, run: Callable[[Any], Any], ending: type[BaseException]
) -> None:
    seen: list[Any] = []

    def hook(_: object) -> None:
        raise ending

    async def main() -> None:
        client = AsyncClient(
            base_url=sandbox.url, user_code=USER_CODE, app_key=APP_KEY, on_attempt=hook
        )
        try:
            await client.update_personal_info(customer_box_id=BOX_ID, customer_key=CUSTOMER_KEY)
        except BaseException as raised:
            seen.append((type(raised), vars(raised)))
            raise

    with pytest.raises(ending):
        run(main() if run is asyncio.run else main)
    assert seen == [(ending, {"delivery": "unknown", "attempts": 1})]


def test_an_old_exception_of_a_hook_says_what_this_call_did(sandbox: Sandbox) -> None:
    old = GeneratorExit()
    old.delivery, old.attempts = "rejected", 7  # type: ignore[attr-defined]

    def hook(_: object) -> None:
        raise old

    async def main() -> None:
        client = AsyncClient(
            base_url=sandbox.url, user_code=USER_CODE, app_key=APP_KEY, on_attempt=hook
        )
        sandbox.fail_next(applied=True, retry_after=5)
        with pytest.raises(GeneratorExit):
            await client.update_personal_info(customer_box_id=BOX_ID, customer_key=CUSTOMER_KEY)

    asyncio.run(main())
    assert told(old) == ("unknown", 1)


def test_what_a_hook_raises_after_its_task_has_ended_is_not_lost(sandbox: Sandbox) -> None:
    def hook(_: object) -> None:
        raise SystemExit(7)

    async def main() -> None:
        client = AsyncClient(
            base_url=sandbox.url, user_code=USER_CODE, app_key=APP_KEY, on_attempt=hook
        )
        call = client.update_personal_info(customer_box_id=BOX_ID, customer_key=CUSTOMER_KEY)
        task = asyncio.ensure_future(call)
        await asyncio.sleep(0)
        while not sandbox.requests:
            time.sleep(0.01)
        time.sleep(0.2)  # the attempt ends while the event loop is busy
        task.cancel()
        await asyncio.sleep(1)

    with pytest.raises(SystemExit):
        asyncio.run(main())
