"""Event loops: how a task of asyncio or trio waits for the background thread."""

from __future__ import annotations

import sys
from _weakref import ref

from ._native import _EventQueue

# Importing typing would take longer than importing all the rest of this package.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Generator
    from typing import Any, Optional, Union

    from ._native import PersonalInfo

    _Outcome = tuple[Optional[PersonalInfo], Optional[BaseException]]
    _Future = Union[asyncio.Future[_Outcome], "_TrioFuture"]


def start_waiting() -> tuple[_EventQueue, _Future]:
    """Returns what one call needs: the event queue of the event loop of this thread, and a future.

    The outcome becomes the future's result, also if it is an error. If the error were its exception
    and the task were cancelled at the same moment, asyncio would log it as never retrieved.
    """
    if _is_trio():
        return _queue_of_trio(), _TrioFuture()
    import asyncio

    loop = asyncio.get_running_loop()
    return _queue_of_asyncio(loop), loop.create_future()


class Wakeup:
    """An event of the event loop that runs in this thread. It wakes a task any number of times."""

    queue: _EventQueue
    _event: Any

    def __init__(self) -> None:
        if _is_trio():
            trio = sys.modules["trio"]
            self.queue = _queue_of_trio()
            self._event = trio.Event()
        else:
            import asyncio

            self.queue = _queue_of_asyncio(asyncio.get_running_loop())
            self._event = asyncio.Event()

    def wake(self) -> None:
        """Wakes the task. The event queue calls it."""
        self._event.set()

    async def wait(self) -> None:
        """Waits until ``wake`` was called."""
        await self._event.wait()
        self._event = type(self._event)()


# The event queue of each event loop. The event loop holds it as long as it is open.
_queues: dict[ref[object], ref[_EventQueue]] = {}


def _forget(loop: ref[object]) -> None:
    _queues.pop(loop, None)


def _queue_of(loop: object) -> tuple[_EventQueue, bool]:
    """Returns the event queue of this event loop, and whether it is new."""
    known = _queues.get(ref(loop))
    queue = known() if known is not None else None
    if queue is not None and queue.is_of_this_process():
        return queue, False
    queue = _EventQueue()
    _queues[ref(loop, _forget)] = ref(queue)
    return queue, True


def _queue_of_asyncio(loop: asyncio.AbstractEventLoop) -> _EventQueue:
    queue, is_new = _queue_of(loop)
    if is_new:
        try:
            loop.add_reader(queue.fileno(), queue.drain)
        except NotImplementedError:
            from ._proactor import add_reader

            add_reader(loop, queue)
    return queue


def _queue_of_trio() -> _EventQueue:
    trio = sys.modules["trio"]

    queue, is_new = _queue_of(trio.lowlevel.current_trio_token())
    if is_new:
        trio.lowlevel.spawn_system_task(_drain_in_trio, queue)
    return queue


async def _drain_in_trio(queue: _EventQueue) -> None:
    trio = sys.modules["trio"]

    while True:
        await trio.lowlevel.wait_readable(queue.fileno())
        queue.drain()


class _TrioFuture:
    """As much of ``asyncio.Future`` as a call needs, for trio."""

    __slots__ = ("_outcome", "_settled")

    def __init__(self) -> None:
        self._settled = sys.modules["trio"].Event()

    def done(self) -> bool:
        return bool(self._settled.is_set())

    def set_result(self, outcome: _Outcome) -> None:
        self._outcome = outcome
        self._settled.set()

    def __await__(self) -> Generator[Any, Any, _Outcome]:
        yield from self._settled.wait().__await__()
        return self._outcome


def _is_trio() -> bool:
    """Returns whether this task is one of trio's.

    A program that uses trio has imported it, and trio imports sniffio. An import statement here
    would put both, and pytest with them, into every frozen program.
    """
    sniffio = sys.modules.get("sniffio")
    if sniffio is None or "trio" not in sys.modules:
        return False
    try:
        return bool(sniffio.current_async_library() == "trio")
    except sniffio.AsyncLibraryNotFoundError:
        return False  # asyncio says what is missing
