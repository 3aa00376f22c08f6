"""Many updates from Python: ours, and each peer in its own best form.

    python python_bulk.py NAME BASE_URL PATH ROWS

takes that many rows from a generator, has 64 of them in flight at once, and writes one line of
JSON: what it cost, and the most memory that it took. All peers encode and decode with the same
code, python_json.py.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from python_peers import CREDENTIALS, TIMEOUT, check, curl_handle, pyreqwest_options, values

CONCURRENCY = 64


def rows(count, begin):
    begin()
    for number in range(1, count + 1):
        yield {
            "customer_box_id": number,
            "customer_key": "YpbCNpzqxYqVWv+tzg4e4Ex6ALiT+DfKSYA3NY2dZcw=",
            "customer_first_name": f"Name {number}",
            "customer_last_name": "New Last",
            "customer_birth_date": "1980-08-19",
            "customer_gender": "M",
        }


def skypostal(base_url, path, rows, done):
    import skypostal

    client = skypostal.Client(**CREDENTIALS, base_url=base_url, timeout=TIMEOUT)
    for outcome in client.update_many(rows, concurrency=CONCURRENCY):
        if outcome.error is not None:
            raise outcome.error
        done(values(outcome.result))


def pycurl_multi(base_url, path, rows, done):
    """Handles that are used again, each with its connection, driven by libcurl's own wait."""
    import pycurl
    from python_json import decode, encode

    multi = pycurl.CurlMulti()
    multi.setopt(pycurl.M_MAXCONNECTS, CONCURRENCY)
    free = []
    for _ in range(CONCURRENCY):
        handle, posted, code = curl_handle(base_url, path)
        handle.parts = []
        handle.setopt(pycurl.WRITEFUNCTION, handle.parts.append)
        free.append(handle)
    running = 0
    more = True
    while more or running:
        while free and more:
            row = next(rows, None)
            if row is None:
                more = False
                break
            handle = free.pop()
            handle.setopt(posted, encode({**CREDENTIALS, **row}))
            multi.add_handle(handle)
            running += 1
        multi.perform()
        queued = 1
        ended = False
        while queued:
            queued, good, bad = multi.info_read()
            if bad:
                raise RuntimeError(bad[0][2])
            for handle in good:
                multi.remove_handle(handle)
                check(handle.getinfo(code))
                body = b"".join(handle.parts)
                handle.parts.clear()
                running -= 1
                free.append(handle)
                ended = True
                done(decode(body.decode()))
        if running and not ended:
            multi.select(1.0)


def awaited(updating):
    """As many tasks as may be in flight, each of which takes the next row when it has done one."""

    def run(base_url, path, rows, done):
        import asyncio

        import uvloop

        async def work(update):
            for row in rows:
                done(await update({**CREDENTIALS, **row}))

        async def main():
            async with updating(base_url, path) as update:
                await asyncio.gather(*(work(update) for _ in range(CONCURRENCY)))

        uvloop.run(main())

    return run


@asynccontextmanager
async def aiohttp(base_url, path):
    import aiohttp
    import yarl
    from python_json import HEADERS, decode, encode

    target = yarl.URL(base_url + path)

    async def update(row):
        async with session.post(target, data=encode(row), allow_redirects=False) as response:
            body = await response.read()
            check(response.status)
            return decode(body.decode())

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONCURRENCY),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=HEADERS,
        timeout=aiohttp.ClientTimeout(TIMEOUT),
        auto_decompress=False,
    ) as session:
        yield update


@asynccontextmanager
async def httpx(base_url, path):
    """A client for each task: one for all looks at each of its connections for each request, which
    takes four times as long."""
    import ssl

    import httpx
    from python_json import HEADERS, decode, encode

    target = httpx.URL(base_url + path)
    extensions = {"timeout": httpx.Timeout(TIMEOUT).as_dict()}
    roots = ssl.create_default_context()

    async def update(row):
        request = httpx.Request(
            "POST", target, headers=HEADERS, content=encode(row), extensions=extensions
        )
        client = free.pop()
        response = await client.send(request)
        free.append(client)
        check(response.status_code)
        return decode(response.content.decode())

    async with AsyncExitStack() as clients:
        free = [
            await clients.enter_async_context(httpx.AsyncClient(trust_env=False, verify=roots))
            for _ in range(CONCURRENCY)
        ]
        yield update


@asynccontextmanager
async def pyreqwest(base_url, path):
    from pyreqwest.client import ClientBuilder
    from python_json import HEADERS, decode, encode

    url = base_url + path

    async def update(row):
        response = await client.post(url).body_bytes(encode(row)).build().send()
        check(response.status)
        return decode(await response.text())

    async with pyreqwest_options(ClientBuilder(), timedelta, HEADERS).build() as client:
        yield update


PEERS = {
    "skypostal": skypostal,
    "aiohttp": awaited(aiohttp),
    "httpx": awaited(httpx),
    "pycurl multi": pycurl_multi,
    "pyreqwest": awaited(pyreqwest),
}


def main(name, base_url, path, count):
    accepted = 0

    def done(values):
        nonlocal accepted
        if values[0] == 51736835:
            accepted += 1

    def begin():
        """The first row is taken: what comes before is not measured."""
        nonlocal before, begun
        before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter_ns()

    begun = before = None
    PEERS[name](base_url, path, rows(count, begin), done)
    wall, after = time.perf_counter_ns() - begun, resource.getrusage(resource.RUSAGE_SELF)
    if accepted != count:
        raise RuntimeError(f"{name} did {accepted} of {count} rows")
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    measured = {
        "wall_ns": wall,
        "user_s": after.ru_utime - before.ru_utime,
        "system_s": after.ru_stime - before.ru_stime,
        "peak_rss": peak,
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
