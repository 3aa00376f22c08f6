"""Programs with raised privileges: their caller's variables do not say where the keys go."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from c_library import CLibrary
from project import ROOT, TESTS

from skypostal.sandbox import BOX_ID, CUSTOMER_KEY, Sandbox

SUCCESS = "success"
NO_TLS = "no secure connection to the service"
UNUSABLE = "an option is missing or unusable"


def raise_privileges(program: Path) -> None:
    """Gives the program a group that this process is not in, which is as good as another user."""
    if os.geteuid() != 0:
        pytest.fail("only root makes a set-group-ID program of another group: run the test as root")
    os.chown(program, -1, 65534)
    program.chmod(0o2755)


@pytest.fixture(scope="session")
def program(c_library: CLibrary) -> Path:
    return c_library.compile(TESTS / "c" / "privileges.c", "-std=c99")


@pytest.fixture(scope="session")
def raised(program: Path) -> Path:
    copy = program.with_name("privileges-raised")
    shutil.copy(program, copy)
    raise_privileges(copy)
    return copy


def run(program: Path, url: str, **variables: str) -> tuple[str, str]:
    """Whether the kernel says that the privileges are raised, and how the update ends."""
    environment = {**os.environ, **variables}
    done = subprocess.run(
        [program, url], env=environment, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    secure, end = done.stdout.rstrip().split(" ", 1)
    return secure, end


@pytest.fixture
def secure_sandbox() -> Iterator[Sandbox]:
    """A service that the system does not trust."""
    with Sandbox(tls=True) as sandbox:
        yield sandbox


@pytest.mark.usefixtures("for_programs")
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_of_the_environment(
    variable: str, program: Path, raised: Path, secure_sandbox: Sandbox
) -> None:
    sandbox, issuer = secure_sandbox, secure_sandbox.ca_file
    assert issuer is not None
    named = {variable: str(issuer if variable == "SSL_CERT_FILE" else issuer.parent)}
    assert run(program, sandbox.url, **named) == ("0", SUCCESS)
    assert run(raised, sandbox.url, **named) == ("1", NO_TLS)
    assert len(sandbox.requests) == 1


@pytest.mark.usefixtures("for_programs")
@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_proxies_of_the_environment(
    variable: str, program: Path, raised: Path, sandbox: Sandbox
) -> None:
    assert run(program, sandbox.url, **{variable: "nonsense:"}) == ("0", f"{UNUSABLE}: {variable}")
    assert run(raised, sandbox.url, **{variable: "nonsense:"}) == ("1", SUCCESS)


@pytest.mark.usefixtures("for_programs")
def test_addresses_of_the_environment(
    program: Path, raised: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(program, "-") == ("0", SUCCESS)
    assert run(raised, "-") == ("1", f"{UNUSABLE}: base_url")
    # What the program sets wins; the credentials are the caller's.
    elsewhere = "https://elsewhere.example"
    assert run(raised, sandbox.url, SKYPOSTAL_BASE_URL=elsewhere) == ("1", SUCCESS)
    monkeypatch.delenv("SKYPOSTAL_BASE_URL")
    production = {"SKYPOSTAL_ENVIRONMENT": "production"}
    assert run(raised, "-", **production) == ("1", f"{UNUSABLE}: environment")
    assert len(sandbox.requests) == 2


IN_PYTHON = f"""
import sys
import skypostal
(url,) = sys.argv[1:]
try:
    client = skypostal.Client(base_url=url, max_retries=0)
    client.update_personal_info(customer_box_id={BOX_ID}, customer_key={CUSTOMER_KEY!r})
    print("success")
except skypostal.SkyPostalError as error:
    print(type(error).__name__)
"""


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_certificates_of_the_environment_in_python(
    variable: str, secure_sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox, issuer = secure_sandbox, secure_sandbox.ca_file
    assert issuer is not None
    python = tmp_path / "python"
    shutil.copy(Path(sys.executable).resolve(), python)
    folders = [sysconfig.get_path("purelib"), str(ROOT / "python")]
    environment = {
        **os.environ,
        variable: str(issuer),
        "PYTHONHOME": sys.base_prefix,
        "PYTHONPATH": os.pathsep.join(folders),
    }

    def end() -> str:
        done = subprocess.run(
            [python, "-c", IN_PYTHON, sandbox.url], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert end() == "success\n"
    raise_privileges(python)
    assert end() == "TlsError\n"
    assert len(sandbox.requests) == 1
