"""The proxy of Windows' settings. Other systems have none of these tests."""

from __future__ import annotations

import contextlib
import sys

if sys.platform == "win32":
    import winreg
    from collections.abc import Callable, Iterator

    import pytest

    from skypostal import Client

    SETTINGS = r"Software\Microsoft\Windows\CurrentVersion\Internet Settings"
    NAMES = ("ProxyEnable", "ProxyServer", "ProxyOverride")
    URL = "https://box.service.example"
    Set = Callable[..., None]

    @pytest.fixture
    def set_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Set]:
        """Sets the settings of this user. Sets them back afterwards."""
        for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"):
            monkeypatch.delenv(name, raising=False)
        with winreg.CreateKey(winreg.HKEY_CURRENT_USER, SETTINGS) as key:
            before = {}
            for name in NAMES:
                with contextlib.suppress(FileNotFoundError):
                    before[name] = winreg.QueryValueEx(key, name)

            def set_proxy(server: str, exempt: str = "", enable: int = 1) -> None:
                winreg.SetValueEx(key, "ProxyEnable", 0, winreg.REG_DWORD, enable)
                winreg.SetValueEx(key, "ProxyServer", 0, winreg.REG_SZ, server)
                winreg.SetValueEx(key, "ProxyOverride", 0, winreg.REG_SZ, exempt)

            yield set_proxy
            for name in NAMES:
                if name in before:
                    value, kind = before[name]
                    winreg.SetValueEx(key, name, 0, kind, value)
                else:
                    winreg.DeleteValue(key, name)

    def proxy(url: str = URL, **options: bool) -> tuple[str | None, str]:
        """Returns the proxy that a client uses, and where it came from."""
        with Client(base_url=url, **options) as client:  # type: ignore[arg-type]
            _, used, sources = client._route()
            return used, sources["proxy"]

    def test_the_settings_name_the_proxy(set_proxy: Set) -> None:
        set_proxy("proxy.example:3128")
        assert proxy() == ("proxy.example:3128", "system")
        assert proxy(trust_env=False) == (None, "default")
        set_proxy("http=one.example:80;https=two.example:81")
        assert proxy() == ("two.example:81", "system")
        set_proxy("proxy.example:3128", enable=0)
        assert proxy() == (None, "default")

    def test_a_variable_wins_over_the_settings(
        set_proxy: Set, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_proxy("proxy.example:3128")
        monkeypatch.setenv("HTTPS_PROXY", "http://other.example:3128")
        assert proxy() == ("other.example:3128", "HTTPS_PROXY")

    def test_the_settings_and_no_proxy_exempt(
        set_proxy: Set, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_proxy("proxy.example:3128", "*.service.example;10.*;<local>")
        for url in (URL, "https://10.1.2.3", "https://intranet", "http://127.0.0.1:8080"):
            assert proxy(url) == (None, "default"), url
        assert proxy("https://other.example") == ("proxy.example:3128", "system")
        monkeypatch.setenv("NO_PROXY", "other.example")
        assert proxy("https://other.example") == (None, "default")

    def test_http_proxy_is_not_read_in_a_cgi_program(
        set_proxy: Set, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_proxy("", enable=0)
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert proxy("http://127.0.0.1:8080") == ("127.0.0.1:9", "HTTP_PROXY")
        monkeypatch.setenv("REQUEST_METHOD", "POST")
        assert proxy("http://127.0.0.1:8080") == (None, "default")
