import datetime
import os
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, Final, Literal, Protocol, TypedDict, final

from typing_extensions import Self, Unpack

from .errors import SkyPostalError

__all__ = [
    "Attempt",
    "Client",
    "Outcome",
    "PersonalInfo",
    "BulkUpdate",
    "_EventQueue",
    "__version__",
    "update_batch_schema",
    "update_batch",
    "update_personal_info",
]

__version__: Final[str]

class _Fields(TypedDict, total=False):
    """The fields of an update, by their documented names, which the service reads case-sensitively
    (observed). None counts as not given. Where a rule is marked neither documented nor observed,
    it is this library's own."""

    user_code: int | None
    """The user code given by SkyPostal for one environment (documented): from 1 to 2**63 - 1, no
    ``bool``. Wins over the client's. Required somewhere."""
    app_key: str | None
    """The application key given by SkyPostal for one environment (documented). Secret; a text as
    the first name is. Wins over the client's. Required somewhere."""
    customer_box_id: int | None
    """The customer's box, obtained by registration or login (documented): from 1 to 2**63 - 1, no
    ``bool``. Required."""
    customer_key: str | None
    """The customer's key, obtained by registration or login; another one after the customer's
    e-mail address was changed (documented). Secret; a text as the first name is. Required."""
    customer_first_name: str | None
    """The new first name: not empty and not only white space, no control character, no half of a
    surrogate pair, at most 8192 UTF-16 units (observed: longer ones are refused). All other
    Unicode arrives unchanged. Whether an empty text would clear a field is documented nowhere.

    A whole request has at most 65536 bytes (observed); the error names its longest text."""
    customer_last_name: str | None
    """The new last name: as the first name."""
    customer_identity_number: str | None
    """The new identity number: as the first name."""
    customer_tax_number: str | int | Decimal | None
    """The new tax number, numeric (documented): digits with an optional fraction, no sign, at most
    28 digits; as a ``str`` no exponent. Every digit is sent, ``123.450`` too (observed: the
    decimals are kept); leading zeros are dropped. No ``float``, which would change digits."""
    customer_birth_date: str | datetime.date | None
    """The new birth date, a real day: ``YYYY-MM-DD`` (documented) or a ``date``, from 1753-01-01
    to today, wherever on Earth today is latest. No ``datetime``: its day depends on a time zone."""
    customer_gender: Literal["M", "F"] | None
    """The new gender: ``"M"`` or ``"F"`` (documented)."""

class _Probe(TypedDict):
    status: int
    """The HTTP status; the service answers 405 to anything but an update (observed)."""
    date: float | None
    """The clock of whoever answered, as ``time.time()`` counts, to the second; None if not told."""
    elapsed: float
    """Seconds from the name look-up to the head of the answer."""
    proxy: str | None
    """The host and the port of the proxy that was used, if one was."""
    tls: bool
    """Whether the connection was secured by TLS."""

def update_personal_info(
    *, timeout: float | None = None, **fields: Unpack[_Fields]
) -> PersonalInfo:
    """Changes a customer's personal information and waits for the answer, the record as it then is.

    A field that is not given, or None, is not sent and keeps its value; one, some or all may change
    in one call (documented). With no change at all the current record comes back.

    ``user_code`` and ``app_key`` may come from ``SKYPOSTAL_USER_CODE`` and ``SKYPOSTAL_APP_KEY``;
    ``SKYPOSTAL_ENVIRONMENT`` and ``SKYPOSTAL_BASE_URL`` say where the service is. Calls that find
    the same environment variables share a client and its connections.

    timeout: seconds for the whole call, retries and waits included, more than 0 and at most 49
        days; 30 if not given.

    Any thread may call; other threads run meanwhile. On the main thread a call handles signals
    while it waits: Ctrl-C raises ``KeyboardInterrupt``, whatever else a handler raises comes out
    too. Any exception that is not ours gets the attributes ``delivery`` and ``attempts``, which
    every error has; ``delivery`` is ``"unknown"`` if the update was accepted.

    Raises, all under ``SkyPostalError``, whose ``delivery`` tells whether the customer was changed:
    ``ValidationError`` for a field (nothing is sent then), ``ConfigurationError`` for a missing
    ``user_code`` or ``app_key`` or an unusable option, ``ConnectError``, ``TlsError``,
    ``ConnectionLostError``, ``RequestTimeoutError``, ``StatusError``, ``RefusedError`` (observed:
    with status 200 too), ``ResponseError``. And ``TypeError`` for a name that is no field.
    """

class _ArrowArray(Protocol):
    """A table in one piece, as Arrow's PyCapsule interface has it."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """The capsules of its schema and of its columns."""

class _ArrowStream(Protocol):
    """A table in any number of pieces."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The capsule of its stream."""

def update_batch(
    batch: _ArrowArray | _ArrowStream,
    *,
    keep: Iterable[str] | None = None,
    concurrency: int = 8,
    rate: float | None = None,
    timeout: float | None = None,
    max_connect_failures: int = 10,
) -> Any:
    """Updates each customer of a table, and gives a table that says what became of each: in the
    same order, a row for a row.

    batch: what has the Arrow PyCapsule interface, whole in memory: a ``RecordBatch`` or ``Table``
        of pyarrow, a data frame of polars or of pandas (2.2 or newer, a nameless index is left
        out), a relation of DuckDB and so on. Its columns are named as the fields, and null is not
        given. ``user_code`` and ``customer_box_id`` are integers, the tax number is text, integers
        or decimals, the birth date text or dates, all others are text; dictionaries of them will
        do. A customer should be in it once: it is open which of two rows comes first.
    keep: columns, such as an identifier of yours, which are not sent and stand in front of the
        report as they are. Any other column that is no field is refused.
    concurrency, rate, timeout, max_connect_failures: as in ``Client.update_many``.

    A client is kept for each process, as for ``update_personal_info``, so that a worker of Dask,
    Ray or Spark may call this as it is.

    Reads and writes by pyarrow if it is there, else by polars; by polars too where it is given a
    data frame of it. Gives a ``polars.DataFrame`` then, a ``pyarrow.Table`` for one, and a
    ``pyarrow.RecordBatch`` for everything else. ``update_batch_schema`` has its columns:

    - ``customer_box_id``, as it was given;
    - ``ok``: whether the update was accepted;
    - ``delivery``: where it was not, ``"not_sent"``, ``"rejected"`` or ``"unknown"``, as
      ``SkyPostalError`` has it;
    - ``attempts``: how many were begun;
    - ``error``: what kind of thing went wrong, as ``Attempt.error`` has it, or ``"invalid_field"``
      or ``"configuration"``; ``message``: the same in one line;
    - the record after the update, as in ``PersonalInfo``, with the tax number as text.

    It holds no key. A row that fails raises nothing. If the service cannot be reached, all rows
    that were not tried say ``"not_sent"``, and nothing is raised either, so that an engine does not
    run the whole partition again. Ctrl-C raises ``KeyboardInterrupt``, whose ``report`` is the
    table as far as it came.

    Raises, before anything is sent: ``ValidationError`` for a column that is no field, that has
    another type, or is missing; ``ConfigurationError`` for a missing ``user_code`` or ``app_key``
    or an argument out of range; ``ValueError`` for a table that cannot be read and a wrong
    ``keep``; ``TypeError`` for what is no table; ``ModuleNotFoundError`` where neither
    ``skypostal[pyarrow]`` nor ``skypostal[polars]`` is installed.
    """

def update_batch_schema() -> Any:
    """The columns of what ``update_batch`` gives, behind those that it keeps: a ``pyarrow.Schema``,
    or a ``polars.Schema`` where pyarrow is not there. Engines ask for it. Sends nothing."""

@final
class Client:
    """Updates customers. Made once, and used for every call.

    Any number of threads may call at once, each on a connection of its own; connections are kept
    and used again. A client made before a fork works in the child too. It cannot be pickled or
    copied. Its repr shows no secret. As a context manager it closes itself.
    """

    def __new__(
        cls,
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
    ) -> Self:
        """Reads certificates, connects to nothing. Arguments win over the environment.

        user_code, app_key: the credentials given by SkyPostal; else ``SKYPOSTAL_USER_CODE`` and
            ``SKYPOSTAL_APP_KEY``; a call may bring its own.
        environment: ``"test"`` or ``"production"``; else ``SKYPOSTAL_ENVIRONMENT``, else test. Each
            has credentials of its own, and test's address is documented; production's was seen in
            use elsewhere.
        base_url: where the service is, without the path of the call, in place of the environment's
            address; else, if no ``environment`` is given, ``SKYPOSTAL_BASE_URL``. Plain
            ``http://`` to this machine only.
        timeout: seconds that a whole call may take, retries and waits included; then
            ``RequestTimeoutError``. More than 0, at most 49 days.
        connect_timeout: seconds that one connection may take, from name look-up to TLS; then
            ``ConnectError``. The same range.
        max_retries: how often a call may be tried again after a failed or lost connection or a
            status 408, 429, 502, 503 or 504: the same update sent twice leaves the same record
            (documented: it sets fields to values). With 0 an update is sent at most once.
        proxy: ``http://[user:password@]host:port`` or ``https://…``; wins over the environment's.
        ca_file: a PEM file of certificates to trust beside the operating system's, which
            ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` replace; else ``REQUESTS_CA_BUNDLE``, if
            trust_env.
        trust_env: whether ``HTTPS_PROXY``, ``NO_PROXY`` and their like, and
            ``REQUESTS_CA_BUNDLE``, are read; never in a program with raised privileges.
        allow_http: whether plain ``http://`` may leave this machine.
        on_attempt: called with each attempt of a call when it is over, before the wait that may
            follow, on the thread that calls; it may make a call of its own. The deadline runs on
            meanwhile. An ``Exception`` raised there goes to ``sys.unraisablehook``, so that it does
            not hide what became of the update; what is none, such as ``KeyboardInterrupt``, ends
            the call and comes out.

        Raises ``ConfigurationError`` for an option that is unusable, ``ValidationError`` for a
        malformed ``user_code`` or ``app_key``.
        """

    def update_personal_info(
        self, *, timeout: float | None = None, **fields: Unpack[_Fields]
    ) -> PersonalInfo:
        """As ``skypostal.update_personal_info``, with this client's options.

        ``user_code``, ``app_key`` and ``timeout`` win over the client's where given.
        """

    def _preview(self, **fields: Unpack[_Fields]) -> tuple[str, list[tuple[str, str]], str]: ...
    def _way(self) -> tuple[str, tuple[str, str] | None]: ...
    def _probe(self, *, timeout: float | None = None) -> _Probe:
        """Asks the service for a page in place of sending an update: by the same way, with the
        same errors, once. Sends no credentials, needs none, and changes nothing."""

    def _start_update(
        self,
        mailbox: _EventQueue,
        settle: Callable[[PersonalInfo | None, BaseException | None], None],
        timeout: float | None,
        fields: _Fields,
    ) -> _PendingCall:
        """For ``AsyncClient``: begins a call, whose outcome goes to ``settle``."""

    def update_many(
        self,
        rows: Iterable[Mapping[str, object]],
        *,
        concurrency: int = 8,
        rate: float | None = None,
        timeout: float | None = None,
        max_connect_failures: int = 10,
    ) -> BulkUpdate:
        """Updates many customers, several at once, and gives an outcome for each as it ends.

        rows: mappings of the fields' names to values, as ``update_personal_info`` has them by
            keyword. Pulled as other rows end, on the thread that iterates: at most twice
            concurrency of them are taken and not told of yet, so memory stays flat however many
            there are. What is wrong with a row is the ``error`` of its outcome, an unknown name
            too, and nothing of it is sent.
        concurrency: how many are under way at once, each on a connection of its own, 1 to 100.
            They are driven by one thread of this process, which all runs share.
        rate: how many attempts a second there are at most, retries included, 0.001 to 1,000,000;
            None for as many as the service takes.
        timeout: seconds for each row, counted from its first attempt; the client's if None.
        max_connect_failures: after so many rows in a row that found no connection no more are
            sent. Those taken already end as not tried; then ``ConnectError`` is raised.

        A row is retried as a single update is. Where the service answers 429 or 503 the whole run
        pauses, for as long as ``Retry-After`` asks but at most 300 s, and goes on slower, by and by
        up to its old rate; such a row is tried again until its timeout, unless the client's
        ``max_retries`` is 0.

        What rows itself raises, and ``TypeError`` for a row that is no mapping, is raised after the
        outcomes of the rows before. ``ConfigurationError`` for an argument out of range.
        """

    def update_batch(
        self,
        batch: _ArrowArray | _ArrowStream,
        *,
        keep: Iterable[str] | None = None,
        concurrency: int = 8,
        rate: float | None = None,
        timeout: float | None = None,
        max_connect_failures: int = 10,
    ) -> Any:
        """As ``skypostal.update_batch``, with this client's options."""

    def _start_bulk(
        self,
        mailbox: _EventQueue,
        wake: Callable[[], None],
        concurrency: int,
        rate: float | None,
        timeout: float | None,
        max_connect_failures: int,
    ) -> BulkUpdate:
        """For ``AsyncClient``: begins a run whose rows are put, and which wakes the event loop."""

    def close(self) -> None:
        """Closes the connections, from any thread and any number of times.

        Calls in flight end as they would; later ones raise ``ConfigurationError``.
        """

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class _EventQueue:
    """What the calls of one event loop have to tell it."""

    def __new__(cls) -> Self:
        """Empty."""

    def is_here(self) -> bool:
        """Whether it is this process's, and not the parent's."""

    def fileno(self) -> int:
        """Can be read when ``open`` has something to tell."""

    def drain(self) -> None:
        """Tells all that has come, on the event loop's thread."""

@final
class _PendingCall:
    """A call that was begun for an event loop."""

    def cancel(self) -> tuple[Literal["not_sent", "rejected", "unknown"], int]:
        """Ends it, and with it its connection, if it has not ended.

        Returns the delivery and the number of attempts.
        """

@final
class Outcome:
    """How one row of many ended. Made by a run. Exactly one of ``result`` and ``error`` is None."""

    __match_args__: Final = ("index", "result", "error", "attempts")
    @property
    def index(self) -> int:
        """The row's position in rows, from 0."""

    @property
    def result(self) -> PersonalInfo | None:
        """The customer's record after the update, if it was accepted."""

    @property
    def error(self) -> SkyPostalError | KeyboardInterrupt | None:
        """Why there is none. A ``KeyboardInterrupt`` for a row that was ended with the run."""

    @property
    def attempts(self) -> int:
        """How many attempts were begun; 0 where nothing was tried."""

    @property
    def delivery(self) -> Literal["not_sent", "rejected", "unknown"] | None:
        """The error's answer to "was the customer changed?"; None if the update was accepted."""

@final
class BulkUpdate:
    """The outcomes of ``Client.update_many``, each as its row ends: an iterator, and a context
    manager that closes it.

    To be iterated by one thread at a time; ``ValueError`` otherwise. Ctrl-C while it waits ends the
    run, and the ``KeyboardInterrupt`` has the outcomes of all rows that were taken and not told of
    yet, as ``outcomes``: those in flight were broken off, with ``delivery`` ``"unknown"`` if they
    may have arrived. Dropping it ends the run too. In a forked child it has nothing to tell.
    """

    def __iter__(self) -> Self: ...
    def __next__(self) -> Outcome: ...
    def close(self) -> list[Outcome]:
        """Ends the run. Gives the outcomes of the rows that were taken and not told of yet, those
        in flight among them."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def _room(self) -> int:
        """For an event loop: how many more rows it takes."""

    def _put(self, row: Mapping[str, object]) -> None:
        """Takes a row."""

    def _take(self) -> Outcome | None:
        """An outcome, if there is one; if not, the event loop will be woken."""

    def _is_empty(self) -> bool:
        """Whether all rows were told of."""

    def _end(self) -> None:
        """Raises what ended the run early, if anything did."""

@final
class Attempt:
    """One attempt of a call, when it is over: what ``on_attempt`` is given.

    Made by a call. Immutable and comparable. Holds no key, no personal data, no word of the
    service.
    """

    @property
    def number(self) -> int:
        """Its number within the call, from 1."""

    @property
    def method(self) -> str:
        """The HTTP method, ``"POST"``."""

    @property
    def url(self) -> str:
        """The address, which holds no user name, password or query."""

    @property
    def host(self) -> str:
        """The host of the address, and its port if it has one."""

    @property
    def status(self) -> int | None:
        """The HTTP status, None if none came. A refusal may have 200 (observed)."""

    @property
    def started(self) -> float:
        """When it began, as ``time.time()`` counts."""

    @property
    def elapsed(self) -> float:
        """Seconds that it took."""

    @property
    def request_bytes(self) -> int:
        """The length of the request's body."""

    @property
    def response_bytes(self) -> int:
        """How much of the answer's body came."""

    @property
    def error(
        self,
    ) -> (
        Literal[
            "connect",
            "tls",
            "lost",
            "timeout",
            "status",
            "refused",
            "response",
            "cancelled",
            "internal",
        ]
        | None
    ):
        """What kind of thing went wrong; None if the update was accepted.

        They are the kinds of ``SkyPostalError``; ``"timeout"`` is the deadline of the whole call,
        ``"cancelled"`` a call ended by a signal or a cancelled task.
        """

    @property
    def reason(self) -> str | None:
        """The same in one line, without the service's own words."""

    @property
    def retry_in(self) -> float | None:
        """Seconds until the next attempt; None if none follows."""

@final
class PersonalInfo:
    """The customer's personal information after an update, as the service reports it.

    Made by an update. Immutable, comparable, hashable, for any thread; it pickles. Each attribute
    is None where the service told nothing, or what cannot be read; ``raw`` has that too. Its repr
    shows no personal data; ``show`` and ``to_dict`` do.
    """

    __match_args__: Final = (
        "cust_id",
        "customer_first_name",
        "customer_last_name",
        "customer_identity_number",
        "customer_tax_number",
        "customer_birth_date",
        "customer_gender",
    )
    @property
    def cust_id(self) -> int | None:
        """The service's own number of the customer."""

    @property
    def customer_first_name(self) -> str | None:
        """The first name."""

    @property
    def customer_last_name(self) -> str | None:
        """The last name."""

    @property
    def customer_identity_number(self) -> str | None:
        """The identity number."""

    @property
    def customer_tax_number(self) -> int | Decimal | None:
        """The tax number, with every digit that the service sent: a ``Decimal`` where it has a
        fraction (observed: ``123.450``)."""

    @property
    def customer_birth_date(self) -> datetime.date | None:
        """The birth date, a day of the service's calendar whatever the time zone of the reader.

        None where the service says year 1, which stands for "not set" (observed).
        """

    @property
    def customer_gender(self) -> str | None:
        """The gender, ``"M"`` or ``"F"`` as documented."""

    @property
    def raw(self) -> dict[str, Any]:
        """The whole JSON object that the service sent, with the members that are not documented; a
        new one each time. Numbers are ``int`` or ``Decimal``; a value that Python cannot hold, such
        as one nested too deeply, is its JSON text.
        """

    def show(self) -> str:
        """As its repr, but with all seven attributes: personal data, so not for a log."""

    def to_dict(self) -> dict[str, Any]:
        """The seven attributes by name, without ``raw``."""
