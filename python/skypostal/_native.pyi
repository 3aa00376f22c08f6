import datetime
import os
from decimal import Decimal
from types import TracebackType
from typing import Any, Final, Literal, TypedDict, final

from typing_extensions import Self, Unpack

__all__ = ["Client", "PersonalInfo", "__version__", "update_personal_info"]

__version__: Final[str]

class _Fields(TypedDict, total=False):
    user_code: int | None
    """The user code given by SkyPostal: positive. Wins over the client's."""
    app_key: str | None
    """The application key given by SkyPostal. Secret. Wins over the client's."""
    customer_box_id: int | None
    """The customer's box, obtained by registration or login: positive. Required."""
    customer_key: str | None
    """The customer's key, obtained by registration or login. Secret. Required.

    It changes when the customer's e-mail address does (documented).
    """
    customer_first_name: str | None
    """The new first name: not blank, no control characters, at most 8192 UTF-16 units (observed:
    the service refuses longer texts)."""
    customer_last_name: str | None
    """The new last name: as the first name."""
    customer_identity_number: str | None
    """The new identity number: as the first name."""
    customer_tax_number: str | int | Decimal | None
    """The new tax number (documented: numeric): digits with an optional fraction, no sign, no
    exponent, at most 28 digits. Every digit is sent; leading zeros are dropped."""
    customer_birth_date: str | datetime.date | None
    """The new birth date: ``YYYY-MM-DD`` (documented), from 1753-01-01 to today; not a
    ``datetime``, whose day depends on a time zone."""
    customer_gender: Literal["M", "F"] | None
    """The new gender: ``"M"`` or ``"F"`` (documented)."""

def update_personal_info(
    *, timeout: float | None = None, **fields: Unpack[_Fields]
) -> PersonalInfo:
    """Changes a customer's personal information, and waits for the answer.

    A field that is not given, or ``None``, is not sent and keeps its value (documented).

    ``user_code`` and ``app_key`` may come from ``SKYPOSTAL_USER_CODE`` and ``SKYPOSTAL_APP_KEY``;
    ``SKYPOSTAL_ENVIRONMENT`` and ``SKYPOSTAL_BASE_URL`` say where the service is. Calls with the
    same environment share a client and its connections. Any thread may call; other threads go on
    meanwhile.

    ``timeout`` bounds the whole call, retries and waits included, in seconds: 30 if not given.

    Raises a ``SkyPostalError``, whose ``delivery`` tells whether the customer may have been
    changed; a ``TypeError`` for a name that is no field.
    """

@final
class Client:
    """Updates customers. Made once, and used for every call.

    Any number of threads may call at once. A client made before a fork works in the child too. It
    keeps connections, so it cannot be pickled.
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
    ) -> Self:
        """Reads certificates, connects to nothing. Arguments win over the environment.

        user_code, app_key: the credentials given by SkyPostal; else ``SKYPOSTAL_USER_CODE`` and
            ``SKYPOSTAL_APP_KEY``; a call may bring its own.
        environment: ``"test"`` or ``"production"``; else ``SKYPOSTAL_ENVIRONMENT``, else test. Each
            has credentials of its own (documented).
        base_url: where the service is, in place of the environment's address; else
            ``SKYPOSTAL_BASE_URL``. Plain ``http://`` to this machine only.
        timeout: seconds that a whole call may take, retries and waits included.
        connect_timeout: seconds that one connection may take, from name look-up to TLS.
        max_retries: how often a call may be tried again; with 0 an update is sent at most once.
        proxy: ``http://[user:password@]host:port``.
        ca_file: a PEM file of certificates to trust beside the operating system's; else
            ``REQUESTS_CA_BUNDLE``, if trust_env.
        trust_env: whether ``HTTPS_PROXY``, ``NO_PROXY`` and their like, and
            ``REQUESTS_CA_BUNDLE``, are read.
        allow_http: whether plain ``http://`` may leave this machine.

        Raises ``ConfigurationError`` for an option that is unusable, ``ValidationError`` for a
        malformed ``user_code`` or ``app_key``.
        """

    def update_personal_info(
        self, *, timeout: float | None = None, **fields: Unpack[_Fields]
    ) -> PersonalInfo:
        """As ``skypostal.update_personal_info``, with this client's options."""

    def close(self) -> None:
        """Closes the connections. Calls in flight end as they would; later ones fail."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class PersonalInfo:
    """The customer's personal information after an update, as the service reports it.

    Immutable and comparable. Each attribute is ``None`` where the service did not tell, or told
    what cannot be read. Its repr shows no personal data; ``to_dict`` does.
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
        """The tax number, with every digit that the service sent."""

    @property
    def customer_birth_date(self) -> datetime.date | None:
        """The birth date, a day of the service's calendar whatever the time zone of the reader."""

    @property
    def customer_gender(self) -> str | None:
        """The gender, ``"M"`` or ``"F"`` as documented."""

    @property
    def raw(self) -> dict[str, Any]:
        """The whole JSON object that the service sent; a new one each time."""

    def to_dict(self) -> dict[str, Any]:
        """The seven attributes by name, without ``raw``."""
