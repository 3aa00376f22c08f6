"""The exceptions: their families, their attributes, and that they travel."""

from __future__ import annotations

import copy
import pickle

import pytest

import skypostal
from skypostal import errors

ERRORS = [
    errors.SkyPostalError("m", delivery="unknown", attempts=3),
    errors.ValidationError("m", field="customer_gender"),
    errors.ConfigurationError("m", delivery="not_sent"),
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
        (ERRORS[0], {"delivery": "unknown", "attempts": 3}),
        (ERRORS[1], {"field": "customer_gender", "delivery": "not_sent", "attempts": 0}),
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


def test_a_refusal_for_a_test_double_says_of_delivery_what_a_real_one_would() -> None:
    assert errors.RefusedError().delivery == "rejected"
    assert errors.RefusedError(system_error=True).delivery == "unknown"
    assert errors.RefusedError(delivery="unknown").delivery == "unknown"
    assert errors.StatusError(status=503).delivery == "unknown"


def test_every_error_is_at_hand_and_told_from_every_other() -> None:
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
