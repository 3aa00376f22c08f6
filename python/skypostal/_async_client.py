"""The client for asyncio and trio; each of them works under anyio too."""

from __future__ import annotations

from ._event_loop import Wakeup, start_waiting
from ._native import Client

# Importing typing would take longer than importing all the rest of this package.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Any, Literal

    from typing_extensions import Never, Self, Unpack

    from ._native import Attempt, BulkUpdate, Outcome, PersonalInfo, Preview
    from ._types import Fields
    from .errors import ConfigurationError, ValidationError


class AsyncClient:
    """``Client`` for asyncio, and for trio: the same, awaited.

    Make it once, anywhere, and use it for every call, from any number of tasks, event loops and
    threads at once. One background thread, which the first call starts, drives all calls of the
    process; name look-ups take up to four more threads for a moment. At most 100 calls of one
    client are in flight at once, each on a connection of its own, which is kept for later calls.
    The other calls wait for a connection, within their timeout.

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
        user_agent: str | None = None,
        on_attempt: Callable[[Attempt], object] | None = None,
        **unknown: Never,
    ) -> None:
        """As ``Client``: reads certificates, connects to nothing, starts nothing.

        on_attempt is called on the thread of the event loop, with the context variables of the
        call, and must not block.
        """
        # Client imports it too. Tools that freeze programs see this line.
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
            user_agent=user_agent,
            on_attempt=on_attempt,
            **unknown,  # it suggests the nearest name
        )

    async def update_personal_info(
        self, *, timeout: float | None = None, **fields: Unpack[Fields]
    ) -> PersonalInfo:
        """As ``Client.update_personal_info``; ``timeout`` counts from the await.

        Cancelling the task ends the request and its connection at once, and raises what the event
        loop raises then, such as ``asyncio.CancelledError``, with the attributes ``delivery`` and
        ``attempts`` that every error has. ``asyncio.timeout`` and ``asyncio.wait_for`` do that too.
        """
        queue, future = start_waiting()
        call = self._client._start_update(queue, future, timeout, fields)
        try:
            info, error = await future
        except BaseException as ending:
            _set_delivery(ending, *call.cancel())
            raise
        if info is None:
            error = error or AssertionError("one of them is given")
            from .errors import SkyPostalError

            # What a hook raises comes before the end of the call, and may be an old exception.
            if not isinstance(error, SkyPostalError):
                _set_delivery(error, *call.cancel())
            try:
                raise error
            finally:
                del error, future  # they hold this frame
        return info

    def validate(self, **fields: Unpack[Fields]) -> list[ValidationError | ConfigurationError]:
        """As ``Client.validate``: not awaited, as it sends nothing."""
        return self._client.validate(**fields)

    def preview(self, **fields: Unpack[Fields]) -> Preview:
        """As ``Client.preview``: not awaited, as it sends nothing."""
        return self._client.preview(**fields)

    def update_many(
        self,
        rows: Iterable[Mapping[str, object]] | AsyncIterable[Mapping[str, object]],
        *,
        concurrency: int = 8,
        rate: float | None = None,
        timeout: float | None = None,
        max_connect_failures: int = 10,
        skip_empty: bool = False,
    ) -> AsyncBulkUpdate:
        """As ``Client.update_many``, for ``async for``. Call it on an event loop.

        rows may be asynchronous too. While the next row is awaited, no outcome is returned: a slow
        source delays the outcomes of the rows before.
        """
        wakeup = Wakeup()
        bulk = self._client._start_bulk(
            wakeup.queue,
            wakeup.wake,
            concurrency,
            rate,
            timeout,
            max_connect_failures,
            skip_empty,
        )
        return AsyncBulkUpdate(bulk, rows, wakeup)

    async def aclose(self) -> None:
        """Closes the connections, from any event loop and any number of times.

        Calls in flight end as they would; later ones raise ``ConfigurationError``.
        """
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
    and a context manager that closes it. One task at a time can use it.
    """

    __slots__ = ("_bulk", "_closed", "_failure", "_is_executing", "_next", "_wakeup")

    def __init__(
        self,
        bulk: BulkUpdate,
        rows: Iterable[Mapping[str, object]] | AsyncIterable[Mapping[str, object]],
        wakeup: Wakeup,
    ) -> None:
        """Only ``AsyncClient.update_many`` makes one."""
        self._bulk = bulk
        self._wakeup = wakeup
        self._next: Callable[[], Awaitable[Mapping[str, object]]] | None = _next_of(rows)
        self._failure: BaseException | None = None
        self._closed = False
        self._is_executing = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        """Returns the next outcome. Cancelling the task ends the bulk: the exception then has the
        outcomes of all submitted rows that were not returned yet, as ``outcomes``. ``ValueError``
        while another task waits for an outcome.
        """
        if self._is_executing:
            raise ValueError("update_many is already executing")
        self._is_executing = True
        try:
            return await self._next_outcome()
        finally:
            self._is_executing = False

    async def _next_outcome(self) -> Outcome:
        try:
            while True:
                await self._fill()
                outcome = self._bulk._poll()
                if outcome is not None:
                    return outcome
                if self._bulk._is_drained():
                    break
                await self._wakeup.wait()
        except BaseException as error:
            vars(error)["outcomes"] = self._cancel()
            raise
        if self._closed:
            raise StopAsyncIteration
        self._closed = True
        if self._failure is not None:
            try:
                raise self._failure
            finally:
                self._failure = None  # it holds this frame
        self._bulk._raise_stop_reason()
        raise StopAsyncIteration

    async def _fill(self) -> None:
        while self._next is not None and self._bulk._capacity():
            try:
                self._bulk._submit(await self._next())
            except StopAsyncIteration:
                self._next = None
            except Exception as error:
                # It is raised after the outcomes of the rows that came.
                self._next, self._failure = None, error

    async def aclose(self) -> list[Outcome]:
        """Ends the bulk. Returns the outcomes of all submitted rows that were not returned yet.

        Rows in flight are cancelled; their updates may have been made or not.
        """
        return self._cancel()

    def _cancel(self) -> list[Outcome]:
        self._closed, self._next, self._failure = True, None, None
        return self._bulk.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self._cancel()


def _set_delivery(ending: BaseException, delivery: str, attempts: int) -> None:
    """Sets the attributes of this package's errors on another exception."""
    vars(ending).update(delivery=delivery, attempts=attempts)


def _next_of(
    rows: Iterable[Mapping[str, object]] | AsyncIterable[Mapping[str, object]],
) -> Callable[[], Awaitable[Mapping[str, object]]]:
    """Returns the function that returns the next row, or raises StopAsyncIteration."""
    if hasattr(rows, "__aiter__"):
        return rows.__aiter__().__anext__
    source = iter(rows)

    async def next_row() -> Mapping[str, object]:
        for row in source:
            return row
        raise StopAsyncIteration

    return next_row
