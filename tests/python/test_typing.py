"""What a type checker says: nothing against good code, and something against each mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

GOOD = """
from __future__ import annotations
import datetime
from decimal import Decimal
from typing import Any
import skypostal

with skypostal.Client(user_code=396, app_key="k", environment="test") as client:
    info = client.update_personal_info(
        customer_box_id=1, customer_key="k", customer_birth_date=datetime.date(1980, 8, 19),
        customer_tax_number=Decimal("1.50"), customer_gender="M", customer_last_name=None,
    )
number: int | Decimal | None = info.customer_tax_number
born: datetime.date | None = info.customer_birth_date
members: dict[str, Any] = {**info.raw, **info.to_dict()}
try:
    skypostal.update_personal_info(customer_box_id=1, customer_key="k", timeout=1.5)
except skypostal.StatusError as error:
    wait: float | None = error.retry_after
except ConnectionError as lost:
    if isinstance(lost, skypostal.SkyPostalError) and lost.delivery == "unknown":
        raise

def hook(attempt: skypostal.Attempt) -> None:
    again: float | None = attempt.retry_in
    if attempt.error == "timeout":
        print(attempt.host, attempt.status, again)

async def update() -> str:
    async with skypostal.AsyncClient(environment="production", on_attempt=hook) as client:
        info = await client.update_personal_info(customer_gender="F", timeout=5)
    return info.show()
"""

MISTAKES = [
    "skypostal.update_personal_info(customer_frist_name='x')",
    "skypostal.update_personal_info(customer_gender='X')",
    "skypostal.update_personal_info(customer_tax_number=1.5)",
    "skypostal.update_personal_info(customer_tax_number=b'1')",
    "skypostal.update_personal_info(customer_birth_date=19800819)",
    "skypostal.update_personal_info(customer_box_id='1')",
    "skypostal.Client().update_personal_info(customer_frist_name='x')",
    "skypostal.update_personal_info('x')",
    "skypostal.Client(environment='live')",
    "skypostal.Client(396)",
    "skypostal.update_personal_info().customer_birth_date.upper()",
    "skypostal.update_personal_info().cust_id = 1",
    "skypostal.StatusError('m').retry_after + 1",
    "skypostal.ConnectError('m').delivery == 'maybe'",
    "skypostal.AsyncClient().update_personal_info(customer_frist_name='x')",
    "skypostal.AsyncClient().update_personal_info(customer_gender='X')",
    "skypostal.AsyncClient().update_personal_info().cust_id",
    "skypostal.AsyncClient(environment='live')",
    "skypostal.AsyncClient(396)",
    "skypostal.AsyncClient().aclose().result()",
    "skypostal.Client(on_attempt=lambda: None)",
    "skypostal.Client(on_attempt=lambda attempt: attempt.host.status)",
    "skypostal.Client(on_attempt=lambda attempt: attempt.error == 'maybe')",
]


def mypy(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_good_code_passes_and_each_mistake_is_found(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(GOOD)
    bad = tmp_path / "bad.py"
    bad.write_text("\n".join(["import skypostal", *MISTAKES]))
    done = mypy("mypy", "--strict", "--no-error-summary", str(tmp_path))
    lines = {int(line.split(":")[1]) for line in done.stdout.splitlines() if "error:" in line}
    assert f"{tmp_path}/good.py" not in done.stdout
    assert lines == set(range(2, 2 + len(MISTAKES)))


@pytest.mark.parametrize("version", ["3.9", "3.13"])
def test_the_package_and_the_examples_are_typed(version: str) -> None:
    done = mypy("mypy", "--python-version", version, "python", "examples")
    # A newer mypy may have dropped an old Python; then it says so, and checks all the same.
    assert "error:" not in done.stdout.replace("mypy: error:", ""), done.stdout


def test_the_tests_are_typed() -> None:
    done = mypy("mypy", "tests/python")
    assert done.returncode == 0, done.stdout


def test_the_stubs_are_what_the_module_is() -> None:
    done = mypy("mypy.stubtest", "skypostal._native", "skypostal._async", "skypostal.errors")
    assert done.returncode == 0, done.stdout
