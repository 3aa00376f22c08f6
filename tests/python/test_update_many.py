"""Many updates: the outcomes of Client.update_many and AsyncClient.update_many."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
import trio

import skypostal
from skypostal import AsyncClient, Client, Outcome
from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, USER_CODE, Sandbox

WHO: dict[str, Any] = {"customer_box_id": BOX_ID, "customer_key": CUSTOMER_KEY}
CUST_ID = 51736835


def client_of(url: str, **options: Any) -> Client:
    return Client(**{"user_code": USER_CODE, "app_key": APP_KEY, "base_url": url, **options})


@pytest.fixture
def customers(sandbox: Sandbox) -> list[dict[str, Any]]:
    """A row for each of 200 customers."""
    for number in range(1, 201):
        sandbox.customers.add(customer_box_id=number, customer_key=f"key {number}")
    return [
        {
            "customer_box_id": number,
            "customer_key": f"key {number}",
            "customer_first_name": f"N{number}",
        }
        for number in range(1, 201)
    ]


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never responds."""
    with socket.create_server(("127.0.0.1", 0), backlog=500) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_every_row_has_its_own_outcome(
    client: Client, sandbox: Sandbox, customers: list[dict[str, Any]]
) -> None:
    outcomes = list(client.update_many(iter(customers)))
    assert sorted(outcome.index for outcome in outcomes) == list(range(200))
    for outcome in outcomes:
        assert isinstance(outcome, Outcome)
        assert outcome.error is None
        assert outcome.result is not None
        assert outcome.result.customer_first_name == f"N{outcome.index + 1}"
        assert outcome.attempts == 1
        assert outcome.delivery is None
    assert sandbox.connections <= 8 + 200 // 100  # the sandbox closes after 100 responses


def test_an_outcome_can_be_matched_and_shows_no_personal_data(client: Client) -> None:
    [outcome] = client.update_many([{**WHO, "customer_first_name": "Secret"}])
    assert Outcome.__match_args__ == ("index", "result", "error", "attempts")
    shown = f"Outcome(index=0, result=PersonalInfo(cust_id={CUST_ID}, ...), error=None, attempts=1)"
    assert repr(outcome) == shown
    with pytest.raises(AttributeError):
        outcome.index = 5  # type: ignore[misc]


def test_what_is_wrong_with_a_row_is_its_outcome(client: Client, sandbox: Sandbox) -> None:
    rows: list[Mapping[str, object]] = [
        {**WHO, "customer_gender": "X"},
        {**WHO, "customer_frist_name": "New"},
        {**WHO, "customer_frist_name": None},
        {"customer_key": CUSTOMER_KEY},
        {**WHO, "customer_tax_number": 1.5},
        {**WHO, "customer_key": "another"},
        MappingProxyType({**WHO, "customer_last_name": None}),
    ]
    outcomes = sorted(client.update_many(rows), key=lambda outcome: outcome.index)
    errors = [outcome.error for outcome in outcomes]
    for error in errors[:5]:
        assert isinstance(error, skypostal.ValidationError)
        assert error.delivery == "not_sent"
    fields = [error.field for error in errors if isinstance(error, skypostal.ValidationError)]
    wrong = "customer_frist_name"
    assert fields == ["customer_gender", wrong, wrong, "customer_box_id", "customer_tax_number"]
    assert "Did you mean 'customer_first_name'?" in str(errors[1])
    assert isinstance(errors[5], skypostal.RefusedError)
    assert errors[6] is None
    assert [outcome.attempts for outcome in outcomes] == [0, 0, 0, 0, 0, 1, 1]
    assert len(sandbox.requests) == 2


def test_rows_are_pulled_lazily_and_the_iterator_itself_may_fail(client: Client) -> None:
    pulled = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal pulled
        for pulled in range(1, 101):  # noqa: B007
            yield WHO
        raise OSError("the file is gone")

    returned = 0
    with pytest.raises(OSError, match="the file is gone"):
        for returned, outcome in enumerate(client.update_many(rows(), concurrency=2), 1):
            assert outcome.error is None
            assert pulled <= returned + 4
    assert returned == 100, "what came before is not lost"


@pytest.mark.parametrize("row", [5, "text", [("customer_box_id", 1)], None])
def test_a_row_that_is_no_mapping_ends_the_run_after_those_before(client: Client, row: Any) -> None:
    outcomes = client.update_many([WHO, WHO, row, WHO])
    assert [next(outcomes).error for _ in range(2)] == [None, None]
    with pytest.raises(TypeError, match=f"row 2 is no mapping .* but {type(row).__name__}"):
        next(outcomes)
    assert list(outcomes) == []


def test_arguments_are_checked_at_once(client: Client) -> None:
    for name, value in [
        ("concurrency", 0),
        ("concurrency", 101),
        ("concurrency", -1),
        ("concurrency", 10**30),
        ("rate", 0),
        ("rate", float("nan")),
        ("rate", 10**400),
        ("timeout", 0),
        ("timeout", 10**400),
        ("max_connect_failures", 0),
        ("max_connect_failures", 10**30),
    ]:
        with pytest.raises(skypostal.ConfigurationError, match=f"^{name}: "):
            client.update_many([], **{name: value})  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=f"^{name}: "):
            client.update_many([], **{name: "much"})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not iterable"):
        client.update_many(5)  # type: ignore[arg-type]
    client.close()
    with pytest.raises(skypostal.ConfigurationError, match="closed"):
        client.update_many([])


def test_an_unreachable_service_stops_the_bulk() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    client = client_of(url, max_retries=0)
    outcomes = client.update_many((WHO for _ in range(1_000_000)), max_connect_failures=5)
    returned = []
    with pytest.raises(skypostal.ConnectError, match="stopped after 5 consecutive rows"):
        for outcome in outcomes:
            returned.append(outcome)
    assert len(returned) < 40
    assert all(isinstance(outcome.error, skypostal.ConnectError) for outcome in returned)
    # Fast rows may all be tried before the fifth has stopped the others.
    attempts = [outcome.attempts for outcome in returned]
    assert set(attempts) <= {0, 1} and attempts.count(1) >= 5
    assert list(outcomes) == []


def test_a_rate_holds(client: Client, sandbox: Sandbox) -> None:
    started = time.monotonic()
    assert len(list(client.update_many([WHO] * 101, rate=100, concurrency=20))) == 101
    assert 0.99 <= time.monotonic() - started < 1.5


def test_other_threads_go_on_while_a_run_waits(client: Client, sandbox: Sandbox) -> None:
    sandbox.delay(0.3)
    outcomes = client.update_many([WHO])
    done: list[Outcome] = []
    thread = threading.Thread(target=lambda: done.extend(outcomes))
    thread.start()
    counted = 0
    while thread.is_alive():
        counted += 1
    assert counted > 10_000
    assert done[0].error is None


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_object_that_holds_a_run_and_is_its_hook_or_its_rows_is_collected(
    sandbox: Sandbox, asynchronous: bool
) -> None:
    class Job:
        def __init__(self, hook: bool) -> None:
            on_attempt = self.hear if hook else None
            kind: Any = async_client_of if asynchronous else client_of
            self.bulk = kind(sandbox.url, on_attempt=on_attempt).update_many(self.rows())

        def rows(self) -> Iterator[dict[str, Any]]:
            for _ in range(20):
                self.last = WHO
                yield WHO

        def hear(self, attempt: skypostal.Attempt) -> None: ...

        async def take_one(self) -> Any:
            return await self.bulk.__anext__() if asynchronous else next(self.bulk)

    async def main(hook: bool) -> None:
        job = Job(hook)
        await job.take_one()
        jobs.append(weakref.ref(job))

    jobs: list[weakref.ref[Job]] = []
    for hook in (False, True):
        for _ in range(5):
            asyncio.run(main(hook))
    gc.collect()
    assert [job() for job in jobs] == [None] * 10


def test_a_row_may_change_while_it_is_read(client: Client) -> None:
    class Box:
        def __index__(self) -> int:
            row["customer_gender"] = "M"
            return BOX_ID

    row = {**WHO, "customer_box_id": Box()}
    assert [outcome.error for outcome in client.update_many([WHO, row, WHO])] == [None] * 3


def test_one_task_takes_outcomes_at_a_time(run: Any, silent: str) -> None:
    async def main() -> None:
        outcomes = async_client_of(silent).update_many([WHO] * 2)
        first = outcomes.__anext__()
        first.send(None)
        with pytest.raises(ValueError, match="already executing"):
            await outcomes.__anext__()
        first.close()

    run(main)


def test_one_thread_iterates_at_a_time(client: Client) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        next(outcomes)
        yield WHO

    outcomes = client.update_many(rows())
    with pytest.raises(ValueError, match="already executing"):
        next(outcomes)


def test_close_tells_what_was_in_flight(silent: str) -> None:
    client = client_of(silent)
    with client.update_many((WHO for _ in range(100)), concurrency=3, timeout=0.3) as outcomes:
        first = next(outcomes)
        assert isinstance(first.error, skypostal.RequestTimeoutError)
        started = time.monotonic()
        rest = outcomes.close()
        assert time.monotonic() - started < 0.2
    ends = Counter(type(outcome.error) for outcome in rest)
    assert set(ends) <= {skypostal.RequestTimeoutError, KeyboardInterrupt}
    assert ends[KeyboardInterrupt] >= 1
    for outcome in rest:
        # One that had only just begun may not have been sent.
        assert outcome.delivery == "not_sent" or (
            outcome.delivery == "unknown" and outcome.attempts
        )
    assert sorted(outcome.index for outcome in [first, *rest]) == list(range(len(rest) + 1))
    assert list(outcomes) == []


def test_a_run_that_is_dropped_ends(client: Client, sandbox: Sandbox) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        while True:
            yield WHO

    outcomes = client.update_many(rows())
    next(outcomes)
    del outcomes
    made = len(sandbox.requests)
    time.sleep(0.2)
    assert len(sandbox.requests) <= made + 16


def test_ctrl_c_ends_a_run_at_once_and_says_what_was_in_flight(silent: str) -> None:
    code = f"""
import signal, skypostal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
client = skypostal.Client(base_url={silent!r}, user_code=1, app_key="key")
try:
    print("running", flush=True)
    for outcome in client.update_many({WHO!r} for _ in range(100)):
        print(outcome)
except KeyboardInterrupt as interrupt:
    print(time.monotonic())
    for outcome in sorted(interrupt.outcomes, key=lambda outcome: outcome.index):
        print(outcome.index, outcome.delivery, outcome.attempts)
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "running\n"
        time.sleep(0.3)
        interrupted = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert 0 <= float(child.stdout.readline()) - interrupted < 0.3
        returned = child.stdout.read().splitlines()
    assert child.returncode == 0
    assert returned[:8] == [f"{index} unknown 1" for index in range(8)]
    assert returned[8:] == [f"{index} not_sent 0" for index in range(8, 16)]


def test_ctrl_c_while_a_row_is_made_ends_a_run_at_once(silent: str) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield from [WHO, WHO]
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as caught:
        next(client_of(silent).update_many(rows()))
    assert time.monotonic() - began < 1
    outcomes: list[Outcome] = caught.value.outcomes  # type: ignore[attr-defined]
    assert sorted(outcome.index for outcome in outcomes) == [0, 1]


def test_hooks_and_logs_hear_of_each_attempt(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[skypostal.Attempt] = []
    threads: list[int] = []

    def hear(attempt: skypostal.Attempt) -> None:
        attempts.append(attempt)
        threads.append(threading.get_ident())

    sandbox.fail_next(status=503, times=2)
    client = client_of(sandbox.url, on_attempt=hear)
    with caplog.at_level(logging.DEBUG, "skypostal"):
        outcomes = list(client.update_many([WHO] * 5))
    assert len(attempts) == sum(outcome.attempts for outcome in outcomes)
    assert set(threads) == {threading.get_ident()}
    levels = Counter(record.levelname for record in caplog.records)
    assert levels == {"DEBUG": len(attempts), "WARNING": 2}


def test_a_run_is_of_no_use_in_a_forked_child_but_a_new_one_is(client: Client) -> None:
    outcomes = client.update_many([WHO] * 40)
    next(outcomes)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            left = list(outcomes.close()) + list(outcomes)
            del outcomes
            fresh = list(client.update_many([WHO] * 10))
            status = 0 if not left and all(outcome.error is None for outcome in fresh) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(list(outcomes)) == 39, "the parent's goes on"


def test_memory_of_a_run_is_given_back(client: Client) -> None:
    class Row(dict):  # type: ignore[type-arg]
        pass

    kept: list[weakref.ref[Row]] = []

    def rows() -> Iterator[Row]:
        for _ in range(50):
            row = Row(WHO)
            kept.append(weakref.ref(row))
            yield row

    assert len(list(client.update_many(rows()))) == 50
    gc.collect()
    assert [row() for row in kept] == [None] * 50


RUNS: dict[str, Any] = {"asyncio": lambda main: asyncio.run(main()), "trio": trio.run}


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest) -> Any:
    return RUNS[request.param]


def async_client_of(url: str, **options: Any) -> AsyncClient:
    return AsyncClient(user_code=USER_CODE, app_key=APP_KEY, base_url=url, **options)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_event_loop_gets_the_same(
    sandbox: Sandbox, customers: list[dict[str, Any]], run: Any, asynchronous: bool
) -> None:
    async def rows() -> AsyncIterator[dict[str, Any]]:
        for row in customers:
            yield row

    async def main() -> None:
        client = async_client_of(sandbox.url)
        names = {}
        async for outcome in client.update_many(rows() if asynchronous else customers):
            assert outcome.result is not None
            names[outcome.index] = outcome.result.customer_first_name
        assert names == {index: f"N{index + 1}" for index in range(200)}

    run(main)


def test_an_event_loop_gets_the_error_that_ended_a_bulk(run: Any, sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    async def main() -> None:
        returned = 0
        with pytest.raises(skypostal.ConnectError, match="stopped after 10 consecutive rows"):
            unreachable = async_client_of(url, max_retries=0)
            async for _ in unreachable.update_many(WHO for _ in range(10_000)):
                returned += 1
        assert 10 <= returned < 40

        def rows() -> Iterator[dict[str, Any]]:
            yield WHO
            raise OSError("gone")

        returned = 0
        outcomes = async_client_of(sandbox.url).update_many(rows())
        with pytest.raises(OSError, match="gone"):
            async for _ in outcomes:
                returned += 1
        assert returned == 1
        assert [outcome async for outcome in outcomes] == []

    run(main)


def test_a_cancelled_task_gets_what_was_in_flight(silent: str) -> None:
    async def main() -> None:
        client = async_client_of(silent)

        async def iterate() -> None:
            async for _ in client.update_many([WHO] * 20):
                raise AssertionError

        task = asyncio.ensure_future(iterate())
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await task
        del cancelled

        outcomes: Any = None

        async def note() -> None:
            nonlocal outcomes
            try:
                await iterate()
            except asyncio.CancelledError as error:
                outcomes = error.outcomes  # type: ignore[attr-defined]
                raise

        task = asyncio.ensure_future(note())
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        ends = {outcome.index: outcome.delivery for outcome in outcomes}
        assert ends == {index: "unknown" if index < 8 else "not_sent" for index in range(16)}

    asyncio.run(main())


def test_closing_an_asynchronous_bulk_ends_it(run: Any, silent: str) -> None:
    async def main() -> None:
        client = async_client_of(silent)
        async with client.update_many([WHO] * 20, timeout=0.2) as outcomes:
            first = await outcomes.__anext__()
            assert isinstance(first.error, skypostal.RequestTimeoutError)
            rest = await outcomes.aclose()
            assert len(rest) == 15
            assert [outcome async for outcome in outcomes] == []

    run(main)
