"""`skypostal bulk`: the progress on standard error."""

from __future__ import annotations

import re
import time

import pytest
from bulk_command import Bulk, rows_of, write
from command_line import COMMAND, Terminal, environment

from skypostal._cli.bulk.progress import Progress, State
from skypostal.sandbox import Sandbox


def test_progress_at_a_terminal_is_one_line(bulk: Bulk, sandbox: Sandbox) -> None:
    write(bulk.table, [*rows_of(range(1, 20)), ["20", "wrong", "Eva"]])
    sandbox.delay(0, times=10)
    sandbox.delay(0.5, times=10)
    terminal = Terminal(*COMMAND, *bulk.arguments("--concurrency", "2"), **environment(bulk.url))
    code, seen = terminal.end()
    assert code == 3
    drawn, _, summary = seen.rpartition("\r")
    last, rest = summary.split("\n", 1)
    assert re.fullmatch(r"skypostal bulk: sent 20 rows in 0:0\d, \d+(\.\d)?/s", last)
    assert rest.startswith("20 rows: 19 updated, 1 refused.\n")
    lines = [line.rstrip() for line in drawn.split("\r")]
    assert max(map(len, lines)) <= 79 and "\n" not in drawn and "\x1b" not in drawn
    middle = [line for line in lines if re.match(r"sending \[#+\.+\] \d+ %  1\d of 20 rows", line)]
    assert any(re.search(r"  \d+(\.\d)?/s  0:\d\d left$", line) for line in middle), lines


@pytest.mark.parametrize(("columns", "shown"), [
    (80, "sending [###..........] 25 %  2,500 of 10,000 rows  100/s  12 refused  1:15 left"),
    (70, "sending 25 %  2,500 of 10,000 rows  100/s  12 refused  1:15 left"),
    (60, "sending 25 %  2,500 of 10,000 rows  12 refused  1:15 left"),
    (50, "sending [###.........] 25 %  12 refused  1:15 left"),
    (30, "sending 25 %  12 refused"),
    (20, "sending [#....] 25 %"),
])  # fmt: skip
def test_what_is_refused_and_the_time_left_outlive_the_rest(
    monkeypatch: pytest.MonkeyPatch, columns: int, shown: str
) -> None:
    progress = Progress("sending", 10_000, lambda: State(0, 0))
    times = iter([0.0, 25.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    progress._line(State(0, 0.0), columns)
    line = progress._line(State(2_500, 0.25, "12 refused"), columns)
    assert line == shown


@pytest.mark.parametrize("columns", [20, 60, 120])
def test_progress_fits_a_terminal(bulk: Bulk, sandbox: Sandbox, columns: int) -> None:
    write(bulk.table, rows_of(range(1, 21)))
    sandbox.delay(0.3, times=20)
    given = environment(bulk.url, COLUMNS=str(columns))
    terminal = Terminal(*COMMAND, *bulk.arguments(), **given)
    drawn = terminal.end()[1].rpartition("\r")[0]
    lines = [line for line in drawn.split("\r") if line.strip()]
    assert lines and max(map(len, lines)) <= columns - 1


def test_progress_elsewhere_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    rows = iter(range(0, 10_000_000, 500_000))

    def state() -> State:
        done = next(rows)
        return State(done, done / 10_000_000, "2 failed" if done else "")

    with Progress("sending", 10_000_000, state, every=0.02):
        time.sleep(0.1)
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert first == "skypostal bulk: sending 0 %  0 of 10,000,000 rows"
    assert re.fullmatch(
        r"skypostal bulk: sending 5 %  500,000 of 10,000,000 rows  [\d,]+/s  2 failed  0:\d\d left",
        second,
    )


def test_all_lines_count_the_same_rows(bulk: Bulk, sandbox: Sandbox) -> None:
    """Those that are to be sent, and of these the ones that are not sent again."""
    rows = rows_of(range(1, 21))
    rows[0][1], rows[1][2], rows[2][0] = "wrong", " ", "-3"  # one is refused, and two are bad
    write(bulk.table, rows)
    sandbox.delay(0, times=2)
    sandbox.fail_next(status=500)
    sandbox.delay(0, times=3)
    sandbox.delay(60, times=20)
    options = ("--skip-bad", "--concurrency", "2")
    terminal = Terminal(*COMMAND, *bulk.arguments(*options), **environment(bulk.url))
    terminal.wait_for("5 of 18 rows")
    terminal.type("\x03")
    assert terminal.end()[0] == 130
    assert "\nDone: 5 of 18 rows. Run it again with --resume.\n" in terminal.seen
    sandbox.clear_faults()
    terminal = Terminal(*COMMAND, *bulk.arguments(*options, "--resume"), **environment(bulk.url))
    code, seen = terminal.end()
    assert code == 3 and "\nskypostal bulk: continuing: 5 of 18 rows are done\n" in seen
    drawn = [int(number) for number in re.findall(r"sending .* (\d+) of 18 rows", seen)]
    assert drawn == sorted(drawn) and drawn[0] >= 5 and drawn[-1] == 18
    assert "20 rows: 17 updated, 1 refused, 2 bad.\n" in seen
