"""The exceptions: their families, their attributes, and that they travel."""

from __future__ import annotations

import copy
import pickle
import socket
from typing import Any

import pytest

import skypostal
from skypostal import Client, errors
from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, USER_CODE, Sandbox

ERRORS = [
    errors.SkyPostalError("m", delivery="unknown", attempts=3),
    errors.ValidationError("m", field="customer_gender"),
    errors.ConfigurationError("m", option="proxy", delivery="not_sent"),
    errors.ConnectError("m", delivery="not_sent", attempts=3),
    errors.TlsError("m", delivery="not_sent", attempts=1),
    errors.ConnectionLostError("m", attempts=2),
    errors.RequestTimeoutError("m", attempts=1),
    errors.StatusError("m", status=429, body="b", retry_after=1.5, delivery="rejected"),
    errors.RefusedError("m", description="d", location="l", system_error=True),
    errors.ResponseError("m", body="b"),
    errors.InternalError("m"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_travels_whole(error: errors.SkyPostalError) -> None:
    pickled = [pickle.dumps(error, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for twin in (*map(pickle.loads, pickled), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error) and twin == error and hash(twin) == hash(error)
        assert vars(twin) == vars(error) and str(twin) == str(error) == "m"
    changed = copy.copy(error)
    changed.attempts += 1
    assert changed != error and error != "m"


def test_errors_of_two_classes_are_not_equal() -> None:
    assert errors.ConnectError("m") != errors.TlsError("m") != errors.InternalError("m")
    assert errors.InternalError("m") != errors.InternalError("n")


@pytest.mark.parametrize(
    ("error", "attributes"),
    [
        (ERRORS[0], {"delivery": "unknown", "attempts": 3, "message": "m"}),
        (ERRORS[1], {"field": "customer_gender", "delivery": "not_sent", "attempts": 0}),
        (ERRORS[2], {"option": "proxy", "message": "m"}),
        (ERRORS[7], {"status": 429, "body": "b", "retry_after": 1.5, "delivery": "rejected"}),
        (ERRORS[8], {"description": "d", "location": "l", "system_error": True}),
        (ERRORS[9], {"body": "b"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_has_what_it_was_made_with(
    error: errors.SkyPostalError, attributes: dict[str, object]
) -> None:
    assert {name: getattr(error, name) for name in attributes} == attributes


# Never renamed: programs compare them, and the journals and reports of `skypostal bulk` hold them.
KINDS = {
    errors.ValidationError: "invalid_field",
    errors.ConfigurationError: "configuration",
    errors.ConnectError: "connect",
    errors.TlsError: "tls",
    errors.ConnectionLostError: "lost",
    errors.RequestTimeoutError: "timeout",
    errors.StatusError: "status",
    errors.RefusedError: "refused",
    errors.ResponseError: "response",
    errors.InternalError: "internal",
}


@pytest.mark.parametrize("error", ERRORS[1:], ids=lambda error: type(error).__name__)
def test_the_kind_of_an_error_is_one_word_for_each_class(error: errors.SkyPostalError) -> None:
    assert error.kind == KINDS[type(error)]
    inherited = type("Inherited", (type(error),), {})("m")
    assert inherited.kind == error.kind
    assert "kind" not in vars(error)


def test_a_refusal_for_a_test_double_says_of_delivery_what_a_real_one_would() -> None:
    assert errors.RefusedError().delivery == "rejected"
    assert errors.RefusedError(system_error=True).delivery == "unknown"
    assert errors.RefusedError(delivery="unknown").delivery == "unknown"
    assert errors.StatusError(status=503).delivery == "unknown"


def test_every_error_is_exported_and_differs_from_every_other() -> None:
    classes = {type(error) for error in ERRORS}
    named = {value for value in vars(skypostal).values() if isinstance(value, type)}
    assert {cls for cls in named if issubclass(cls, errors.SkyPostalError)} == classes
    assert {cls.__name__ for cls in classes} <= set(skypostal.__all__)
    for cls in classes - {errors.SkyPostalError, errors.TlsError}:
        assert [parent for parent in classes if issubclass(cls, parent) and parent is not cls] == [
            errors.SkyPostalError
        ]


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (errors.ValidationError, ValueError),
        (errors.ConfigurationError, ValueError),
        (errors.ConnectError, ConnectionError),
        (errors.TlsError, errors.ConnectError),
        (errors.ConnectionLostError, ConnectionError),
        (errors.RequestTimeoutError, TimeoutError),
    ],
)
def test_an_error_is_also_of_the_standard_librarys_kind(
    error: type[Exception], base: type[Exception]
) -> None:
    assert issubclass(error, base) and issubclass(error, errors.SkyPostalError)


def test_an_error_of_a_call_carries_what_its_text_says(sandbox: Sandbox) -> None:
    options: Any = {"base_url": sandbox.url, "user_code": USER_CODE, "app_key": APP_KEY}
    who: Any = {"customer_box_id": BOX_ID, "customer_key": CUSTOMER_KEY}
    sandbox.fail_next(status=503, times=2)
    with Client(**options, max_retries=1) as client:
        with pytest.raises(errors.StatusError) as status:
            client.update_personal_info(**who)
        with pytest.raises(errors.ValidationError) as invalid:
            client.update_personal_info(**{**who, "customer_gender": "X"})
    with pytest.raises(errors.ConfigurationError) as missing:
        Client(base_url=sandbox.url, user_code=1).update_personal_info(**who)
    with pytest.raises(errors.ConfigurationError) as unusable:
        Client(**{**options, "timeout": 0})
    with pytest.raises(errors.ConfigurationError) as closed:
        client.update_personal_info(**who)
    assert (status.value.kind, status.value.message) == (
        "status",
        "the service responded with HTTP 503",
    )
    assert str(status.value) == f"{status.value.message} (delivery unknown, 2 attempts)"
    assert invalid.value.field == "customer_gender"
    assert invalid.value.message == str(invalid.value)
    options_named = [error.value.option for error in (missing, unusable, closed)]
    assert options_named == ["app_key", "timeout", "client"]
    for caught in (status, invalid, missing, unusable, closed):
        twin = pickle.loads(pickle.dumps(caught.value))
        assert twin == caught.value and twin.message == caught.value.message


def test_an_error_of_a_row_has_a_kind_even_if_the_caller_ended_it() -> None:
    rows = [{"customer_box_id": BOX_ID, "customer_key": CUSTOMER_KEY}] * 2
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        outcomes = Client(base_url=url, user_code=1, app_key="k").update_many([*rows, {}])
        first = next(outcomes).error
        ended = [outcome.error for outcome in outcomes.close()]
    assert isinstance(first, errors.ValidationError) and first.kind == "invalid_field"
    assert [getattr(error, "kind", None) for error in ended] == ["cancelled"] * 2
