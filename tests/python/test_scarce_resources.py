"""What a process may lack: threads, file descriptors, the standard streams."""

from __future__ import annotations

import errno
import platform
import subprocess
import sys

import pytest

from skypostal.sandbox import BOX_ID, CUSTOMER_KEY, Sandbox

pytestmark = pytest.mark.usefixtures("for_programs")

START = f"""
import asyncio, collections, errno, gc, os, resource, subprocess, sys, threading, time
import skypostal

who = dict(customer_box_id={BOX_ID}, customer_key={CUSTOMER_KEY!r})

def descriptors():
    return len(os.listdir("/proc/self/fd")) - 1

def fill():
    "Takes every descriptor that is left."
    taken = []
    while True:
        try:
            taken.append(os.dup(kept))
        except OSError as problem:
            assert problem.errno == errno.EMFILE
            return taken

def limit(count):
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))

def together(count, call):
    threads = [threading.Thread(target=call) for _ in range(count)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

kept = os.open("/dev/null", os.O_RDWR)
"""


def run(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", START + program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


NO_THREAD = """
import ctypes, struct

def without_threads(number):
    "Has the kernel refuse each new thread with this error, as a container may."
    def step(code, then, otherwise, value):
        return struct.pack("HBBI", code, then, otherwise, value)
    clone3, clone, thread = 435, int(sys.argv[2]), 0x10000
    steps = b"".join([
        step(0x20, 0, 0, 0), step(0x15, 3, 0, clone3), step(0x15, 0, 3, clone),
        step(0x20, 0, 0, 16), step(0x45, 0, 1, thread),
        step(0x06, 0, 0, 0x00050000 | number), step(0x06, 0, 0, 0x7FFF0000),
    ])
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.byref(Program(len(steps) // 8, steps)), 0, 0) == 0

def refused(attempts, call):
    try:
        call()
    except skypostal.ConnectError as error:
        assert (error.delivery, error.attempts) == ("not_sent", attempts), error
        assert "the system has no thread left" in error.message, error
        assert "raise the limit of threads" in error.message, error
    else:
        sys.exit("no error")

url = os.environ["SKYPOSTAL_BASE_URL"]
named = dict(base_url=url.replace("127.0.0.1", "localhost"))
clients = [skypostal.Client(**named), skypostal.Client()]
without_threads(int(sys.argv[1]))
refused(3, lambda: clients[0].update_personal_info(**who))
clients[1].update_personal_info(**who)
refused(0, lambda: asyncio.run(skypostal.AsyncClient().update_personal_info(**who)))
refused(0, lambda: list(clients[1].update_many([who])))
refused(3, lambda: clients[0].update_personal_info(**who))
"""

# The number of clone, by machine.
CLONE = {"x86_64": 56, "aarch64": 220}


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EPERM])
def test_no_thread_is_a_connect_error_and_is_retried(number: int) -> None:
    assert run(NO_THREAD, str(number), str(CLONE[platform.machine()])) == ""


STREAMS = """
report = os.dup(2)

def check():
    for stream in range(3):
        for use in [lambda: os.write(stream, b"x"), lambda: os.read(stream, 1)]:
            try:
                use()
            except OSError:
                continue
            os._exit(2)
        assert "socket" not in os.readlink(f"/proc/self/fd/{stream}")
    # A program that is started has closed streams, as it would have without a call.
    look = "import os, sys; sys.exit(os.path.exists('/proc/self/fd/1') * 3)"
    assert subprocess.call([sys.executable, "-S", "-c", look], close_fds=False) == 0

def close():
    for stream in range(3):
        try:
            os.close(stream)
        except OSError:
            pass

def use(call):
    try:
        assert call().cust_id and call().cust_id
        check()
    except BaseException as error:
        os.write(report, repr(error).encode())
        os._exit(1)

loop = asyncio.new_event_loop()
"""

CLOSED_STREAMS = """
async def in_a_loop():
    return await skypostal.AsyncClient().update_personal_info(**who)

calls = [
    lambda: skypostal.Client().update_personal_info(**who),
    lambda: loop.run_until_complete(in_a_loop()),
    lambda: [outcome.result for outcome in skypostal.Client().update_many([who] * 9)][0],
]
for call in calls * 2:
    close()
    use(call)
"""


def test_what_a_host_with_closed_streams_prints_goes_into_no_connection() -> None:
    run(STREAMS + CLOSED_STREAMS)


OPENED_ANEW = """
client, async_client = skypostal.Client(), skypostal.AsyncClient()

async def in_a_loop():
    return await async_client.update_personal_info(**who)

calls = [lambda: client.update_personal_info(**who), lambda: loop.run_until_complete(in_a_loop())]
for call in calls:
    call()
time.sleep(1)  # the server closes the connections
for call in calls:
    close()
    use(call)
"""


# The look-up of a name comes before a connection, and an address needs none.
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_connection_that_is_opened_anew_takes_the_place_of_no_closed_stream(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox(idle_timeout=0.3) as service:
        monkeypatch.setenv("SKYPOSTAL_BASE_URL", service.url.replace("127.0.0.1", host))
        run(STREAMS + OPENED_ANEW)
        assert len({request.connection for request in service.requests}) == 4


IDLE = """
limit(64)
first = skypostal.Client()
loop = asyncio.new_event_loop()
options = dict(connect_timeout=0.5, max_retries=0)

def call():
    skypostal.Client(**options).update_personal_info(**who)

def bulk():
    for outcome in skypostal.Client(**options).update_many([who]):
        if outcome.error:
            raise outcome.error

async def awaited():
    async with skypostal.AsyncClient(**options) as client:
        await client.update_personal_info(**who)

def use_loop():
    loop.run_until_complete(awaited())

def give_back(taken):
    [os.close(descriptor) for descriptor in taken]

# So that the background thread and the event loop have theirs.
use_loop()
for use in [call, bulk, use_loop]:
    # Idle connections of another client are closed for it.
    together(3, lambda: first.update_personal_info(**who))
    taken = fill()
    use()
    give_back(taken)

    # Without one, the call waits for as long as a connection may take.
    time.sleep(0.2)
    taken = fill()
    start = time.monotonic()
    try:
        use()
    except skypostal.ConnectError as error:
        assert error.delivery == "not_sent", error
        assert "raise this process's limit of open files" in error.message, error
        assert 0.4 < time.monotonic() - start < 2
    else:
        sys.exit("no error")

    # It goes on once the host gives some back.
    timer = threading.Timer(0.2, give_back, [taken])
    timer.start()
    use()
    timer.join()
"""


def test_without_a_descriptor_idle_connections_are_closed_and_calls_wait() -> None:
    run(IDLE)


CROWD = """
limit(1024)
client = skypostal.Client(timeout=20)
ends = collections.Counter()

def call():
    try:
        client.update_personal_info(**who)
        ends["accepted"] += 1
    except skypostal.SkyPostalError as error:
        ends[str(error)] += 1

threading.stack_size(256 * 1024)
before = descriptors()
together(400, call)
assert ends == {"accepted": 400}, ends
# 64 idle connections, each with four descriptors, and the background thread, which closes them.
assert descriptors() - before <= 64 * 4 + 3, descriptors() - before
"""


def test_more_threads_call_at_once_than_descriptors_allow(sandbox: Sandbox) -> None:
    sandbox.delay(0.3, times=400)
    run(CROWD)


IN_FLIGHT = """
client, asynchronous = skypostal.Client(), skypostal.AsyncClient()
async def call():
    await asynchronous.update_personal_info(**who)

async def calls(count):
    await asyncio.gather(*[call() for _ in range(count)])

# An event loop that is gone gives its descriptors back when it is collected.
def settled():
    gc.collect()
    count = descriptors()
    time.sleep(0.2)
    return count if count == descriptors() else settled()

counts = []
def count_soon():
    deadline, most = time.monotonic() + 0.8, 0
    while time.monotonic() < deadline:
        most = max(most, descriptors())
        time.sleep(0.01)
    counts.append(most)

for use in [lambda: asyncio.run(calls(5)),
            lambda: together(5, lambda: client.update_personal_info(**who))]:
    counter = threading.Thread(target=count_soon)
    before = settled()
    counter.start()
    use()
    counter.join()
    print(counts.pop() - before)
"""


def test_what_a_call_in_flight_takes(sandbox: Sandbox) -> None:
    sandbox.delay(1, times=10)
    # One for each awaited call, and once three for the background thread, three for asyncio's loop
    # and two for its events. Four for each thread that calls.
    assert run(IN_FLIGHT).split() == ["13", "20"]
