"""What mypy and pyright say: nothing against good code, and something against each mistake."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from project import ROOT

GOOD = """# pyright: strict
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

row: skypostal.Fields = {"customer_box_id": 1, "customer_key": "k", "customer_gender": "M"}
rows: list[skypostal.Fields] = [row]
client.update_personal_info(**row)
for outcome in client.update_many(rows):
    headers: dict[str, str] = {} if outcome.error is None else vars(outcome.error)
preview: skypostal.Preview = client.preview(**row)
print(preview.method, preview.url, preview.headers["accept"], preview.body, info.to_json())

class Table:
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        return 1, 2

report = client.update_batch(Table(), keep=["id"], rate=200)
print(report.num_rows, skypostal.update_batch(Table()), skypostal.update_batch_schema().names)

async def update() -> str:
    async with skypostal.AsyncClient(environment="production", on_attempt=hook) as client:
        problems: list[skypostal.ValidationError | skypostal.ConfigurationError] = (
            client.validate(customer_gender="F")
        )
        info = await client.update_personal_info(customer_gender="F", timeout=5)
    return info.customer_gender or problems[0].message

def advise(error: skypostal.SkyPostalError) -> str | None:
    if isinstance(error, skypostal.ConfigurationError):
        return error.option
    return error.message if error.kind == "refused" else None
"""

MISTAKES = [
    "row: skypostal.Fields = {'customer_gender': 'X'}",
    "skypostal.Client(user_agent=1.2)",
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
    "skypostal.ConnectError('m').kind == 'connects'",
    "skypostal.ConfigurationError('m').option + 'x'",
    "skypostal.Client().validate(customer_frist_name='x')",
    "skypostal.AsyncClient().update_personal_info(customer_frist_name='x')",
    "skypostal.AsyncClient().update_personal_info(customer_gender='X')",
    "skypostal.AsyncClient().update_personal_info().cust_id",
    "skypostal.AsyncClient(environment='live')",
    "skypostal.AsyncClient(396)",
    "skypostal.AsyncClient().aclose().result()",
    "skypostal.Client(on_attempt=lambda: None)",
    "skypostal.update_batch([{'customer_box_id': 1}])",
    "skypostal.Client().update_batch(None, keep=['id'])",
    "skypostal.Client().update_batch(1, rates=2)",
    "skypostal.Client(on_attempt=lambda attempt: attempt.host.status)",
    "skypostal.Client(on_attempt=lambda attempt: attempt.error == 'maybe')",
]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    # pyright looks for the package where the first Python of PATH has it.
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)


def mypy(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", *arguments)


def pyright(*arguments: str) -> Any:
    done = run(sys.executable, "-m", "pyright", "--outputjson", *arguments)
    return json.loads(done.stdout[done.stdout.index("{") :])


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with good code and with one mistake in each line but the first two."""
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "bad.py").write_text(
        "\n".join(["# pyright: strict", "import skypostal", *MISTAKES])
    )
    return tmp_path


EACH_MISTAKE = {("bad.py", line) for line in range(3, 3 + len(MISTAKES))}


def test_mypy_passes_good_code_and_finds_each_mistake(programs: Path) -> None:
    done = mypy("mypy", "--strict", "--no-error-summary", str(programs))
    errors = [line.split(":") for line in done.stdout.splitlines() if ": error:" in line]
    assert {(Path(error[0]).name, int(error[1])) for error in errors} == EACH_MISTAKE, done.stdout


def test_pyright_passes_good_code_and_finds_each_mistake(programs: Path) -> None:
    found = {
        (Path(error["file"]).name, error["range"]["start"]["line"] + 1)
        for error in pyright(str(programs))["generalDiagnostics"]
        # Every line computes what nothing uses.
        if error.get("rule") != "reportUnusedExpression"
    }
    assert found == EACH_MISTAKE


def test_pyright_knows_the_type_and_the_meaning_of_every_public_name() -> None:
    # Without --ignoreexternal it counts what the standard library's own stubs leave out.
    report = pyright("--verifytypes", "skypostal", "--ignoreexternal")["typeCompleteness"]
    assert report["completenessScore"] == 1
    assert report["exportedSymbolCounts"]["withKnownType"] > 50
    assert report["missingFunctionDocStringCount"] == report["missingClassDocStringCount"] == 0


# For a Python that the other packages here were not installed for. Their stubs may be written in a
# syntax that it does not have, so none is read, and what they type is not known.
WITHOUT_OTHERS = [
    "--no-site-packages",
    "--ignore-missing-imports",
    "--disable-error-code=import-untyped",
    "--allow-subclassing-any",
    "--allow-untyped-decorators",
    "--no-warn-return-any",
]


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15"])
def test_the_package_and_the_examples_are_typed(version: str) -> None:
    done = mypy("mypy", "--python-version", version, *WITHOUT_OTHERS, "python", "examples")
    # A newer mypy may have dropped an old Python; then it says so, and checks all the same.
    assert "error:" not in done.stdout.replace("mypy: error:", ""), done.stdout


def test_the_stubs_of_other_packages_are_read_for_this_python_alone(tmp_path: Path) -> None:
    site_packages = Path(pytest.__file__).parents[1]
    typed = {path.parent.name for path in site_packages.glob("*/py.typed")} - {"skypostal"}
    assert {"numpy", "polars", "pytest"} <= typed
    imports = tmp_path / "imports.py"
    imports.write_text("".join(f"import {name}\n" for name in sorted(typed)))
    done = mypy("mypy", "--python-version=3.9", "-v", *WITHOUT_OTHERS, str(imports))
    assert done.returncode == 0, done.stdout
    read = re.findall(rf"{re.escape(str(site_packages))}/(\w+)/", done.stderr)
    assert set(read) == {"mypy"}  # the standard library's


def test_the_stubs_are_what_the_module_is(tmp_path: Path) -> None:
    # Everything but the command line, which no program imports.
    allowed = tmp_path / "allowed"
    allowed.write_text(r"skypostal\._cli\..*")
    done = mypy("mypy.stubtest", "skypostal", f"--allowlist={allowed}", "--ignore-unused-allowlist")
    assert done.returncode == 0, done.stdout
