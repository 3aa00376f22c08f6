"""The benchmark: its short form runs, and the page holds what was measured."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from project import ROOT, make

DOCS = ROOT / "docs"


@pytest.fixture
def report() -> ModuleType:
    spec = importlib.util.spec_from_file_location("report", ROOT / "benches" / "report.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_and_the_chart_show_what_was_measured(report: ModuleType, tmp_path: Path) -> None:
    results = json.loads((DOCS / "benchmarks.json").read_text())
    assert results["rounds"] >= 5
    shutil.copy(DOCS / "benchmarks.md", tmp_path)
    report.write(results, tmp_path)
    for name in ["benchmarks.md", "benchmarks.svg", "benchmarks.json"]:
        assert (tmp_path / name).read_text() == (DOCS / name).read_text(), name


@pytest.mark.toolchains
def test_a_short_run_measures_every_peer(report: ModuleType) -> None:
    """Without Rust, which alone takes minutes to build."""
    results_file = ROOT / "build" / "bench" / "results.json"
    results_file.unlink(missing_ok=True)
    before = {path: path.read_bytes() for path in DOCS.glob("benchmarks.*")}
    make("bench", "ROUNDS=1", "CALLS=20", "LANGUAGES=Python,C")
    results = json.loads(results_file.read_text())

    measured = {(row["language"], row["name"]) for row in results["one_call"]}
    lock = (ROOT / "benches" / "requirements.txt").read_text()
    pinned = [line.split()[0] for line in lock.splitlines()]
    for name in ["aiohttp", "httpx", "primp", "pycurl", "pyreqwest", "requests", "urllib3"]:
        assert ("Python", name) in measured
        assert f"{name}=={results['versions'][name]}" in pinned
    assert {("Python", "http.client"), ("C", "libcurl + yyjson"), ("C", "socket")} <= measured
    for row in results["one_call"]:
        assert row["p50_us"][0] > 0 and row["calls_per_s"][0] > 0, row
    assert {path: path.read_bytes() for path in DOCS.glob("benchmarks.*")} == before
