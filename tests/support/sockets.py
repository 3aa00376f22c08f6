"""Ends sockets that other threads wait for."""

from __future__ import annotations

import contextlib
import socket
import sys


def end(each: socket.socket) -> None:
    """Ends a socket. Unix wakes its thread at the shutdown, Windows at the close."""
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    if sys.platform == "win32":
        each.close()
