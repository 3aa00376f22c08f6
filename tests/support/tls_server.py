"""Servers for the TLS and proxy tests, each connection in a thread of its own."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Callable

import trustme
from sockets import end

RESPONSE = b'[{"_verify":true,"cust_id":51736835}]'

Serve = Callable[[socket.socket], None]


class Server:
    """Gives each connection to ``serve`` in a thread of its own."""

    def __init__(self, serve: Serve) -> None:
        self.serve = serve
        self.sockets: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.sockets.append(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        try:
            self.serve(connection)
        except OSError:
            pass  # the client has left, as it should when it does not trust the server
        finally:
            connection.close()

    def close(self) -> None:
        end(self.listener)
        # musl calls accept again, with a number that the next server's listener may have by then.
        self._thread.join(5)
        self.listener.close()
        for connection in self.sockets:
            connection.close()


class SelfSigned:
    """A certificate that vouches for itself."""

    def configure_cert(self, context: ssl.SSLContext) -> None:
        ca = trustme.CA()
        with ca.cert_pem.tempfile() as certificate, ca.private_key_pem.tempfile() as key:
            context.load_cert_chain(certificate, key)


def accept_updates(
    certificate: trustme.LeafCert | SelfSigned, context: ssl.SSLContext | None = None
) -> Serve:
    """A server with this certificate that accepts every update."""
    context = context or ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            while secure.recv(65536):
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(RESPONSE)}\r\n\r\n"
                secure.sendall(head.encode() + RESPONSE)

    return serve
