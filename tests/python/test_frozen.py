"""A frozen program: one folder with Python, the program and what it was seen to import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from project import environment_of

from skypostal.sandbox import BOX_ID, CUSTOMER_KEY, Sandbox

# PyInstaller needs Python's shared library, which Debian has in a package of its own.
pytestmark = pytest.mark.toolchains

# It imports nothing but the package and what its arguments are made of.
PROGRAM = f"""
import asyncio
from decimal import Decimal

import skypostal

who = dict(customer_box_id={BOX_ID}, customer_key={CUSTOMER_KEY!r})
info = skypostal.update_personal_info(
    **who, customer_tax_number=Decimal("12.50"), customer_birth_date="1980-08-19"
)
print(info.customer_tax_number, info.customer_birth_date, info.raw["customer_tax_number"])
with skypostal.Client() as client:
    print([outcome.error for outcome in client.update_many([who, who])])
    for changes in (dict(customer_gender="x"), dict(customer_key="wrong")):
        try:
            client.update_personal_info(**{{**who, **changes}})
        except skypostal.SkyPostalError as error:
            print(type(error).__name__, error.delivery, error.attempts)


async def main():
    async with skypostal.AsyncClient(on_attempt=print) as client:
        return await client.update_personal_info(**who)


print(asyncio.run(main()).cust_id == info.cust_id)
"""


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the frozen program, which is called `program`."""
    folder = tmp_path_factory.mktemp("frozen")
    source = folder / "program.py"
    source.write_text(PROGRAM)
    places = [f"--{name}path={folder / name}" for name in ("dist", "work", "spec")]
    done = subprocess.run(
        [sys.executable, "-m", "PyInstaller", "--log-level=WARN", "--noconfirm", *places, source],
        cwd=folder,
        env={**os.environ, "PYINSTALLER_CONFIG_DIR": str(folder / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "dist" / "program"


@pytest.mark.parametrize("level", ["", "debug"])
def test_a_frozen_program_updates_and_is_told_of_errors(
    level: str, frozen: Path, sandbox: Sandbox
) -> None:
    done = subprocess.run(
        [str(frozen / "program")],
        env={**environment_of(sandbox), "SKYPOSTAL_LOG": level},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first, rows, invalid, refused, attempt, last = done.stdout.splitlines()
    assert (first, rows) == ("12.50 1980-08-19 12.50", "[None, None]")
    assert (invalid, refused) == ("ValidationError not_sent 0", "RefusedError rejected 1")
    assert attempt.startswith("Attempt(number=1, ") and last == "True"
    assert sandbox.customers[BOX_ID]["customer_birth_date"] == "1980-08-19"
    # 5 calls: one attempt each, and none for the invalid field.
    assert done.stderr.count(" DEBUG POST ") == (5 if level else 0)


def test_a_frozen_program_holds_no_package_that_it_does_not_use(frozen: Path) -> None:
    names = {path.name.partition(".")[0] for path in frozen.rglob("*")}
    assert "_native" in names
    assert not names & {"pyarrow", "polars", "pandas", "numpy", "trio", "pytest", "sqlite3"}
