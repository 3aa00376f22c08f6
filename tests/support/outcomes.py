"""A plugin of pytest that leaves out the tests that a platform cannot run, and writes what it did.

It runs under the Python of that platform, and imports nothing of this folder.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

LEFT_OUT: list[str] = []
OUTCOMES: dict[str, str] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--leave-out", type=Path, help="a JSON list of the tests to leave out")
    parser.addoption("--outcomes", type=Path, help="where the outcome of each test is written")


def pytest_configure(config: pytest.Config) -> None:
    if sys.platform == "win32":
        _let_trio_run()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    names = set(json.loads(config.getoption("--leave-out").read_text()))
    left_out = [item for item in items if {item.nodeid, item.nodeid.partition("[")[0]} & names]
    LEFT_OUT.extend(item.nodeid for item in left_out)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.outcome != "passed":
        OUTCOMES[report.nodeid] = report.outcome


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # A test has three reports; the first that did not pass counts.
    if OUTCOMES.get(report.nodeid, "passed") == "passed":
        OUTCOMES[report.nodeid] = report.outcome


def pytest_sessionfinish(session: pytest.Session) -> None:
    outcomes = {"left out": LEFT_OUT, "outcomes": OUTCOMES}
    session.config.getoption("--outcomes").write_text(json.dumps(outcomes))


def _let_trio_run() -> None:
    """Wine 8 lacks SIO_BSP_HANDLE_SELECT, by which trio looks for a socket below a socket."""
    trio_windows: Any = importlib.import_module("trio._core._io_windows")

    def own_handle(sock: Any, *, which: Any = None) -> Any:
        return trio_windows._handle(sock if isinstance(sock, int) else sock.fileno())

    trio_windows._get_underlying_socket = own_handle
