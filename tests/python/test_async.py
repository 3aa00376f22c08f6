"""The client for event loops, against the sandbox and against servers that do not respond."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import gc
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import pytest
import trio
from sockets import end

import skypostal
from skypostal import AsyncClient, Attempt
from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, USER_CODE, Sandbox

WHO: Any = {"customer_box_id": BOX_ID, "customer_key": CUSTOMER_KEY}
CUST_ID = 51736835

Run = Callable[[Callable[[], Awaitable[Any]]], Any]


def client_of(url: str, **options: Any) -> AsyncClient:
    return AsyncClient(**{"user_code": USER_CODE, "app_key": APP_KEY, "base_url": url, **options})


class WithoutReaders(asyncio.SelectorEventLoop):
    """An event loop that lacks what the default one of Windows lacks."""

    def add_reader(self, *_: object) -> Any:
        raise NotImplementedError


def run_in(loop: asyncio.AbstractEventLoop, main: Callable[[], Awaitable[Any]]) -> Any:
    with contextlib.closing(loop):
        return loop.run_until_complete(main())


RUNS: dict[str, Run] = {
    "asyncio": lambda main: asyncio.run(main()),  # type: ignore[arg-type]
    "selector": lambda main: run_in(asyncio.SelectorEventLoop(), main),
    "without-readers": lambda main: run_in(WithoutReaders(), main),
    "trio": trio.run,
    "anyio": anyio.run,
    "anyio-trio": lambda main: anyio.run(main, backend="trio"),
}


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest) -> Run:
    return RUNS[request.param]


class Silent:
    """A server that takes connections and never responds; it notes when they end."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=500)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.requests = threading.Semaphore(0)
        self.ends = threading.Semaphore(0)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        with connection:
            received = b""
            while not received.endswith(b"}"):
                received += connection.recv(65536) or b"}"
            self.requests.release()
            with contextlib.suppress(ConnectionResetError):
                connection.recv(1)
            self.ends.release()


@pytest.fixture
def silent() -> Iterator[Silent]:
    silent = Silent()
    yield silent
    end(silent.listener)
    silent.listener.close()


def test_it_does_what_the_client_does(sandbox: Sandbox, run: Run) -> None:
    async def main() -> None:
        async with client_of(sandbox.url) as client:
            info = await client.update_personal_info(**WHO, customer_first_name="Zoë 😀")
            assert (info.cust_id, info.customer_first_name) == (CUST_ID, "Zoë 😀")
            with pytest.raises(skypostal.RefusedError) as refused:
                await client.update_personal_info(**WHO, app_key="wrong")
            assert (refused.value.delivery, refused.value.attempts) == ("rejected", 1)
        with pytest.raises(skypostal.ConfigurationError, match="client: is closed"):
            await client.update_personal_info(**WHO)
        assert (len(sandbox.requests), sandbox.connections) == (2, 1)

    run(main)


def test_a_bad_value_is_reported_before_anything_is_sent(sandbox: Sandbox, run: Run) -> None:
    async def main() -> None:
        client = client_of(sandbox.url)
        with pytest.raises(skypostal.ValidationError, match="^customer_gender: "):
            await client.update_personal_info(**WHO, customer_gender="X")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="Did you mean 'customer_first_name'"):
            await client.update_personal_info(customer_frist_name="x")  # type: ignore[call-arg]
        with pytest.raises(skypostal.ConfigurationError, match="^timeout: "):
            await client.update_personal_info(**WHO, timeout=0)
        client.update_personal_info(**WHO).close()  # never awaited

    run(main)
    assert sandbox.connections == 0


def test_options_are_the_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYPOSTAL_BASE_URL", "https://read.example")
    assert "//read.example/" in repr(AsyncClient())
    shown = repr(AsyncClient(app_key="S3CRET", proxy="http://user:S3CRET@proxy.example:1"))
    assert shown.startswith("skypostal.AsyncClient(url=") and "proxy.example:1" in shown
    assert "S3CRET" not in shown
    with pytest.raises(skypostal.ConfigurationError, match="^environment: "):
        AsyncClient(environment="live")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="on_attempt must be callable"):
        AsyncClient(on_attempt=5)  # type: ignore[arg-type]
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="make one in the process that uses it"):
            attempt(AsyncClient())


RESPONSE = b'[{"_verify":true,"cust_id":%d}]' % CUST_ID


async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(RESPONSE) + RESPONSE
            )
    except (asyncio.IncompleteReadError, ConnectionResetError):
        writer.close()
        await asyncio.wait([asyncio.ensure_future(writer.wait_closed())])


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


def test_thousands_at_once_take_one_thread_and_a_hundred_connections() -> None:
    connections: list[Any] = []
    most = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        connections.append(asyncio.current_task())
        most = max(most, threads())
        await respond(reader, writer)

    async def main() -> None:
        before = threads()
        server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=200)
        host, port = server.sockets[0].getsockname()
        async with client_of(f"http://{host}:{port}") as client:
            calls = [client.update_personal_info(**WHO) for _ in range(2000)]
            infos = await asyncio.gather(*calls)
        assert [info.cust_id for info in infos] == [CUST_ID] * 2000
        assert len(connections) <= 100 and most <= before + 1
        server.close()
        await asyncio.gather(*connections)

    asyncio.run(main())


def test_cancelling_a_task_ends_its_request_at_once(silent: Silent) -> None:
    async def main() -> None:
        client = client_of(silent.url)
        task = asyncio.ensure_future(client.update_personal_info(**WHO))
        assert await asyncio.to_thread(silent.requests.acquire, timeout=5)
        task.cancel("why")
        started = time.monotonic()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await task
        assert type(cancelled.value) is asyncio.CancelledError
        assert await asyncio.to_thread(silent.ends.acquire, timeout=5)
        assert time.monotonic() - started < 0.2

        with pytest.raises(asyncio.TimeoutError) as late:
            await asyncio.wait_for(client.update_personal_info(**WHO), 0.1)
        assert not isinstance(late.value, skypostal.SkyPostalError)
        assert await asyncio.to_thread(silent.ends.acquire, timeout=5)

    asyncio.run(main())


def test_cancelling_a_scope_ends_its_request_at_once(silent: Silent) -> None:
    async def main() -> None:
        client = client_of(silent.url)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: client.update_personal_info(**WHO))
                assert await trio.to_thread.run_sync(lambda: silent.requests.acquire(timeout=5))
                scope.cancel()
        assert scope.cancelled_caught
        assert await trio.to_thread.run_sync(lambda: silent.ends.acquire(timeout=5))

    trio.run(main)


def test_the_timeout_counts_from_the_await(silent: Silent, run: Run) -> None:
    async def main() -> None:
        call = client_of(silent.url, timeout=0.2).update_personal_info(**WHO)
        time.sleep(0.3)
        started = time.monotonic()
        with pytest.raises(skypostal.RequestTimeoutError) as late:
            await call
        assert 0.2 <= time.monotonic() - started < 1
        assert (late.value.delivery, late.value.attempts) == ("unknown", 1)

    run(main)


def test_a_hundred_calls_are_under_way_and_the_next_waits_within_its_timeout(
    silent: Silent,
) -> None:
    async def main() -> None:
        client = client_of(silent.url)
        calls = [asyncio.ensure_future(client.update_personal_info(**WHO)) for _ in range(100)]
        for _ in calls:
            assert await asyncio.to_thread(silent.requests.acquire, timeout=5)
        with pytest.raises(skypostal.RequestTimeoutError) as late:
            await client.update_personal_info(timeout=0.1, **WHO)
        assert (late.value.delivery, late.value.attempts) == ("not_sent", 0)
        # One that ends makes room.
        waiting = asyncio.ensure_future(client.update_personal_info(**WHO))
        calls[0].cancel()
        assert await asyncio.to_thread(silent.requests.acquire, timeout=5)
        for call in [*calls, waiting]:
            call.cancel()
        ends = await asyncio.gather(*calls, waiting, return_exceptions=True)
        assert {type(end) for end in ends} == {asyncio.CancelledError}

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_is_closed_in_mid_call_harms_nothing(sandbox: Sandbox) -> None:
    sandbox_client = client_of(sandbox.url)

    async def begin(client: AsyncClient) -> None:
        task = asyncio.ensure_future(client.update_personal_info(**WHO))
        await asyncio.sleep(0)
        left.append(task)

    left: list[asyncio.Task[Any]] = []
    for _ in range(20):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin(sandbox_client))
        loop.close()
    for task in left:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    left.clear()
    info = asyncio.run(sandbox_client.update_personal_info(**WHO))
    assert info.cust_id == CUST_ID


def test_one_client_serves_several_loops_at_once(sandbox: Sandbox) -> None:
    client = client_of(sandbox.url)

    async def main() -> None:
        for _ in range(5):
            calls = [client.update_personal_info(**WHO) for _ in range(5)]
            assert {info.cust_id for info in await asyncio.gather(*calls)} == {CUST_ID}

    done: list[str] = []

    def loop(run: Run) -> None:
        run(main)
        done.append("")

    runs = [RUNS["asyncio"]] * 3 + [RUNS["anyio"]]
    loops = [threading.Thread(target=loop, args=(run,)) for run in runs]
    for thread in loops:
        thread.start()
    for thread in loops:
        thread.join()
    assert len(done) == 4 and len(sandbox.requests) == 100


def test_attempts_are_reported_on_the_loops_thread_in_the_calls_context(
    sandbox: Sandbox, run: Run
) -> None:
    reported: list[tuple[Attempt, int, str]] = []
    variable = contextvars.ContextVar("variable", default="outside")

    def hook(attempt: Attempt) -> None:
        reported.append((attempt, threading.get_ident(), variable.get()))

    async def main() -> None:
        variable.set("inside")
        await client_of(sandbox.url, on_attempt=hook).update_personal_info(**WHO)

    run(main)
    ((attempt, thread, value),) = reported
    assert (attempt.number, attempt.status, attempt.error) == (1, 200, None)
    assert (thread, value) == (threading.get_ident(), "inside")


def test_a_hook_that_fails_does_not_hide_the_outcome(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)

    def hook(attempt: Attempt) -> None:
        raise LookupError("of a test")

    async def main() -> None:
        info = await client_of(sandbox.url, on_attempt=hook).update_personal_info(**WHO)
        assert info.cust_id == CUST_ID

    run(main)
    assert [str(one.exc_value) for one in unraisable] == ["of a test"]


def test_what_is_no_exception_ends_the_loop(sandbox: Sandbox) -> None:
    def hook(attempt: Attempt) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(client_of(sandbox.url, on_attempt=hook).update_personal_info(**WHO))


def test_a_cancelled_attempt_is_reported_too(silent: Silent) -> None:
    reported: list[Attempt] = []

    async def main() -> None:
        client = client_of(silent.url, on_attempt=reported.append)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.update_personal_info(**WHO), 0.1)
        while not reported:
            await asyncio.sleep(0.01)

    asyncio.run(main())
    assert [(attempt.error, attempt.status) for attempt in reported] == [("cancelled", None)]


def test_outside_of_an_event_loop_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        AsyncClient(user_code=1, app_key="k").update_personal_info(**WHO).send(None)


LAZY = """
import os, sys
import skypostal
client = skypostal.AsyncClient(user_code=1, app_key="k", base_url="http://127.0.0.1:1")
client.update_personal_info(customer_box_id=1, customer_key="k").close()
print(len(os.listdir("/proc/self/task")), "asyncio" in sys.modules)
"""


def test_nothing_starts_before_the_first_await() -> None:
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1 False\n", "")


ENDING = """
import asyncio, random, socket, sys, threading, time
import skypostal
listener = socket.create_server(("127.0.0.1", 0), backlog=100)
url = f"http://127.0.0.1:{listener.getsockname()[1]}"
client = skypostal.AsyncClient(user_code=1, app_key="k", base_url=url, on_attempt=lambda a: None)
async def update():
    while True:
        try:
            await client.update_personal_info(
                timeout=random.uniform(0.001, 0.02), customer_box_id=1, customer_key="k"
            )
        except skypostal.RequestTimeoutError:
            pass
async def main():
    await asyncio.gather(*[update() for _ in range(50)])
for _ in range(3):
    threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
time.sleep(0.3)
"""


def test_the_interpreter_ends_cleanly_with_calls_in_flight() -> None:
    for _ in range(4):
        done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, timeout=20)
        assert (done.returncode, done.stderr) == (0, b"")


AT_EXIT = """
import asyncio, atexit, sys
import skypostal
url, user, key, box, customer_key = sys.argv[1:]
client = skypostal.AsyncClient(user_code=int(user), app_key=key, base_url=url)
def update():
    who = {"customer_box_id": int(box), "customer_key": customer_key}
    print(asyncio.run(client.update_personal_info(**who)).cust_id)
atexit.register(update)
update()
"""


def test_a_function_that_runs_at_exit_may_still_call(sandbox: Sandbox) -> None:
    arguments = [sandbox.url, str(USER_CODE), APP_KEY, str(BOX_ID), CUSTOMER_KEY]
    command = [sys.executable, "-c", AT_EXIT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.stderr) == (f"{CUST_ID}\n{CUST_ID}\n", "")


def test_a_function_that_runs_at_exit_after_all_others_may_call_too(sandbox: Sandbox) -> None:
    late = AT_EXIT.replace("atexit.register(update)\n", "").replace(
        "import skypostal\n", "atexit.register(lambda: update())\nimport skypostal\n"
    )
    arguments = [sandbox.url, str(USER_CODE), APP_KEY, str(BOX_ID), CUSTOMER_KEY]
    done = subprocess.run(
        [sys.executable, "-c", late, *arguments], capture_output=True, text=True, timeout=20
    )
    assert (done.stdout, done.stderr) == (f"{CUST_ID}\n{CUST_ID}\n", "")


def test_two_loops_that_take_turns_keep_their_descriptors(sandbox: Sandbox) -> None:
    client = client_of(sandbox.url)
    loops = [asyncio.new_event_loop() for _ in range(2)]

    def update_on_both() -> int:
        for loop in loops:
            loop.run_until_complete(client.update_personal_info(**WHO))
        gc.collect()  # the loops of earlier tests
        return len(os.listdir("/proc/self/fd"))

    try:
        after_one = update_on_both()
        # Fewer, where idle connections of earlier tests are closed meanwhile.
        assert [update_on_both() for _ in range(20)][-1] <= after_one
    finally:
        for loop in loops:
            loop.close()


def test_loops_that_come_and_go_leave_no_descriptor(sandbox: Sandbox, run: Run) -> None:
    client = client_of(sandbox.url)

    def update() -> int:
        run(lambda: client.update_personal_info(**WHO))
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    after_one = update()
    assert [update() for _ in range(20)][-1] == after_one


SUBINTERPRETER = """
import {module} as interpreters
other = interpreters.create()
print(interpreters.{run}(other, "import skypostal"))
"""


def test_a_subinterpreter_is_refused_where_python_can_and_never_hangs() -> None:
    if sys.version_info >= (3, 13):
        code = SUBINTERPRETER.format(module="_interpreters", run="exec")
    else:
        code = SUBINTERPRETER.format(module="_xxsubinterpreters", run="run_string")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    refused = "does not support loading in subinterpreters" in done.stdout + done.stderr
    assert refused == (sys.version_info >= (3, 12))
