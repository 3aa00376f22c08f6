"""The exceptions: their families, their attributes, and that they travel."""

from __future__ import annotations

import copy
import pickle

import pytest

from skypostal import errors

ERRORS = [
    errors.SkyPostalError("m", delivery="unknown", attempts=3),
    errors.ValidationError("m", field="customer_gender"),
    errors.ConfigurationError("m", delivery="not_sent"),
    errors.ConnectError("m", delivery="not_sent", attempts=3),
    errors.TlsError("m", delivery="not_sent", attempts=1),
    errors.ConnectionLostError("m", attempts=2),
    errors.RequestTimeoutError("m", attempts=1),
    errors.StatusError("m", status=503, body="b", retry_after=1.5, delivery="rejected"),
    errors.RefusedError("m", description="d", location="l", system_error=True),
    errors.ResponseError("m", body="b"),
    errors.InternalError("m"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_travels_whole(error: errors.SkyPostalError) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error) and twin == error and hash(twin) == hash(error)
        assert vars(twin) == vars(error) and str(twin) == str(error) == "m"
    changed = copy.copy(error)
    changed.attempts += 1
    assert changed != error and error != "m"


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
