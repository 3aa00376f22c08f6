"""Fixtures for the tests of programs that use skypostal. pytest loads them by itself.

    def test_a_name_is_changed(skypostal_client, skypostal_sandbox):
        skypostal_client.update_personal_info(
            customer_box_id=BOX_ID, customer_key=CUSTOMER_KEY, customer_first_name="Ana"
        )
        assert skypostal_sandbox.customers[BOX_ID]["customer_first_name"] == "Ana"

Options come from the fixtures `skypostal_sandbox_options` and `skypostal_client_options`, which a
project may define anew, and for one test from a marker, which wins:

    @pytest.mark.skypostal_sandbox(tls=True)
    @pytest.mark.skypostal_client(max_retries=0)

`-p no:skypostal` leaves all of it out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    # pytest loads this in every run, so what only some tests need is imported by the fixtures.
    from . import AsyncClient, Client
    from .sandbox import Sandbox


def pytest_configure(config: pytest.Config) -> None:
    """Makes the markers known, for `--strict-markers` and `--markers`."""
    for of in ("sandbox: options of skypostal.sandbox.Sandbox", "client: options of either client"):
        name, _, text = of.partition(": ")
        config.addinivalue_line("markers", f"skypostal_{name}(**options): {text}, for this test")


@pytest.fixture
def skypostal_sandbox_options() -> Mapping[str, Any]:
    """The arguments of each `Sandbox`; none. Define it anew to give others, also for one folder."""
    return {}


@pytest.fixture
def skypostal_client_options() -> Mapping[str, Any]:
    """The arguments of each client; none. Define it anew to give others, also for one folder."""
    return {}


@pytest.fixture
def skypostal_sandbox(
    request: pytest.FixtureRequest, skypostal_sandbox_options: Mapping[str, Any]
) -> Iterator[Sandbox]:
    """A `skypostal.sandbox.Sandbox` of the test's own, running, with the documented customer.

    A test that leaves scripted faults untaken fails at its end; `clear_faults` forgives it.
    """
    from .sandbox import Sandbox

    options = _options(request, "skypostal_sandbox", skypostal_sandbox_options)
    with Sandbox(**options) as sandbox:
        yield sandbox
        pending = sandbox.pending_faults
    if pending:
        pytest.fail(f"faults that no update has taken: {', '.join(pending)}", pytrace=False)


@pytest.fixture
def skypostal_client(
    request: pytest.FixtureRequest,
    skypostal_sandbox: Sandbox,
    skypostal_client_options: Mapping[str, Any],
) -> Iterator[Client]:
    """A `skypostal.Client` of the test's own, pointed at `skypostal_sandbox`, with its credentials.

    It retries as any client does, and unlike others reads no proxy from the environment.
    """
    from . import Client

    with Client(**_client_options(request, skypostal_sandbox, skypostal_client_options)) as client:
        yield client


@pytest.fixture
def skypostal_async_client(
    request: pytest.FixtureRequest,
    skypostal_sandbox: Sandbox,
    skypostal_client_options: Mapping[str, Any],
) -> Iterator[AsyncClient]:
    """The same, a `skypostal.AsyncClient`. It serves any event loop that a test runs."""
    from . import AsyncClient

    client = AsyncClient(**_client_options(request, skypostal_sandbox, skypostal_client_options))
    yield client
    client._client.close()  # what its own, awaited, does


@pytest.fixture
def skypostal_environment(skypostal_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points the environment at `skypostal_sandbox`, for code that makes its own client.

    Sets `SKYPOSTAL_BASE_URL`, `SKYPOSTAL_USER_CODE` and `SKYPOSTAL_APP_KEY`, unsets
    `SKYPOSTAL_APP_KEY_FILE` and `SKYPOSTAL_ENVIRONMENT`, exempts the sandbox from proxies, and with
    TLS sets `REQUESTS_CA_BUNDLE`. Child processes inherit it.
    """
    from .sandbox import APP_KEY, USER_CODE

    monkeypatch.setenv("SKYPOSTAL_BASE_URL", skypostal_sandbox.url)
    monkeypatch.setenv("SKYPOSTAL_USER_CODE", str(USER_CODE))
    monkeypatch.setenv("SKYPOSTAL_APP_KEY", APP_KEY)
    for name in ("SKYPOSTAL_APP_KEY_FILE", "SKYPOSTAL_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    # To Windows, both names are the same one.
    for name in ("NO_PROXY",) if sys.platform == "win32" else ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, str(urlsplit(skypostal_sandbox.url).hostname), prepend=",")
    if skypostal_sandbox.ca_file is not None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(skypostal_sandbox.ca_file))


def _client_options(
    request: pytest.FixtureRequest, sandbox: Sandbox, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of either client: what the test says, over what leads to the sandbox."""
    from .sandbox import APP_KEY, USER_CODE

    return {
        "base_url": sandbox.url,
        "ca_file": sandbox.ca_file,
        "user_code": USER_CODE,
        "app_key": APP_KEY,
        "trust_env": False,
        **_options(request, "skypostal_client", options),
    }


def _options(
    request: pytest.FixtureRequest, marker: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The options with those of the test's markers over them, the nearest marker last."""
    merged = dict(options)
    for mark in reversed(list(request.node.iter_markers(marker))):
        if mark.args:
            raise TypeError(f"the marker {marker} takes options by name only")
        merged.update(mark.kwargs)
    return merged
