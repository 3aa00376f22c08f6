"""The benchmark: its short form runs, and the page holds what was measured."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import statistics
from pathlib import Path
from types import ModuleType

import pytest
from documented import REQUEST
from project import ROOT, make

DOCS = ROOT / "docs"


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benches" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def report() -> ModuleType:
    return module("report")


def test_each_peer_sends_the_documented_request() -> None:
    assert module("python_peers").REQUEST == REQUEST
    values = {json.dumps(value) for value in REQUEST.values()}
    header = (ROOT / "benches" / "c" / "worker.h").read_text()
    in_c = re.findall(r"^#define (?!TIMEOUT_MS|WORKER_H)\w+ (.+)$", header, re.MULTILINE)
    assert sorted(in_c) == sorted(values)
    # The peers in Rust read the file.
    assert "tests/data/request.json" in (ROOT / "benches/rust/src/main.rs").read_text()


def test_the_page_and_the_chart_show_what_was_measured(report: ModuleType, tmp_path: Path) -> None:
    results = json.loads((DOCS / "benchmarks.json").read_text())
    assert results["rounds"] >= 5
    shutil.copy(DOCS / "benchmarks.md", tmp_path)
    report.write(results, tmp_path)
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == sorted(path.name for path in DOCS.glob("benchmarks*"))
    for name in written:
        assert (tmp_path / name).read_text() == (DOCS / name).read_text(), name


def test_the_results_stand_before_the_targets() -> None:
    headings = re.findall("^## (.+)$", (DOCS / "benchmarks.md").read_text(), re.MULTILINE)
    assert headings.index("One call from Python") < headings.index("Sizes")
    assert headings.index("Sizes") < headings.index("Targets") < headings.index("Why not less")


@pytest.mark.toolchains
def test_a_short_run_measures_every_peer(report: ModuleType) -> None:
    """Without Rust, which alone takes minutes to build."""
    results_file = ROOT / "build" / "bench" / "results.json"
    results_file.unlink(missing_ok=True)
    before = {path: path.read_bytes() for path in DOCS.glob("benchmarks*")}
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
    assert {path: path.read_bytes() for path in DOCS.glob("benchmarks*")} == before


def test_the_readme_compares_with_requests_as_measured() -> None:
    results = json.loads((DOCS / "benchmarks.json").read_text())
    about = {"language": "Python", "scheme": "http", "placement": "one core"}
    calls = {
        row["name"]: statistics.median(row["p50_us"])
        for row in results["one_call"]
        if about.items() <= row.items()
    }
    assert calls["requests"] / calls["skypostal"] > 6
    text = " ".join((ROOT / "README.md").read_text().split())
    assert "takes less than a sixth of the time that requests takes" in text
