"""The client for event loops: asyncio, and trio, either of them under anyio too."""

from __future__ import annotations

import sys
from _weakref import ref

from ._native import Client, _EventQueue

# Importing typing would take longer than importing all the rest of this package.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    import os
    from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Any, Literal, Optional

    from typing_extensions import Self, Unpack

    from ._native import Attempt, BulkUpdate, Outcome, PersonalInfo, _Fields

    _Outcome = tuple[Optional[PersonalInfo], Optional[BaseException]]
    _Settle = Callable[[Optional[PersonalInfo], Optional[BaseException]], None]
    _Wait = Callable[[], Awaitable[_Outcome]]


class AsyncClient:
    """``Client`` for asyncio, and for trio: the same, awaited.

    Made once, anywhere, and used for every call, from any number of tasks, event loops and threads
    at once. All calls of the process are driven by one thread, which the first one starts, however
    many there are; name look-ups take up to four more for a moment. At most 100 calls of one client
    are under way at once, each on a connection of its own, which is kept and used again; the others
    wait for their turn, within their timeout.

    A client made before a fork works in the child too. It cannot be pickled or copied. Its repr
    shows no secret. As an async context manager it closes itself.
    """

    __slots__ = ("__weakref__", "_client")

    def __init__(
        self,
        *,
        user_code: int | None = None,
        app_key: str | None = None,
        environment: Literal["test", "production"] | None = None,
        base_url: str | None = None,
        timeout: float = 30.0,
        connect_timeout: float = 10.0,
        max_retries: int = 2,
        proxy: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        trust_env: bool = True,
        allow_http: bool = False,
        on_attempt: Callable[[Attempt], object] | None = None,
    ) -> None:
        """As ``Client``: reads certificates, connects to nothing, starts nothing.

        on_attempt is called on the thread of the event loop, with the context variables of the
        call, and must not block.
        """
        # Client imports it. This line shows it to tools that freeze programs.
        from . import _preload  # noqa: F401

        self._client = Client(
            user_code=user_code,
            app_key=app_key,
            environment=environment,
            base_url=base_url,
            timeout=timeout,
            connect_timeout=connect_timeout,
            max_retries=max_retries,
            proxy=proxy,
            ca_file=ca_file,
            trust_env=trust_env,
            allow_http=allow_http,
            on_attempt=on_attempt,
        )

    async def update_personal_info(
        self, *, timeout: float | None = None, **fields: Unpack[_Fields]
    ) -> PersonalInfo:
        """As ``Client.update_personal_info``; ``timeout`` counts from the await.

        Cancelling the task ends the request and its connection at once, and raises what the event
        loop raises then, such as ``asyncio.CancelledError``, with the attributes ``delivery`` and
        ``attempts`` that every error has. ``asyncio.timeout`` and ``asyncio.wait_for`` do that too.
        """
        mailbox, settle, outcome = _in_trio() if _is_trio() else _in_asyncio()
        call = self._client._start_update(mailbox, settle, timeout, fields)
        try:
            info, error = await outcome()
        except BaseException as ending:
            _tell(ending, *call.cancel())
            raise
        if info is None:
            error = error or AssertionError("one of them is given")
            if not hasattr(error, "delivery"):
                _tell(error, *call.cancel())
            try:
                raise error
            finally:
                del error  # it holds this frame
        return info

    def update_many(
        self,
        rows: Iterable[Mapping[str, object]] | AsyncIterable[Mapping[str, object]],
        *,
        concurrency: int = 8,
        rate: float | None = None,
        timeout: float | None = None,
        max_connect_failures: int = 10,
    ) -> AsyncBulkUpdate:
        """As ``Client.update_many``, for ``async for``; to be called on an event loop.

        rows may be asynchronous too. While the next row is awaited no outcome is given: a source
        that may be silent for long delays those of the rows before.
        """
        woken = _Woken()
        many = self._client._start_bulk(
            woken.mailbox, woken.wake, concurrency, rate, timeout, max_connect_failures
        )
        return AsyncBulkUpdate(many, rows, woken)

    async def aclose(self) -> None:
        """Closes the connections, from any event loop and any number of times.

        Calls in flight end as they would; later ones raise ``ConfigurationError``.
        """
        self._client.close()

    async def close(self) -> None:
        """The same as ``aclose``, by the name that ``Client`` has for it."""
        self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self._client.close()

    def __repr__(self) -> str:
        return repr(self._client).replace("Client", "AsyncClient", 1)

    def __reduce__(self) -> Any:
        raise TypeError(
            "a skypostal.AsyncClient holds connections and cannot be pickled; make one in the "
            "process that uses it, or use a client made before a fork"
        )


class AsyncBulkUpdate:
    """The outcomes of ``AsyncClient.update_many``, each as its row ends: an asynchronous iterator,
    and a context manager that closes it. To be used by one task at a time.
    """

    __slots__ = ("_failure", "_many", "_next", "_over", "_woken")

    def __init__(
        self,
        many: BulkUpdate,
        rows: Iterable[Mapping[str, object]] | AsyncIterable[Mapping[str, object]],
        woken: _Woken,
    ) -> None:
        """Made by ``AsyncClient.update_many`` alone."""
        self._many = many
        self._woken = woken
        self._next: Callable[[], Awaitable[Mapping[str, object]]] | None = _puller(rows)
        self._failure: BaseException | None = None
        self._over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        """The next outcome. A task that is cancelled meanwhile ends the run: what is raised has the
        outcomes of all rows that were taken and not told of yet, as ``outcomes``.
        """
        try:
            while True:
                await self._fill()
                outcome = self._many._take()
                if outcome is not None:
                    return outcome
                if self._many._is_empty():
                    break
                await self._woken.wait()
        except BaseException as error:
            vars(error)["outcomes"] = self._cut_short()
            raise
        if self._over:
            raise StopAsyncIteration
        self._over = True
        if self._failure is not None:
            try:
                raise self._failure
            finally:
                self._failure = None  # it holds this frame
        self._many._end()
        raise StopAsyncIteration

    async def _fill(self) -> None:
        while self._next is not None and self._many._room():
            try:
                self._many._put(await self._next())
            except StopAsyncIteration:
                self._next = None
            except Exception as error:
                # It is raised after the outcomes of the rows that came.
                self._next, self._failure = None, error

    async def aclose(self) -> list[Outcome]:
        """Ends the run. Gives the outcomes of the rows that were taken and not told of yet; those
        in flight were broken off, and may have been made or not."""
        return self._cut_short()

    def _cut_short(self) -> list[Outcome]:
        self._over, self._next, self._failure = True, None, None
        return self._many.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self._cut_short()


def _tell(ending: BaseException, delivery: str, attempts: int) -> None:
    """Puts onto another's exception what every error of this package has."""
    vars(ending).update(delivery=delivery, attempts=attempts)


def _puller(
    rows: Iterable[Mapping[str, object]] | AsyncIterable[Mapping[str, object]],
) -> Callable[[], Awaitable[Mapping[str, object]]]:
    """What gives the next row, or raises StopAsyncIteration."""
    if hasattr(rows, "__aiter__"):
        return rows.__aiter__().__anext__
    left = iter(rows)

    async def pull() -> Mapping[str, object]:
        for row in left:
            return row
        raise StopAsyncIteration

    return pull


class _Woken:
    """An event of the event loop that runs in this thread, set by its mailbox."""

    mailbox: _EventQueue
    _event: Any

    def __init__(self) -> None:
        if _is_trio():
            trio = sys.modules["trio"]
            self.mailbox = _mailbox_in_trio()
            self._event = trio.Event()
        else:
            import asyncio

            self.mailbox = _mailbox_in_asyncio(asyncio.get_running_loop())
            self._event = asyncio.Event()

    def wake(self) -> None:
        """Called by the mailbox."""
        self._event.set()

    async def wait(self) -> None:
        """Until it was woken, once."""
        await self._event.wait()
        self._event = type(self._event)()


# The mailbox of each event loop, which keeps it as long as it is open.
_mailboxes: dict[ref[object], ref[_EventQueue]] = {}


def _forget(loop: ref[object]) -> None:
    _mailboxes.pop(loop, None)


def _mailbox(loop: object) -> tuple[_EventQueue, bool]:
    """The mailbox of this event loop, and whether it is new."""
    known = _mailboxes.get(ref(loop))
    mailbox = known() if known is not None else None
    if mailbox is not None and mailbox.is_here():
        return mailbox, False
    mailbox = _EventQueue()
    _mailboxes[ref(loop, _forget)] = ref(mailbox)
    return mailbox, True


def _mailbox_in_asyncio(loop: asyncio.AbstractEventLoop) -> _EventQueue:
    mailbox, new = _mailbox(loop)
    if new:
        loop.add_reader(mailbox.fileno(), mailbox.drain)
    return mailbox


def _mailbox_in_trio() -> _EventQueue:
    trio = sys.modules["trio"]

    mailbox, new = _mailbox(trio.lowlevel.current_trio_token())
    if new:
        trio.lowlevel.spawn_system_task(_open_in_trio, mailbox)
    return mailbox


async def _open_in_trio(mailbox: _EventQueue) -> None:
    trio = sys.modules["trio"]

    while True:
        await trio.lowlevel.wait_readable(mailbox.fileno())
        mailbox.drain()


def _in_asyncio() -> tuple[_EventQueue, _Settle, _Wait]:
    import asyncio

    loop = asyncio.get_running_loop()
    # An error is a result here: a task that is cancelled as it comes does not leave it unheard.
    future: asyncio.Future[_Outcome] = loop.create_future()

    def settle(info: PersonalInfo | None, error: BaseException | None) -> None:
        if not future.done():
            future.set_result((info, error))

    return _mailbox_in_asyncio(loop), settle, lambda: future


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


def _in_trio() -> tuple[_EventQueue, _Settle, _Wait]:
    trio = sys.modules["trio"]
    outcome: list[_Outcome] = []
    settled = trio.Event()

    def settle(info: PersonalInfo | None, error: BaseException | None) -> None:
        outcome.append((info, error))
        settled.set()

    async def wait() -> _Outcome:
        await settled.wait()
        return outcome.pop()

    return _mailbox_in_trio(), settle, wait
