"""Requests to the sandbox as any HTTP client would send them: without our own client."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from decimal import Decimal
from typing import Any

import documented

from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, PATH, USER_CODE, Sandbox

JSON = {"Content-Type": "application/json"}

WHO = {
    "user_code": USER_CODE,
    "app_key": APP_KEY,
    "customer_box_id": BOX_ID,
    "customer_key": CUSTOMER_KEY,
}

# As the service writes it: without white space, and each slash with a backslash.
DOCUMENTED_RESPONSE = (
    json.dumps([documented.RESPONSE], separators=(",", ":")).replace("/", r"\/").encode()
)


def connect(url: str, timeout: float = 10) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(url.partition("//")[2], timeout=timeout)


def send(
    sandbox: Sandbox,
    body: bytes | None,
    *,
    method: str = "POST",
    path: str = PATH,
    headers: dict[str, str] = JSON,
) -> tuple[http.client.HTTPResponse, bytes]:
    with contextlib.closing(connect(sandbox.url)) as connection:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response, response.read()


def body_of(**members: Any) -> bytes:
    return json.dumps({**WHO, **members}).encode()


def raw_body(members: str) -> bytes:
    """The credentials and then members as they are, valid JSON or not."""
    return (json.dumps(WHO)[:-1] + "," + members + "}").encode("utf-8", "surrogatepass")


def update(sandbox: Sandbox, body: bytes) -> dict[str, Any]:
    response, content = send(sandbox, body)
    assert response.status == 200, content
    (item,) = json.loads(content, parse_float=Decimal)
    assert isinstance(item, dict)
    return item


def dial(sandbox: Sandbox, timeout: float = 10) -> socket.socket:
    host, _, port = sandbox.url.partition("//")[2].partition(":")
    return socket.create_connection((host, int(port)), timeout)


def request_bytes(body: bytes, *headers: str) -> bytes:
    head = [f"POST {PATH} HTTP/1.1", "Host: x", "Content-Type: application/json", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received
