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

REDRAWN = 0.2  # seconds
SAID = 10.0
LOOKED_BACK = 15.0  # over which the rate is taken


class State(NamedTuple):
    rows: int
    fraction: float
    """The part that is done, from 0 to 1."""
    notes: str = ""


class Progress:
    """Shows what `state` returns, from a thread of its own, while its context is entered."""

    def __init__(self, doing: str, total: int | None, state: Callable[[], State], *,
                 quiet: bool = False, every: float | None = None) -> None:  # fmt: skip
        self._doing, self._total, self._state, self._quiet = doing, total, state, quiet
        self._redraws = sys.stderr.isatty()
        self._every = every or (REDRAWN if self._redraws else SAID)
        self._seen: collections.deque[tuple[float, int, float]] = collections.deque()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._width = 0

    def __enter__(self) -> Progress:
        if not self._quiet:
            self._thread.start()
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
        while now - self._seen[0][0] > LOOKED_BACK and len(self._seen) > 2:
            self._seen.popleft()
        then, rows, fraction = self._seen[0]
        elapsed = now - then
        done = f"{state.rows:,}" + (f" of {self._total:,}" if self._total is not None else "")
        parts = [f"{int(state.fraction * 100)} %", f"{done} rows"]
        if elapsed > 0:
            rate = (state.rows - rows) / elapsed
            parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
        if state.notes:
            parts.append(state.notes)
        if state.fraction > fraction:
            parts.append(_clock(elapsed * (1 - state.fraction) / (state.fraction - fraction)))
        while columns and len(parts) > 1 and len(f"{self._doing} {'  '.join(parts)}") > columns:
            del parts[-1]
        text = "  ".join(parts)
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


def _width() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:  # it was closed meanwhile
        return 80


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{seconds:02} left"
    return f"{minutes}:{seconds:02} left"
