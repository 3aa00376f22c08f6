"""An HTTP proxy for tests."""

from __future__ import annotations

import base64
import socket
import ssl
import threading

import trustme
from tls_server import SelfSigned, Server

PASSWORD = "pass-7fz"
LOGIN = f"user:{PASSWORD}"


class Proxy(Server):
    """An HTTP proxy that tunnels and forwards; wants ``login`` if there is one.

    ``refusal`` is its response to each request, in place of a tunnel. With a ``certificate`` the
    connections to it are TLS.
    """

    def __init__(
        self,
        login: str = "",
        dies: bool = False,
        refusal: bytes = b"",
        certificate: trustme.LeafCert | SelfSigned | None = None,
    ) -> None:
        self.heads: list[bytes] = []
        self.login = login
        self.dies = dies
        self.refusal = refusal
        self.context: ssl.SSLContext | None = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(self.context)
        super().__init__(self.accept)

    @property
    def url(self) -> str:
        if self.context is not None:
            return f"https://localhost:{self.port}"
        return f"http://127.0.0.1:{self.port}"

    def accept(self, connection: socket.socket) -> None:
        if self.context is None:
            self.tunnel(connection)
            return
        with self.context.wrap_socket(connection, server_side=True) as secure:
            self.tunnel(secure)

    def tunnel(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        self.heads.append(head)
        wanted = b"Basic " + base64.b64encode(self.login.encode())
        if self.dies:
            return
        if self.refusal:
            connection.sendall(self.refusal)
            return
        if self.login and wanted.lower() not in head.lower():
            refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
            connection.sendall(refusal)
            return
        if head.startswith(b"CONNECT "):
            port = int(head.split(b" ")[1].rpartition(b":")[2])
            upstream = socket.create_connection(("127.0.0.1", port))
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            port = int(head.split(b"/")[2].rpartition(b":")[2])
            upstream = socket.create_connection(("127.0.0.1", port))
            method, target, rest = head.split(b" ", 2)
            upstream.sendall(b" ".join([method, b"/" + target.split(b"/", 3)[3], rest]))
        self.sockets.append(upstream)
        threading.Thread(target=self.copy, args=(upstream, connection), daemon=True).start()
        self.copy(connection, upstream)

    @staticmethod
    def copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass
