"""The application key in a file that ``SKYPOSTAL_APP_KEY_FILE`` names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from documented import CUSTOMER

import skypostal
from skypostal import Client, ConfigurationError, ValidationError
from skypostal.sandbox import APP_KEY, Sandbox


@pytest.fixture
def file(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SKYPOSTAL_USER_CODE", "396")
    monkeypatch.setenv("SKYPOSTAL_BASE_URL", sandbox.url)
    path = tmp_path / "app key"
    monkeypatch.setenv("SKYPOSTAL_APP_KEY_FILE", str(path))
    return path


@pytest.mark.parametrize("text", ["{}", "{}\n", "{}\r\n", "\ufeff{}\n"])
def test_the_file_gives_the_key(file: Path, text: str) -> None:
    file.write_bytes(text.format(APP_KEY).encode())
    Client().update_personal_info(**CUSTOMER)
    skypostal.update_personal_info(**CUSTOMER)


def test_a_call_finds_the_key_that_was_written_later(file: Path) -> None:
    file.write_text("the old key")
    with pytest.raises(skypostal.RefusedError):
        skypostal.update_personal_info(**CUSTOMER)
    file.write_text(APP_KEY)
    skypostal.update_personal_info(**CUSTOMER)


@pytest.mark.parametrize("key", [APP_KEY, "dGhlIGtl/eQ==", "k" * 5000])
def test_a_key_in_place_of_a_files_name_is_not_shown(
    key: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKYPOSTAL_APP_KEY_FILE", key)
    with pytest.raises(ConfigurationError, match="the name of a file, and not the key") as caught:
        Client()
    assert key[:8] not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (None, ConfigurationError, "cannot be read from "),
        (b"", ConfigurationError, " is empty "),
        (b"\n", ConfigurationError, " is empty "),
        (b"k\xffy", ConfigurationError, " is not valid UTF-8 "),
        (b"k" * 70_000, ConfigurationError, " holds more than 64 KiB, which is no key "),
        (b" \n", ValidationError, "white space"),
        (b"a\nb", ValidationError, "control character"),
    ],
    ids=["missing", "empty", "a line break", "not UTF-8", "long", "a space", "two lines"],
)
def test_a_file_without_a_key_is_told(
    file: Path, content: bytes | None, error: type[skypostal.SkyPostalError], says: str
) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(error) as caught:
        Client()
    text = str(caught.value)
    assert text.startswith("app_key: ") and says in text and "\n" not in text
    assert text.endswith("(read from SKYPOSTAL_APP_KEY_FILE)")
    assert getattr(caught.value, "option", "app_key") == "app_key"
    Client(app_key=APP_KEY).update_personal_info(**CUSTOMER)


def test_of_two_keys_none_is_taken(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(APP_KEY)
    monkeypatch.setenv("SKYPOSTAL_APP_KEY", APP_KEY)
    with pytest.raises(ConfigurationError, match="are both set; unset one"):
        Client()
    monkeypatch.setenv("SKYPOSTAL_APP_KEY", "")
    Client().update_personal_info(**CUSTOMER)
    monkeypatch.setenv("SKYPOSTAL_APP_KEY", APP_KEY)
    monkeypatch.setenv("SKYPOSTAL_APP_KEY_FILE", "")
    assert not os.environ["SKYPOSTAL_APP_KEY_FILE"]
    Client().update_personal_info(**CUSTOMER)


def test_a_key_of_the_same_length_and_time_is_found_too(file: Path) -> None:
    file.write_text(APP_KEY[::-1])
    with pytest.raises(skypostal.RefusedError):
        skypostal.update_personal_info(**CUSTOMER)
    new = file.with_name("new key")
    new.write_text(APP_KEY)
    written = file.stat()
    os.utime(new, ns=(written.st_atime_ns, written.st_mtime_ns))  # as `cp -p` does
    new.replace(file)
    skypostal.update_personal_info(**CUSTOMER)
