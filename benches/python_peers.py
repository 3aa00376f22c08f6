"""What is measured from Python: ours, and each peer in its own best form.

    python python_peers.py NAME BASE_URL PATH

makes one call and says so; then it reads lines `CALLS THREADS`, makes that many calls, and responds
to each with a line of JSON, as the programs in C and Rust do. SSL_CERT_FILE names the certificates
that all trust.

All peers encode and decode with the same code, python_json.py. Each keeps its connection alive and
prepares beforehand what does not change. Each has a timeout of 30 s, as ours has, and where it can
be said, follows no redirects, reads no proxy variables and keeps no cookies: this call needs none
of it, and ours does none of it. Nothing is imported before a program of that peer would import it.
"""

import os
import sys
import time

# The request of tests/data, which a test compares: to read it, json would be imported for all.
CREDENTIALS = {"user_code": 396, "app_key": "1656d700707ad9a77f737e5df3db088a"}
FIELDS = {
    "customer_box_id": 811111,
    "customer_key": "YpbCNpzqxYqVWv+tzg4e4Ex6ALiT+DfKSYA3NY2dZcw=",
    "customer_first_name": "New Name",
    "customer_last_name": "New Last",
    "customer_birth_date": "1980-08-19",
    "customer_gender": "M",
}
REQUEST = {**CREDENTIALS, **FIELDS}
TIMEOUT = 30
CONNECTIONS = 16  # as many as there are threads at most


def skypostal(base_url, path):
    import skypostal

    client = skypostal.Client(**CREDENTIALS, base_url=base_url, timeout=TIMEOUT)

    def call():
        return values(client.update_personal_info(**FIELDS))

    return call


def skypostal_async(base_url, path):
    import skypostal

    client = skypostal.AsyncClient(**CREDENTIALS, base_url=base_url, timeout=TIMEOUT)

    async def call():
        return values(await client.update_personal_info(**FIELDS))

    return call


def values(info):
    """All that the response says: ours turns each into Python's only when it is asked for."""
    return (
        info.cust_id,
        info.customer_first_name,
        info.customer_last_name,
        info.customer_identity_number,
        info.customer_tax_number,
        info.customer_birth_date,
        info.customer_gender,
    )


def http_client(base_url, path):
    import http.client
    import ssl

    from python_json import HEADERS, decode, encode

    scheme, host = base_url.split("://")
    if scheme == "https":
        connection = http.client.HTTPSConnection(
            host, timeout=TIMEOUT, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(host, timeout=TIMEOUT)

    def call():
        connection.request("POST", path, encode(REQUEST), HEADERS)
        response = connection.getresponse()
        body = response.read()
        check(response.status)
        return decode(body.decode())

    return call


def urllib3(base_url, path):
    """The pool of one host, which PoolManager would look up for each call."""
    import ssl

    import urllib3
    from python_json import HEADERS, decode, encode

    tls = {"ssl_context": ssl.create_default_context()} if base_url.startswith("https") else {}
    pool = urllib3.connection_from_url(
        base_url, maxsize=CONNECTIONS, timeout=TIMEOUT, retries=False, headers=HEADERS, **tls
    )

    def call():
        response = pool.urlopen("POST", path, encode(REQUEST), redirect=False)
        check(response.status)
        return decode(response.data.decode())

    return call


def requests(base_url, path, one_session=False):
    """A prepared request whose body alone is made anew: a third faster than Session.post."""
    import requests
    from python_json import HEADERS, decode, encode

    roots = os.environ["SSL_CERT_FILE"]
    session = requests.Session()
    session.trust_env = False
    for scheme in ["http://", "https://"]:
        session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=CONNECTIONS))
    prepared = session.prepare_request(requests.Request("POST", base_url + path, HEADERS))

    def call():
        request = prepared.copy() if one_session else prepared  # threads cannot share it
        request.prepare_body(encode(REQUEST), None)
        response = session.send(request, timeout=TIMEOUT, allow_redirects=False, verify=roots)
        check(response.status_code)
        return decode(response.content.decode())

    return call


def httpx(base_url, path):
    """A request of its own, sent: Client.post would merge the client's defaults into each."""
    import ssl

    import httpx
    from python_json import HEADERS, decode, encode

    client = httpx.Client(trust_env=False, verify=ssl.create_default_context())
    target = httpx.URL(base_url + path)
    extensions = {"timeout": httpx.Timeout(TIMEOUT).as_dict()}

    def call():
        request = httpx.Request(
            "POST", target, headers=HEADERS, content=encode(REQUEST), extensions=extensions
        )
        response = client.send(request)
        check(response.status_code)
        return decode(response.content.decode())

    return call


def aiohttp(base_url, path):
    """Awaited one after the other in one running loop, which is asyncio's own."""
    import ssl

    import aiohttp
    import yarl
    from python_json import HEADERS, decode, encode

    target = yarl.URL(base_url + path)
    session = None

    async def call():
        nonlocal session
        if session is None:
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=ssl.create_default_context()),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=HEADERS,
                timeout=aiohttp.ClientTimeout(TIMEOUT),
                auto_decompress=False,
            )
        async with session.post(target, data=encode(REQUEST), allow_redirects=False) as response:
            body = await response.read()
            check(response.status)
            return decode(body.decode())

    return call


def pycurl(base_url, path):
    """One handle that is used again; perform_rb gives the body without a callback into Python."""
    from python_json import decode, encode

    handle, posted, code = curl_handle(base_url, path)

    def call():
        handle.setopt(posted, encode(REQUEST))
        body = handle.perform_rb()
        check(handle.getinfo(code))
        return decode(body.decode())

    return call


def pycurl_msgspec(base_url, path):
    """The fastest peer with a JSON library that is faster than Python's own and keeps every digit.

    It reads the declared members alone, and refuses half a surrogate pair, which the service was
    seen to send.
    """
    from decimal import Decimal
    from typing import Optional

    import msgspec
    from python_json import day

    class Error(msgspec.Struct):
        error_description: Optional[str]
        system_error: bool

    class Info(msgspec.Struct):
        cust_id: int
        customer_first_name: Optional[str]
        customer_last_name: Optional[str]
        customer_identity_number: Optional[str]
        customer_tax_number: Optional[Decimal]
        customer_birth_date: Optional[str]
        customer_gender: Optional[str]
        error: Error
        verify: bool = msgspec.field(name="_verify")

    encode = msgspec.json.Encoder().encode
    decode = msgspec.json.Decoder(list[Info]).decode
    handle, posted, code = curl_handle(base_url, path)

    def call():
        handle.setopt(posted, encode(REQUEST))
        body = handle.perform_rb()
        check(handle.getinfo(code))
        info = decode(body)[0]
        if not info.verify or info.error.system_error or info.error.error_description:
            raise RuntimeError(info.error)
        info.customer_birth_date = day(info.customer_birth_date)
        return values(info)

    return call


def curl_handle(base_url, path):
    import pycurl

    handle = pycurl.Curl()
    handle.setopt(pycurl.URL, base_url + path)
    handle.setopt(pycurl.CAINFO, os.environ["SSL_CERT_FILE"])
    handle.setopt(pycurl.TIMEOUT, TIMEOUT)
    handle.setopt(pycurl.NOSIGNAL, 1)
    handle.setopt(pycurl.PROXY, "")
    # Without "Expect: 100-continue", which it would not send for so short a body either.
    headers = ["Content-Type: application/json", "Accept: application/json", "Expect:"]
    handle.setopt(pycurl.HTTPHEADER, headers)
    return handle, pycurl.POSTFIELDS, pycurl.RESPONSE_CODE


def pyreqwest(base_url, path):
    """The blocking client with its usual runtime, which is faster at this than the multithreaded.

    Its own JSON reads a tax number through a float, so it gets Python's.
    """
    from datetime import timedelta

    from pyreqwest.client import SyncClientBuilder
    from python_json import HEADERS, decode, encode

    url = base_url + path
    client = pyreqwest_options(SyncClientBuilder(), timedelta, HEADERS).build()

    def call():
        response = client.post(url).body_bytes(encode(REQUEST)).build().send()
        check(response.status)
        return decode(response.text())

    return call


def pyreqwest_async(base_url, path):
    from datetime import timedelta

    from pyreqwest.client import ClientBuilder
    from python_json import HEADERS, decode, encode

    url = base_url + path
    client = pyreqwest_options(ClientBuilder(), timedelta, HEADERS).build()

    async def call():
        response = await client.post(url).body_bytes(encode(REQUEST)).build().send()
        check(response.status)
        return decode(await response.text())

    return call


def pyreqwest_options(builder, timedelta, headers):
    return (
        builder.timeout(timedelta(seconds=TIMEOUT))
        .default_headers(headers)
        .no_proxy()
        .follow_redirects(False)
        .referer(False)
    )


def primp(base_url, path):
    import primp
    from python_json import HEADERS, decode, encode

    url = base_url + path
    client = primp.Client(
        headers=HEADERS,
        timeout=TIMEOUT,
        cookie_store=False,
        referer=False,
        follow_redirects=False,
        ca_cert_file=os.environ["SSL_CERT_FILE"],
    )

    def call():
        response = client.post(url, content=encode(REQUEST))
        check(response.status_code)
        return decode(response.text)

    return call


PEERS = {
    "skypostal": skypostal,
    "skypostal AsyncClient": skypostal_async,
    "http.client": http_client,
    "urllib3": urllib3,
    "requests": requests,
    "requests, one session": lambda *where: requests(*where, one_session=True),
    "httpx": httpx,
    "aiohttp": aiohttp,
    "pycurl": pycurl,
    "pycurl + msgspec": pycurl_msgspec,
    "pyreqwest": pyreqwest,
    "pyreqwest async": pyreqwest_async,
    "primp": primp,
}
# What cannot be shared by threads, or is faster if it is not.
ONE_PER_THREAD = {"http.client", "requests", "httpx", "pycurl", "pycurl + msgspec"}


def check(status):
    if status != 200:
        raise RuntimeError(f"HTTP status {status}")


def calls(call, count):
    """The nanoseconds of each call."""
    times = []
    clock = time.perf_counter_ns
    for _ in range(count):
        begun = clock()
        call()
        times.append(clock() - begun)
    return times


async def async_calls(call, count):
    times = []
    clock = time.perf_counter_ns
    for _ in range(count):
        begun = clock()
        await call()
        times.append(clock() - begun)
    return times


def in_threads(session, count, threads):
    """What to run to make the calls in threads that are there already, each with its connection."""
    import threading

    begin = threading.Barrier(threads + 1)
    times = []

    def work():
        call = session()
        calls(call, 20)
        begin.wait()  # all are ready
        begin.wait()
        times.extend(calls(call, count // threads))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    begin.wait()

    def run():
        begin.wait()
        for worker in workers:
            worker.join()
        return times

    return run


def main(name, base_url, path):
    call = PEERS[name](base_url, path)
    info = call()
    loop = None
    if not isinstance(info, tuple):
        import asyncio

        loop = asyncio.new_event_loop()
        info = loop.run_until_complete(info)
    print("ready", flush=True)

    import datetime
    import functools
    import json
    import resource

    day = datetime.date(1980, 8, 19)
    if info != (51736835, "New Name", "New Last", "123456789", 0, day, "M"):
        raise RuntimeError(f"{name} read {info}")
    for line in sys.stdin:
        count, threads = map(int, line.split())
        if loop is not None:
            run = functools.partial(loop.run_until_complete, async_calls(call, count))
        elif threads == 1:
            run = functools.partial(calls, call, count)
        else:
            own = functools.partial(PEERS[name], base_url, path)
            run = in_threads(own if name in ONE_PER_THREAD else lambda: call, count, threads)
        before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter_ns()
        times = run()
        wall, after = time.perf_counter_ns() - begun, resource.getrusage(resource.RUSAGE_SELF)
        measured = {
            "wall_ns": wall,
            "user_s": after.ru_utime - before.ru_utime,
            "system_s": after.ru_stime - before.ru_stime,
            "ns": times,
        }
        print(json.dumps(measured), flush=True)
    # Not every session of the peers can be closed from here, and some would complain.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
