"""The progress of a run: at a terminal one line, which is redrawn; else a line every 10 s."""

from __future__ import annotations

import collections
import os
import sys
import threading
import time
from types import TracebackType
from typing import Callable, NamedTuple

from ..output import say_error

REDRAW_INTERVAL = 0.2  # seconds
LINE_INTERVAL = 10.0
RATE_WINDOW = 15.0  # over which the rate is taken


class State(NamedTuple):
    rows: int
    fraction: float
    """The part that is done, from 0 to 1."""
    notes: str = ""


class Progress:
    """Shows what `state` returns, from a thread of its own, while its context is entered."""

    def __init__(self, doing: str, total: int | None, state: Callable[[], State], *,
                 quiet: bool = False, every: float | None = None,
                 sent: Callable[[], int] | None = None) -> None:  # fmt: skip
        self._doing, self._total, self._state, self._quiet = doing, total, state, quiet
        self._sent = sent
        """The number of rows for a last line, which has the time and the rate; None for no line."""
        self._redraws = sys.stderr.isatty()
        self._every = every or (REDRAW_INTERVAL if self._redraws else LINE_INTERVAL)
        self._seen: collections.deque[tuple[float, int, float]] = collections.deque()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._width = 0

    def __enter__(self) -> Progress:
        if not self._quiet:
            self._thread.start()
            self._begun = time.monotonic()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        if not self._quiet:
            self._thread.join()
            if self._redraws:
                self._write("\r" + " " * self._width + "\r")
            elapsed = time.monotonic() - self._begun
            # Elsewhere a run that showed no line shows none at its end.
            if self._sent is not None and exc_type is None and (self._redraws or self._seen):
                rows = self._sent()
                count = f"{rows:,} row{'' if rows == 1 else 's'}"
                rate = _rate(rows / max(elapsed, 0.001))
                say_error(f"skypostal bulk: sent {count} in {_clock(elapsed)}, {rate}")

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._over.wait(self._every if self._seen or not self._redraws else 0)
            state = self._state()
            if self._redraws:
                columns = _width() - 1
                line = self._line(state, columns)[:columns]
                self._write("\r" + line.ljust(min(self._width, columns)))
                self._width = len(line)
            elif not ended:
                say_error(f"skypostal bulk: {self._line(state, 0)}")

    def _line(self, state: State, columns: int) -> str:
        """Returns a line of at most so many columns, with a bar in the rest; 0: without a bar."""
        now = time.monotonic()
        self._seen.append((now, state.rows, state.fraction))
        while now - self._seen[0][0] > RATE_WINDOW and len(self._seen) > 2:
            self._seen.popleft()
        then, rows, fraction = self._seen[0]
        elapsed = now - then
        done = f"{state.rows:,}" + (f" of {self._total:,}" if self._total is not None else "")
        rate = _rate((state.rows - rows) / elapsed) if elapsed > 0 else ""
        left = ""
        if state.fraction > fraction:
            seconds = elapsed * (1 - state.fraction) / (state.fraction - fraction)
            left = f"{_clock(seconds)} left"
        parts = [f"{int(state.fraction * 100)} %", f"{done} rows", rate, state.notes, left]
        # Where there is no room, the least important part goes first.
        for least in (rate, f"{done} rows", left, state.notes):
            if columns and len(f"{self._doing} {_joined(parts)}") > columns and least:
                parts.remove(least)
        text = _joined(parts)
        width = min(30, columns - len(f"{self._doing} [] {text}"))
        if width < 5:
            return f"{self._doing} {text}"
        full = int(width * state.fraction)
        return f"{self._doing} [{'#' * full}{'.' * (width - full)}] {text}"

    @staticmethod
    def _write(text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            pass  # standard error has no reader


def _joined(parts: list[str]) -> str:
    return "  ".join(filter(None, parts))


def _rate(rows: float) -> str:
    return f"{rows:,.0f}/s" if rows >= 10 else f"{rows:.1f}/s"


def _width() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:  # it was closed meanwhile
        return 80


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{seconds:02}"
    return f"{minutes}:{seconds:02}"
