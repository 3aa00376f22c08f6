"""Ctrl-C and SIGTERM during a run, and Ctrl-Break on Windows."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

# Ctrl-Break is all that one program of Windows can send to another; ending it otherwise kills it.
_ENDING = [signal.SIGINT, signal.SIGTERM]
if sys.platform == "win32":
    _ENDING.append(signal.SIGBREAK)


class Signals:
    """Ends the run in order at the first signal, and the program at once at a second one."""

    number = signal.SIGINT

    def __enter__(self) -> Signals:
        self._before: dict[signal.Signals, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for each in _ENDING:
                if signal.getsignal(each) is not signal.SIG_IGN:
                    self._before[each] = signal.signal(each, self._end)
        return self

    def _end(self, number: int, _: object) -> None:
        self.number = signal.Signals(number)
        for each in self._before:
            signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
