"""What Python programs run in: web servers, task queues, notebooks."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from code_blocks import code_blocks
from jupyter_client.manager import start_new_kernel
from project import ROOT

from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, USER_CODE, Sandbox

UPDATE = f"update_personal_info(customer_box_id={BOX_ID}, customer_key={CUSTOMER_KEY!r})"


@pytest.fixture(autouse=True)
def environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYPOSTAL_BASE_URL", sandbox.url)
    monkeypatch.setenv("SKYPOSTAL_USER_CODE", str(USER_CODE))
    monkeypatch.setenv("SKYPOSTAL_APP_KEY", APP_KEY)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def get(port: int, log: Path) -> bytes:
    """The response of the server, once it comes."""
    deadline = time.monotonic() + 15
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5) as response:
                body: bytes = response.read()
                return body
        except OSError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)


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


def application(name: str) -> str:
    """A program of docs/servers.md."""
    (block,) = [b for b in code_blocks(ROOT / "docs" / "servers.md", "python") if b.title == name]
    return block.code.replace("the customer's key", CUSTOMER_KEY)


def test_gunicorn_with_preload(sandbox: Sandbox, tmp_path: Path, program: Any) -> None:
    # The client has a connection before the fork.
    (tmp_path / "wsgi.py").write_text(application("wsgi.py") + f"\nclient.{UPDATE}\n")
    port = free_port()
    program("gunicorn", "--preload", "--workers=2", f"--bind=127.0.0.1:{port}", "wsgi:app")
    assert [get(port, tmp_path / "log") for _ in range(10)] == [b"51736835"] * 10
    connections = [request.connection for request in sandbox.requests]
    assert connections[0] == 1 and 1 not in connections[1:]


@pytest.mark.parametrize("name", ["asgi", "asgi_threads"])
def test_uvicorn(name: str, sandbox: Sandbox, tmp_path: Path, program: Any) -> None:
    (tmp_path / f"{name}.py").write_text(application(f"{name}.py"))
    port = free_port()
    program("uvicorn", f"--port={port}", "--lifespan=off", f"{name}:app")
    assert get(port, tmp_path / "log") == b"51736835"
    with ThreadPoolExecutor(8) as threads:
        responses = list(threads.map(lambda _: get(port, tmp_path / "log"), range(40)))
    assert responses == [b"51736835"] * 40
    assert len(sandbox.requests) == 41 and sandbox.connections <= 9


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


def test_a_celery_prefork_worker(sandbox: Sandbox, tmp_path: Path, program: Any) -> None:
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


@pytest.fixture
def kernel() -> Iterator[Any]:
    manager, client = start_new_kernel()
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_a_notebook_and_its_interrupt(kernel: Any) -> None:
    manager, client = kernel

    def reply(asked: str) -> Any:
        # Others may be left over from when the kernel was waited for.
        while (message := client.get_shell_msg(timeout=30))["parent_header"]["msg_id"] != asked:
            pass
        return message["content"]

    def works() -> bool:
        code = f"import skypostal; info = skypostal.{UPDATE}"
        response = reply(client.execute(code, user_expressions={"id": "info.cust_id"}))
        assert response["status"] == "ok", response
        value: str = response["user_expressions"]["id"]["data"]["text/plain"]
        return value == "51736835"

    assert works()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        # stop_on_error would have the kernel refuse the next cell, should it come at once.
        code = f"skypostal.Client(base_url={url!r}).{UPDATE}"
        hanging = client.execute(code, stop_on_error=False)
        with silent.accept()[0]:  # the call is in flight
            manager.interrupt_kernel()
            assert reply(hanging)["ename"] == "KeyboardInterrupt"
    assert works()
