"""Where the project is, and how a test runs its programs as a user does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, USER_CODE, Sandbox

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"


def make(*arguments: str) -> None:
    """Runs make as a user does, whatever the make that runs the tests was told."""
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    subprocess.run(["make", *arguments], cwd=ROOT, env=environment, check=True)


def environment_of(sandbox: Sandbox) -> dict[str, str]:
    """Returns the environment of a program that a test starts."""
    return {
        **os.environ,
        "SKYPOSTAL_BASE_URL": sandbox.url,
        "SKYPOSTAL_USER_CODE": str(USER_CODE),
        "SKYPOSTAL_APP_KEY": APP_KEY,
        "SKYPOSTAL_CUSTOMER_BOX_ID": str(BOX_ID),
        "SKYPOSTAL_CUSTOMER_KEY": CUSTOMER_KEY,
    }
