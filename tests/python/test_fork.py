"""Processes: a client made before a fork, in every way that Python programs fork."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Any]:
    """Starts a Python program that is ended with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*command: str, **environment: str) -> subprocess.Popen[bytes]:
        changed = {**os.environ, "PYTHONPATH": str(tmp_path), **environment}
        arguments = [sys.executable, "-m", *command]
        with (tmp_path / "log").open("wb") as log:
            running.append(subprocess.Popen(arguments, env=changed, stdout=log, stderr=log))
        return running[-1]

    yield start
    for process in running:
        process.terminate()
        assert process.wait(10) in (0, -signal.SIGTERM)


APP = """
import skypostal
skypostal.update_personal_info(customer_box_id={box!r}, customer_key={key!r})

def app(environ, start_response):
    info = skypostal.update_personal_info(customer_box_id={box!r}, customer_key={key!r})
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(info.cust_id).encode()]
"""


def test_gunicorn_with_preload(
    environment: None, sandbox: Sandbox, tmp_path: Path, program: Any
) -> None:
    (tmp_path / "web.py").write_text(APP.format(box=BOX_ID, key=CUSTOMER_KEY))
    port = free_port()
    program("gunicorn", "--preload", "--workers=2", f"--bind=127.0.0.1:{port}", "web:app")
    answers: list[bytes] = []
    deadline = time.monotonic() + 15
    while len(answers) < 10:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5) as answer:
                answers.append(answer.read())
        except OSError:
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.05)
    assert answers == [b"51736835"] * 10
    connections = [request.connection for request in sandbox.requests]
    assert connections[0] == 1 and 1 not in connections[1:]


TASKS = """
import celery
import skypostal
skypostal.update_personal_info(customer_box_id={box!r}, customer_key={key!r})
app = celery.Celery("tasks", broker="filesystem://", backend="file://{folder}")
app.conf.broker_transport_options = {{
    "data_folder_in": "{folder}", "data_folder_out": "{folder}", "processed_folder": "{folder}",
    "control_folder": "{folder}",
}}

@app.task
def update():
    return skypostal.update_personal_info(customer_box_id={box!r}, customer_key={key!r}).cust_id
"""


def test_a_celery_prefork_worker(
    environment: None, sandbox: Sandbox, tmp_path: Path, program: Any
) -> None:
    queue = tmp_path / "queue"
    queue.mkdir()
    source = TASKS.format(box=BOX_ID, key=CUSTOMER_KEY, folder=queue)
    (tmp_path / "tasks.py").write_text(source)
    program("celery", "-A", "tasks", "worker", "--pool=prefork", "--concurrency=2")
    ask = (
        "import tasks; print([r.get(timeout=30) for r in [tasks.update.delay() for _ in '12345']])"
    )
    done = subprocess.run(
        [sys.executable, "-c", ask],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{[51736835] * 5}\n", done.stderr + (tmp_path / "log").read_text()


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
