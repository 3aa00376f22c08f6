import datetime
import os
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, Final, Literal, final

from typing_extensions import Self, Unpack

from ._types import ArrowArray, ArrowStream, Fields, Probe, _AttemptError, _Delivery
from .errors import ConfigurationError, SkyPostalError, ValidationError

__all__ = [
    "Attempt",
    "Client",
    "Outcome",
    "PersonalInfo",
    "Preview",
    "BulkUpdate",
    "_EventQueue",
    "_app_key",
    "_nearest",
    "_unknown_field",
    "__version__",
    "update_batch_schema",
    "update_batch",
    "update_personal_info",
]

__version__: Final[str]

def update_personal_info(*, timeout: float | None = None, **fields: Unpack[Fields]) -> PersonalInfo:
    """Changes a customer's personal information and returns the record after the change.

    A field that is not given, or None, is not sent and keeps its value; one, some or all may change
    in one call (documented). With no change at all the current record comes back.

    ``user_code`` and ``app_key`` may come from ``SKYPOSTAL_USER_CODE`` and ``SKYPOSTAL_APP_KEY``;
    ``SKYPOSTAL_ENVIRONMENT`` and ``SKYPOSTAL_BASE_URL`` say where the service is. Calls that find
    the same environment variables share a client and its connections.

    timeout: seconds for the whole call, retries and waits included, more than 0 and at most 49
        days; 30 if not given.

    Any thread may call; other threads run meanwhile. On the main thread a call handles signals
    while it waits: Ctrl-C raises ``KeyboardInterrupt``, and any other exception of a handler is
    raised too. An exception of another class gets the attributes ``delivery`` and ``attempts``,
    which every error has; ``delivery`` is ``"unknown"`` if the update was accepted.

    Raises, all under ``SkyPostalError``, whose ``delivery`` says whether the customer was changed:
    ``ValidationError`` for a field (nothing is sent then), ``ConfigurationError`` for a missing
    ``user_code`` or ``app_key`` or an unusable option, ``ConnectError``, ``TlsError``,
    ``ConnectionLostError``, ``RequestTimeoutError``, ``StatusError``, ``RefusedError`` (observed:
    with status 200 too), ``ResponseError``. And ``TypeError`` for a name that is no field."""

def update_batch(
    batch: ArrowArray | ArrowStream,
    *,
    keep: Iterable[str] | None = None,
    concurrency: int = 8,
    rate: float | None = None,
    timeout: float | None = None,
    max_connect_failures: int = 10,
    skip_empty: bool = False,
) -> Any:
    """Updates each customer of a table, and returns a table of the outcomes: one row for each, in
    the same order.

    batch: what has the Arrow PyCapsule interface, whole in memory: a ``RecordBatch`` or ``Table``
        of pyarrow, a data frame of polars or of pandas (2.2 or newer, a nameless index is left
        out), a relation of DuckDB and so on. Its columns are named as the fields, and null is not
        given. ``user_code`` and ``customer_box_id`` are integers, the tax number is text, integers
        or decimals, the birth date text or dates, all others are text; dictionaries of them are
        taken too, and a column of nothing but null whatever its type. A text that is not UTF-8
        fails its row. If a customer has two rows, either update may come last.
    keep: columns, such as an identifier of yours, which are not sent and stand in front of the
        report as they are. Any other column that is no field is refused.
    concurrency, rate, timeout, max_connect_failures, skip_empty: as in ``Client.update_many``.

    Each process keeps a client, as for ``update_personal_info``, so that a worker of Dask, Ray or
    Spark can call this function as it is.

    Reads and writes by pyarrow if it is installed, else by polars; a data frame of polars by polars
    alone. Returns a ``polars.DataFrame`` from polars, a ``pyarrow.Table`` for a ``pyarrow.Table``,
    and a ``pyarrow.RecordBatch`` for everything else. ``update_batch_schema`` has its columns:

    - ``customer_box_id``, as it was given;
    - ``ok``: whether the update was accepted;
    - ``delivery``: where it was not, ``"not_sent"``, ``"rejected"`` or ``"unknown"``, as
      ``SkyPostalError`` has it;
    - ``attempts``: the number of attempts that were started;
    - ``error``: the kind of error, as ``SkyPostalError.kind`` has it, or ``"cancelled"``;
      ``message``: the error in one line;
    - the record after the update, as in ``PersonalInfo``, with the tax number as text.

    It holds no key. A row that fails raises nothing. If the service cannot be reached, all rows
    that were not tried have ``"not_sent"``, and nothing is raised either, so that an engine does
    not run the whole partition again. Ctrl-C raises ``KeyboardInterrupt``, whose ``report`` is the
    table with the outcomes so far.

    Raises, before anything is sent: ``ValidationError`` for a column that is no field, that has
    another type, or is missing; ``ConfigurationError`` for a missing ``user_code`` or ``app_key``
    or an argument out of range; ``ValueError`` for a table that cannot be read and a wrong
    ``keep``; ``TypeError`` for what is no table; ``ModuleNotFoundError`` where neither
    ``skypostal[pyarrow]`` nor ``skypostal[polars]`` is installed."""

def update_batch_schema() -> Any:
    """Returns the columns of the table that ``update_batch`` returns, without those that it keeps:
    a ``pyarrow.Schema``, or a ``polars.Schema`` if pyarrow is not installed. Engines need it. Sends
    nothing."""

def _app_key() -> str | None: ...
def _nearest(word: str, names: Iterable[str]) -> str | None:
    """Returns the name that a misspelt word is nearest to, if one is near."""

def _unknown_field(name: str) -> ValidationError:
    """Returns the error of a column whose name is no field's."""

@final
class Client:
    """Updates customers. Make it once, and use it for every call.

    Any number of threads may call at once, each on a connection of its own; connections are kept
    for later calls. A client made before a fork works in the child too. It cannot be pickled or
    copied. Its repr shows no secret. As a context manager it closes itself.

    Making one reads certificates and connects to nothing. Arguments win over the environment.

    user_code, app_key: the credentials given by SkyPostal; else ``SKYPOSTAL_USER_CODE`` and
        ``SKYPOSTAL_APP_KEY``, or the file that ``SKYPOSTAL_APP_KEY_FILE`` names, without the
        line break at its end; a call may bring its own.
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
        (documented: it sets fields to values). With 0 an update is sent at most once. A client has
        50 retries in all, and ten accepted updates give one back.
    proxy: ``http://[user:password@]host:port`` or ``https://…``; wins over the environment's.
    ca_file: a PEM file of certificates, or a folder of them, to trust beside the operating
        system's, which ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` replace; else
        ``REQUESTS_CA_BUNDLE``, if trust_env.
    trust_env: whether ``HTTPS_PROXY``, ``NO_PROXY`` and their like, the system's proxy, and
        ``REQUESTS_CA_BUNDLE`` are read; never in a program with raised privileges.
    allow_http: whether plain ``http://`` may leave this machine.
    user_agent: the name of your program, such as ``"shop/1.2"``, which follows this library's
        in the header ``User-Agent``: 1 to 256 characters of printable ASCII.
    on_attempt: called with each attempt of a call when it is over, before the wait that may
        follow, on the thread that calls; it may make a call of its own. The deadline runs on
        meanwhile. An ``Exception`` of it goes to ``sys.unraisablehook``, so that it does not
        hide the outcome of the update; any other exception, such as ``KeyboardInterrupt``, ends
        the call and is raised.

    Raises ``ConfigurationError`` for an option that is unusable, ``ValidationError`` for a
    malformed ``user_code`` or ``app_key``."""

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
        user_agent: str | None = None,
        on_attempt: Callable[[Attempt], object] | None = None,
    ) -> Self: ...
    def update_personal_info(
        self, *, timeout: float | None = None, **fields: Unpack[Fields]
    ) -> PersonalInfo:
        """As ``skypostal.update_personal_info``, with this client's options, over which
        ``user_code``, ``app_key`` and ``timeout`` win where they are given."""

    def validate(self, **fields: Unpack[Fields]) -> list[ValidationError | ConfigurationError]:
        """Returns every problem for which ``update_personal_info`` would send nothing; an empty
        list if there is none. Sends nothing itself.

        A ``ValidationError`` for each bad value and for a missing ``customer_box_id`` or
        ``customer_key``, and for a request that is too long; a ``ConfigurationError`` for a
        ``user_code`` or ``app_key`` that neither the client nor the call has, as no field of the
        customer can correct that. The first one is what a call would raise.

        Raises ``TypeError`` for a name that is no field."""

    def preview(self, **fields: Unpack[Fields]) -> Preview:
        """Returns the request that ``update_personal_info`` would send, with the keys hidden. Sends
        nothing. Raises what a call raises before it sends anything."""

    def _route(self) -> tuple[str, str | None, dict[str, str]]: ...
    def _environment(self) -> str | None: ...
    def _probe(self, *, timeout: float | None = None) -> Probe: ...
    def _start_update(
        self,
        queue: _EventQueue,
        future: object,
        timeout: float | None,
        fields: Fields,
    ) -> _PendingCall: ...
    def update_many(
        self,
        rows: Iterable[Mapping[str, object]],
        *,
        concurrency: int = 8,
        rate: float | None = None,
        timeout: float | None = None,
        max_connect_failures: int = 10,
        skip_empty: bool = False,
    ) -> BulkUpdate:
        """Updates many customers, several at once, and returns an outcome for each as it ends.

        rows: mappings of the fields' names to values, as ``update_personal_info`` has them by
            keyword. The thread that iterates takes the next row when another one has ended: at most
            twice ``concurrency`` rows are held in memory, however many there are. A row with a bad
            value or an unknown name is not sent, and the ``error`` of its outcome says why; so is
            one of ``csv.DictReader`` with more cells than the header, which are under None.
        concurrency: the number of rows in flight, each on a connection of its own, 1 to 100. One
            background thread of this process drives the rows of every bulk.
        rate: the most attempts a second, retries included, and a tenth more after a delay: 0.001 to
            1,000,000; None for as many as the service takes.
        timeout: seconds for each row, counted from its first attempt; the client's if None.
        max_connect_failures: the rows in succession without a connection after which no more are
            sent. The other submitted rows end as not tried; then ``ConnectError`` is raised.
        skip_empty: whether empty texts and pandas' NaN, ``NA`` and ``NaT`` are left out as None is.

        A row is retried as a single update is. After a 429 or 503 the whole bulk pauses, for as
        long as ``Retry-After`` asks but at most 300 s. It continues more slowly, and climbs back to
        its old rate. Such a row is retried until its timeout, unless ``max_retries`` is 0.

        An exception of rows, and the ``TypeError`` for a row that is no mapping, is raised after
        the outcomes of the rows before. ``ConfigurationError`` for an argument out of range."""

    def update_batch(
        self,
        batch: ArrowArray | ArrowStream,
        *,
        keep: Iterable[str] | None = None,
        concurrency: int = 8,
        rate: float | None = None,
        timeout: float | None = None,
        max_connect_failures: int = 10,
        skip_empty: bool = False,
    ) -> Any:
        """As ``skypostal.update_batch``, with this client's options."""

    def _start_bulk(
        self,
        queue: _EventQueue,
        wake: Callable[[], None],
        concurrency: int,
        rate: float | None,
        timeout: float | None,
        max_connect_failures: int,
        skip_empty: bool,
    ) -> BulkUpdate: ...
    def close(self) -> None:
        """Closes the connections, from any thread and any number of times. Calls in flight end as
        they would; later ones raise ``ConfigurationError``."""

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
    """The events of one event loop, from the background thread."""

    def __new__(cls) -> Self: ...
    def is_of_this_process(self) -> bool:
        """Returns whether this process made it, and not its parent."""

    def fileno(self) -> int:
        """Returns a descriptor that can be read when there are events."""

    def drain(self) -> None:
        """Delivers every event, on the event loop's thread."""

@final
class _PendingCall:
    def cancel(self) -> tuple[_Delivery, int]: ...

@final
class Outcome:
    """The outcome of one row of a bulk. Exactly one of ``result`` and ``error`` is None."""

    __match_args__: Final = ("index", "result", "error", "attempts")
    @property
    def index(self) -> int:
        """The row's position in rows, from 0."""

    @property
    def result(self) -> PersonalInfo | None:
        """The customer's record after the update, if it was accepted."""

    @property
    def error(self) -> SkyPostalError | KeyboardInterrupt | None:
        """The error, if the update was not accepted. A row that was cancelled with the bulk has a
        ``KeyboardInterrupt``, whose ``kind`` is ``"cancelled"``."""

    @property
    def attempts(self) -> int:
        """The number of attempts that were started; 0 if nothing was tried."""

    @property
    def delivery(self) -> _Delivery | None:
        """The ``delivery`` of the error; None if the update was accepted."""

@final
class BulkUpdate:
    """The outcomes of ``Client.update_many``, each as its row ends: an iterator, and a context
    manager that closes it.

    One thread at a time can iterate; another one gets a ``ValueError``. Ctrl-C while it waits ends
    the bulk, and the ``KeyboardInterrupt`` has the outcomes of all submitted rows that were not
    returned yet, as ``outcomes``. Rows in flight are cancelled, with ``delivery`` ``"unknown"`` if
    they may have arrived. Dropping the iterator ends the bulk too. A forked child cannot use it.
    """

    def __iter__(self) -> Self: ...
    def __next__(self) -> Outcome: ...
    def close(self) -> list[Outcome]:
        """Ends the bulk. Returns the outcomes of all submitted rows that were not returned yet,
        those in flight among them."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def _capacity(self) -> int: ...
    def _submit(self, row: Mapping[str, object]) -> None: ...
    def _poll(self) -> Outcome | None: ...
    def _is_drained(self) -> bool: ...
    def _raise_stop_reason(self) -> None: ...

@final
class Attempt:
    """One attempt of a call that has ended: the argument of ``on_attempt``.

    Immutable and comparable. Holds no key, no personal data, and of what the service sent its
    ``response_headers`` alone."""

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
        """The HTTP status, None if no response came. A refusal may have 200 (observed)."""

    @property
    def response_headers(self) -> dict[str, str]:
        """The headers that ``SkyPostalError.response_headers`` has, of an accepted attempt too."""

    @property
    def started(self) -> float:
        """The start, as ``time.time()`` counts."""

    @property
    def elapsed(self) -> float:
        """The seconds that it took."""

    @property
    def request_bytes(self) -> int:
        """The length of the request's body."""

    @property
    def response_bytes(self) -> int:
        """The bytes of the response's body that came."""

    @property
    def error(self) -> _AttemptError | None:
        """The kind of error; None if the update was accepted.

        The words are those of ``SkyPostalError.kind``; ``"timeout"`` is the deadline of the whole
        call, ``"cancelled"`` a call ended by a signal or a cancelled task."""

    @property
    def reason(self) -> str | None:
        """The error in one line, without the service's own words."""

    @property
    def retry_in(self) -> float | None:
        """The seconds until the next attempt; None if none follows."""

    def _log_line(self) -> str: ...
    def _retry_log_line(self) -> str | None: ...

@final
class PersonalInfo:
    """The customer's personal information after an update, as the service reports it.

    Immutable, comparable, hashable, for any thread; it pickles. An attribute is None if the service
    sent no value, or one that only ``raw`` can show. The repr shows no personal data."""

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
        """The birth date, a day of the service's calendar whatever the reader's time zone; None if
        the service says year 1, which stands for "not set" (observed)."""

    @property
    def customer_gender(self) -> str | None:
        """The gender, ``"M"`` or ``"F"`` as documented."""

    @property
    def raw(self) -> dict[str, Any]:
        """The whole JSON object that the service sent, with the members that are not documented; a
        new one each time. Numbers are ``int`` or ``Decimal``. A value that Python cannot hold is
        its JSON text, and so is one that is nested more than 200 levels deep."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the seven attributes by name, without ``raw``."""

    def to_json(self) -> str:
        """Returns the same as JSON: the date as ``YYYY-MM-DD``, the tax number with every digit."""

    @staticmethod
    def _from_raw(raw: str) -> PersonalInfo: ...

@final
class Preview:
    """A request that was not sent. Immutable, comparable. The repr shows no personal data."""

    @property
    def method(self) -> str:
        """The HTTP method, ``"POST"``."""

    @property
    def url(self) -> str:
        """The address of the call."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers, by their lower-case names."""

    @property
    def body(self) -> str:
        """The JSON, with ``***`` in place of the keys. Holds personal data."""
