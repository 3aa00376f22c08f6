"""Fixtures of the trials of Windows: the library of each platform that was built, and its Wine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import wine32
from released import c_archives
from windows_library import WindowsLibrary
from wine import Wine

from release.platforms import PLATFORMS
from skypostal.sandbox import Sandbox

WINDOWS = [name for name in c_archives() if PLATFORMS[name].is_windows]


@pytest.fixture(scope="session")
def checks() -> Iterator[list[int]]:
    """The numbers of checks that programs made, of which the sum is printed in the end."""
    numbers: list[int] = []
    yield numbers
    print(f"\n{sum(numbers)} checks of C programs passed under Wine")


@pytest.fixture(scope="session", params=WINDOWS)
def windows(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WindowsLibrary]:
    platform = PLATFORMS[request.param]
    folder = tmp_path_factory.mktemp(platform.name)
    is_64_bit = platform.processor == "x86_64"
    processor, launcher = ("x86_64", ()) if is_64_bit else ("x86", wine32.launcher())
    with Wine(folder / "prefix", processor=processor, launcher=launcher) as wine:
        yield WindowsLibrary(platform, c_archives()[platform.name], folder / "archive", wine)


@pytest.fixture
def patient() -> Iterator[Sandbox]:
    """A sandbox that closes no connection."""
    with Sandbox(max_requests=100_000) as sandbox:
        yield sandbox
