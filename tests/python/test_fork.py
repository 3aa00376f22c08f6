"""Processes: a client made before a fork, in every way that Python programs fork."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import forks
import pytest

import skypostal
from skypostal import AsyncClient, Client
from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, USER_CODE, Sandbox

WHO: Any = {"customer_box_id": BOX_ID, "customer_key": CUSTOMER_KEY}


def in_child(work: Any, seconds: float = 10) -> None:
    """Runs ``work`` in a forked child, which must end well in time."""
    child = os.fork()
    if child == 0:
        signal.alarm(int(seconds))
        try:
            work()
            os._exit(0)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_child_and_a_grandchild_have_connections_of_their_own(
    client: Client, sandbox: Sandbox
) -> None:
    def update_and_fork() -> None:
        client.update_personal_info(**WHO)
        in_child(lambda: client.update_personal_info(**WHO))
        client.update_personal_info(**WHO)

    client.update_personal_info(**WHO)
    in_child(update_and_fork)
    client.update_personal_info(**WHO)
    assert [request.connection for request in sandbox.requests] == [1, 2, 3, 2, 1]


def test_children_do_not_wait_for_the_same_time_before_they_try_again(sandbox: Sandbox) -> None:
    waits: list[float | None] = []
    client = Client(
        base_url=sandbox.url,
        user_code=USER_CODE,
        app_key=APP_KEY,
        on_attempt=lambda attempt: waits.append(attempt.retry_in),
    )
    receive, send = multiprocessing.Pipe(duplex=False)

    def fail_once() -> None:
        waits.clear()
        client.update_personal_info(**WHO)
        send.send(waits[0])

    sandbox.fail_next(times=1)
    client.update_personal_info(**WHO)  # a generator that is in use is inherited
    told = []
    for _ in range(3):
        sandbox.fail_next(times=1)
        in_child(fail_once)
        told.append(receive.recv())
    assert len(set(told)) == 3 and None not in told


def test_a_child_may_close_the_client_and_the_parent_goes_on(
    client: Client, sandbox: Sandbox
) -> None:
    client.update_personal_info(**WHO)
    in_child(client.close)
    client.update_personal_info(**WHO)
    assert sandbox.connections == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forks_while_other_threads_are_in_mid_call(client: Client, sandbox: Sandbox) -> None:
    stop = threading.Event()
    calls = [0] * 4
    failures: list[BaseException] = []

    def update(number: int) -> None:
        try:
            while not stop.is_set():
                client.update_personal_info(**WHO)
                calls[number] += 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=update, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(25):
            in_child(lambda: client.update_personal_info(**WHO))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == [] and min(calls) > 25
    # Every request is whole, and each one is on a connection of the process that made it.
    assert all(request.status == 200 for request in sandbox.requests)
    children = [r.connection for r in sandbox.requests if r.connection > 4]
    assert len(children) >= 25


def update_with_the_environment(_: int) -> int | None:
    return skypostal.update_personal_info(**WHO).cust_id


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(environment: None, method: Any) -> None:
    skypostal.update_personal_info(**WHO)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(update_with_the_environment, range(8)) == [51736835] * 8
    skypostal.update_personal_info(**WHO)


def set_variables(variables: dict[str, str]) -> None:
    """A fork server has those of the test that started it."""
    os.environ.update(variables)


def refused_by_the_service(_: int) -> int | None:
    return skypostal.update_personal_info(customer_box_id=BOX_ID, customer_key="no").cust_id


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_process_pool_hands_back_responses_and_errors(environment: None, method: Any) -> None:
    context = multiprocessing.get_context(method)
    told = (set_variables, (dict(os.environ),))
    with ProcessPoolExecutor(2, context, *told) as pool:
        response = pool.submit(skypostal.update_personal_info, **WHO)
        refusal = pool.submit(refused_by_the_service, 0)
        assert response.result(30) == skypostal.update_personal_info(**WHO)
        with pytest.raises(skypostal.RefusedError) as caught:
            refusal.result(30)
    assert caught.value.delivery == "rejected" and caught.value.location == "customer_key"


ENDING = """
import random, socket, threading, time
import skypostal
listener = socket.create_server(("127.0.0.1", 0))
client = skypostal.Client(
    user_code=1, app_key="k", base_url=f"http://127.0.0.1:{listener.getsockname()[1]}"
)
def update():
    while True:
        try:
            client.update_personal_info(
                timeout=random.uniform(0.005, 0.08), customer_box_id=1, customer_key="k"
            )
        except skypostal.RequestTimeoutError:
            pass
for _ in range(10):
    threading.Thread(target=update, daemon=True).start()
time.sleep(0.1)
"""


def test_the_interpreter_ends_cleanly_with_calls_in_flight() -> None:
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, timeout=20)
        assert (done.returncode, done.stderr) == (0, b"")


def awaited(client: AsyncClient, times: int = 1) -> None:
    async def update() -> None:
        await asyncio.gather(*[client.update_personal_info(**WHO) for _ in range(times)])

    asyncio.run(update())


def test_a_child_awaits_on_a_thread_and_connections_of_its_own(sandbox: Sandbox) -> None:
    client = AsyncClient(user_code=USER_CODE, app_key=APP_KEY, base_url=sandbox.url)

    def await_and_fork() -> None:
        awaited(client)
        in_child(lambda: awaited(client))
        awaited(client)

    awaited(client)
    in_child(await_and_fork)
    awaited(client)
    assert [request.connection for request in sandbox.requests] == [1, 2, 3, 2, 1]


def test_forks_while_awaits_are_in_flight(sandbox: Sandbox) -> None:
    client = AsyncClient(user_code=USER_CODE, app_key=APP_KEY, base_url=sandbox.url)

    async def fork() -> None:
        calls = [asyncio.ensure_future(client.update_personal_info(**WHO)) for _ in range(20)]
        await asyncio.sleep(0.001)
        in_child(lambda: in_thread(lambda: awaited(client, 3)))
        # In the child the parent's calls are left alone, whatever becomes of their handles.
        in_child(lambda: forget(calls))
        await asyncio.gather(*calls)

    def forget(calls: list[Any]) -> None:
        calls.clear()
        gc.collect()

    def in_thread(work: Any) -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    for _ in range(10):
        asyncio.run(fork())
    assert len(sandbox.requests) == 10 * 23
    assert all(request.status == 200 for request in sandbox.requests)


def test_a_child_goes_on_with_its_parents_event_loop(sandbox: Sandbox) -> None:
    client = AsyncClient(user_code=USER_CODE, app_key=APP_KEY, base_url=sandbox.url)
    loop = asyncio.new_event_loop()

    def update() -> None:
        loop.run_until_complete(client.update_personal_info(**WHO))

    async def begin() -> asyncio.Future[Any]:
        call = asyncio.ensure_future(client.update_personal_info(**WHO))
        await asyncio.sleep(0)
        return call

    call = loop.run_until_complete(begin())
    deadline = time.monotonic() + 5
    while not sandbox.requests and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)  # its outcome has arrived, and the loop has not heard it
    in_child(update)
    loop.run_until_complete(call)
    update()
    loop.close()
    assert [request.connection for request in sandbox.requests] == [1, 2, 1]


def run_forks(how: str, what: str) -> None:
    program = [sys.executable, forks.__file__, how, what]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60)
    if done.returncode == forks.NOT_PERMITTED:
        pytest.fail(f"this machine permits no PID namespace: run the test as root ({done.stdout})")
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("what", ["client", "function", "async", "many", "async_many"])
@pytest.mark.parametrize("how", ["namespace", "clone", "number"])
def test_a_child_with_the_number_of_its_clients_process(
    how: str, what: str, sandbox: Sandbox
) -> None:
    run_forks(how, what)
    used = [request.connection for request in sandbox.requests]
    assert used == ([1, 2] if how == "number" else [1, 2, 1])
