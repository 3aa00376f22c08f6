"""Every fault through every face: one typed error, in time, and a client that stays usable."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from faces import COMPILED, Face, Report
from fault_cases import FAULTS, Fault
from fault_server import GOOD_ID, FaultServer

Table = dict[str, dict[str, Report]]


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    table: Table = {}
    yield table
    request.config.pluginmanager.register(Summary(table))


class Summary:
    """Prints the table at the end of the run, where nothing is captured."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        faces = ("python", "c", "rust")
        row = "{:36} {:9} {:9} {:>8} {:>8} {:>8} {:>8}".format
        terminalreporter.section("faults")
        terminalreporter.write_line(row("fault", "kind", "delivery", "attempts", *faces))
        for name, reports in self.table.items():
            first = next(iter(reports.values()))
            times = [
                f"{reports[face].seconds * 1000:.0f} ms" if face in reports else "-"
                for face in faces
            ]
            terminalreporter.write_line(
                row(name, first.kind, first.delivery, first.attempts, *times)
            )


@pytest.mark.parametrize("face", ["python", *COMPILED], indirect=True)
@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_a_fault_ends_as_it_should(
    fault: Fault, face: Face, table: Table, request: pytest.FixtureRequest
) -> None:
    with FaultServer(fault.scripts, fault.start) as server:

        def go_on(report: Report) -> None:
            requests = server.requests
            if report.kind == "ok":
                report.attempts = requests
                assert f"cust_id {GOOD_ID}" in report.text
            table.setdefault(fault.name, {})[request.node.callspec.params["face"]] = report
            server.listen()
            time.sleep(fault.pause)
            got = (report.kind, report.attempts, report.status)
            assert got == (fault.kind, fault.attempts, fault.status), report
            assert report.delivery in fault.delivery.split("|"), report
            assert requests <= fault.attempts
            assert requests == 1 or fault.max_retries > 0
            assert requests == 0 or report.delivery != "not_sent"
            assert fault.at_least <= report.seconds <= fault.timeout + fault.late
            assert (report.retry_after is None) == (fault.retry_after is None), report
            if fault.retry_after is not None and report.retry_after is not None:
                assert fault.retry_after[0] <= report.retry_after <= fault.retry_after[1]
            assert fault.shows in report.text

        face(fault, fault.url or server.url, go_on)
        assert not server.went_elsewhere
    assert all(record.sent <= fault.sends for record in server.records)
