"""Waits for an event queue on the default event loop of Windows, which has no ``add_reader``."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

    from ._native import _EventQueue


class _QueueSocket(socket.socket):
    """A socket that belongs to an event queue, which closes it."""

    def __init__(self, queue: _EventQueue) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM, fileno=queue.fileno())
        self.setblocking(False)

    def __del__(self) -> None:
        self.detach()


def add_reader(loop: asyncio.AbstractEventLoop, queue: _EventQueue) -> None:
    """Has the event loop drain the queue whenever there are events, until the event loop closes.

    No task waits for them: a program that cancels all its tasks, or awaits them all, would find it
    among them. So a future's callback drains the queue, as asyncio does with its own socket.
    """
    readable = _QueueSocket(queue)

    def receive() -> None:
        try:
            loop.sock_recv(readable, 64).send(None).add_done_callback(drain)
        except StopIteration:  # there were bytes already
            loop.call_soon(drain)

    def drain(received: Any = None) -> None:
        try:
            queue.drain()
        finally:
            receive()

    receive()
