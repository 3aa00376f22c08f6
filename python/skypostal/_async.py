"""The client for event loops: asyncio, and trio, either of them under anyio too."""

from __future__ import annotations

import sys
from _thread import _local

from ._native import Client, _Mailbox

# Importing typing would take longer than importing all the rest of this package.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Any, Literal, Optional

    from typing_extensions import Self, Unpack

    from ._native import Attempt, PersonalInfo, _Fields

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
        loop raises then, such as ``asyncio.CancelledError``; the customer may or may not have been
        changed. ``asyncio.timeout`` and ``asyncio.wait_for`` do that too. ``RuntimeError`` if it
        is begun while the interpreter shuts down: by a daemon thread, or by a function that was
        registered with ``atexit`` before the import.
        """
        mailbox, settle, outcome = _in_trio() if _is_trio() else _in_asyncio()
        call = self._client._begin(mailbox, settle, timeout, fields)
        try:
            info, error = await outcome()
        finally:
            call.cancel()
        if info is None:
            try:
                raise error or AssertionError("one of them is given")
            finally:
                del error  # it holds this frame
        return info

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


class _Thread(_local):
    """The mailbox of the event loop that runs in this thread."""

    loop: object = None
    mailbox: _Mailbox


_thread = _Thread()


def _mailbox(loop: object, call_soon: Callable[..., object]) -> _Mailbox:
    if _thread.loop is not loop:
        _thread.loop, _thread.mailbox = loop, _Mailbox(call_soon)
    return _thread.mailbox


def _in_asyncio() -> tuple[_Mailbox, _Settle, _Wait]:
    import asyncio

    loop = asyncio.get_running_loop()
    # An error is a result here: a task that is cancelled as it comes does not leave it unheard.
    future: asyncio.Future[_Outcome] = loop.create_future()

    def settle(info: PersonalInfo | None, error: BaseException | None) -> None:
        if not future.done():
            future.set_result((info, error))

    return _mailbox(loop, loop.call_soon_threadsafe), settle, lambda: future


def _is_trio() -> bool:
    """Whether this task is one of trio's; who uses trio has imported it, and so sniffio."""
    if "trio" not in sys.modules:
        return False
    import sniffio

    try:
        return sniffio.current_async_library() == "trio"
    except sniffio.AsyncLibraryNotFoundError:
        return False  # asyncio says what is missing


def _in_trio() -> tuple[_Mailbox, _Settle, _Wait]:
    import trio

    outcome: list[_Outcome] = []
    settled = trio.Event()

    def settle(info: PersonalInfo | None, error: BaseException | None) -> None:
        outcome.append((info, error))
        settled.set()

    async def wait() -> _Outcome:
        await settled.wait()
        return outcome.pop()

    token = trio.lowlevel.current_trio_token()
    return _mailbox(token, token.run_sync_soon), settle, wait
