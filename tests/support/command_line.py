"""Runs the command `skypostal` as people and programs do: in a pipe, and at a terminal."""

from __future__ import annotations

import contextlib
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator

from fault_server import FaultServer, Script
from proxy_server import PASSWORD

from skypostal.sandbox import APP_KEY, CUSTOMER_KEY, USER_CODE

COMMAND = [sys.executable, "-m", "skypostal"]
KEYS = {
    "SKYPOSTAL_USER_CODE": str(USER_CODE),
    "SKYPOSTAL_APP_KEY": APP_KEY,
    "SKYPOSTAL_CUSTOMER_KEY": CUSTOMER_KEY,
}

Done = subprocess.CompletedProcess


def environment(url: str, **changes: str | None) -> dict[str, str]:
    # The encoding that `run` reads. Windows would have its code page there.
    encoding = {"PYTHONIOENCODING": "utf-8"} if sys.platform == "win32" else {}
    own = {**KEYS, **encoding, "SKYPOSTAL_BASE_URL": url, "COLUMNS": "80", "NO_COLOR": "1"}
    given = {**os.environ, **own, **changes}
    return {name: value for name, value in given.items() if value is not None}


def run(
    *arguments: str, url: str = "", stdin: str | None = None, **changes: str | None
) -> Done[str]:
    """Runs the command in pipes. No key may ever show."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=environment(url, **changes),
        **({"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}),
        capture_output=True,
        encoding="utf-8",
        timeout=20,
    )
    assert_no_secret(done.stdout + done.stderr)
    return done


def assert_no_secret(output: str) -> None:
    for secret in (APP_KEY, CUSTOMER_KEY, PASSWORD):
        assert secret not in output
    assert "Traceback" not in output


class Terminal:
    """A program at a terminal, of 80 columns unless its environment says otherwise."""

    def __init__(self, *command: str, **environment: str) -> None:
        # Windows lacks them.
        import fcntl
        import pty
        import termios

        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, environment)
        size = struct.pack("HHHH", 24, int(environment.get("COLUMNS", 80)), 0, 0)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, size)

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + 20
        while text not in self.seen:
            assert time.monotonic() < deadline and self._read(), self.seen

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def end(self) -> tuple[int, str]:
        """The exit status, and all that was to be seen."""
        deadline = time.monotonic() + 20
        while self._read():
            assert time.monotonic() < deadline, self.seen
        os.close(self.fd)
        code = os.WEXITSTATUS(os.waitpid(self.pid, 0)[1])
        assert_no_secret(self.seen)
        return code, self.seen

    def _read(self) -> bool:
        if not select.select([self.fd], [], [], 1)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # how Linux says that the program has ended
            return False
        self.seen += data.decode().replace("\r\n", "\n")
        return bool(data)


def at_terminal(*arguments: str, url: str, **changes: str | None) -> tuple[int, str]:
    return Terminal(*COMMAND, *arguments, **environment(url, **changes)).end()


@contextlib.contextmanager
def serving(*scripts: Script, start: str = "listening") -> Iterator[FaultServer]:
    with FaultServer(scripts, start) as server:
        yield server
