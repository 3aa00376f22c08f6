"""TLS on Windows: a ca_file, and the certificates that Windows trusts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tls_server import Server, accept_updates
from windows_library import WindowsLibrary

from skypostal.sandbox import Sandbox

pytestmark = pytest.mark.release

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def url(ca: trustme.CA) -> Iterator[str]:
    server = Server(accept_updates(ca.issue_cert("localhost", "127.0.0.1")))
    yield f"https://localhost:{server.port}"
    server.close()


@pytest.fixture(scope="module")
def update(windows: WindowsLibrary) -> Path:
    return windows.compile(PROGRAMS / "ca_file.c", "-municode")


def test_a_ca_file_and_a_root_of_windows_are_trusted(
    windows: WindowsLibrary,
    update: Path,
    ca: trustme.CA,
    url: str,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # They would take the place of Windows' store.
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"]:
        monkeypatch.delenv(name, raising=False)

    def outcome(*arguments: Path) -> str:
        return windows.run(update, *arguments, sandbox=sandbox, SKYPOSTAL_BASE_URL=url).stdout

    assert "its issuer is not trusted" in outcome()
    # A path is UTF-8, also where Windows has another code page.
    ca_file = tmp_path / "Zoë 世.pem"
    ca.cert_pem.write_to_path(str(ca_file))
    assert outcome(ca_file) == "updated\n"
    missing = tmp_path / "no Zoë.pem"
    assert outcome(missing).startswith(f"ca_file: {windows.wine.path(missing)}: ")

    certificate = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
    (windows.bin / "root.der").write_bytes(certificate.public_bytes(Encoding.DER))
    trust = windows.compile(PROGRAMS / "trust_root.c", "-lcrypt32")
    assert windows.run(trust, "root.der", sandbox=sandbox).returncode == 0
    assert outcome() == "updated\n"
