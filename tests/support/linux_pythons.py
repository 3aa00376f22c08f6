"""The Pythons that each Linux wheel is tried on, and how this machine gets them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import musl_python
import pytest
from debian_packages import Debian
from kept import kept

# The tests that use the native module most; under qemu it takes several minutes.
CORE = [
    *(f"tests/python/test_{subject}.py" for subject in (
        "client", "errors", "fields", "options", "personal_info", "validate",
        "async", "update_many", "tls", "proxy",
    )),
    "tests/cli/test_bulk_run.py",
    *(f"tests/sandbox/test_sandbox{part}.py" for part in ("", "_http", "_faults", "_rules")),
]  # fmt: skip
# With what depends on the operating system more than on the processor.
MORE = [
    *CORE,
    *(f"tests/python/test_{subject}.py" for subject in (
        "interrupts", "signals", "fork", "logging",
    )),
    *(f"tests/cli/test_{subject}.py" for subject in (
        "bulk_check", "bulk_resume", "bulk_stopped", "doctor", "update_command",
    )),
    "tests/sandbox/test_sandbox_command.py",
    "tests/sandbox/test_pytest_plugin.py",
]  # fmt: skip


@dataclass(frozen=True)
class LinuxPython:
    """A Python that a wheel is tried on."""

    name: str
    # The platform of its wheel, by its name in release/platforms.py.
    platform: str
    version: str
    # Returns the program; makes it first if no earlier run has.
    program: Callable[[], Path]
    tests: Sequence[str] = field(default_factory=lambda: MORE)
    # The tests that cannot run there, each with the reason.
    not_run: Mapping[str, str] = field(default_factory=dict)
    # The tags of wheels that pip takes for it; needed where pip itself would take minutes there.
    tags: Sequence[str] = ()


def _arm() -> Path:
    if shutil.which("qemu-aarch64") is None:
        pytest.fail("a tool is missing: apt-get install qemu-user")

    def make(folder: Path) -> None:
        _unpack("trixie", "arm64", ["python3.13"], folder)
        # The loader is looked for in /lib, which is this link in every Debian.
        (folder / "lib").symlink_to("usr/lib")

    folder = kept("debian-arm64", make)
    return _launched(folder, f'qemu-aarch64 -L "{folder}" -0', "3.13")


def _debian_testing(version: str) -> Callable[[], Path]:
    def make(folder: Path) -> None:
        _unpack("testing", "amd64", ["python3.14", "python3.15"], folder)

    def program() -> Path:
        folder = kept("debian-testing", make)
        libraries = folder / "usr" / "lib" / "x86_64-linux-gnu"
        loader = f'"{libraries}/ld-linux-x86-64.so.2" --library-path "{libraries}" --argv0'
        return _launched(folder, loader, version)

    return program


def _musl() -> Path:
    if shutil.which("musl-gcc") is None:
        pytest.fail("a tool is missing: apt-get install musl-tools")
    return kept("musl-python", musl_python.build) / "bin" / "python3"


def _unpack(suite: str, architecture: str, packages: list[str], folder: Path) -> None:
    state = folder / "apt"
    Debian(suite, architecture, state).unpack(packages, folder)
    shutil.rmtree(state)


def _launched(folder: Path, launcher: str, version: str) -> Path:
    """Returns a program that starts an unpacked Python through another program.

    The last option of the launcher takes the name that Python sees as its own. So environments and
    sys.executable name this program, and what tests start is launched too.
    """
    programs = folder / "usr" / "bin"
    program = programs / f"launched-python{version}"
    program.write_text(f'#!/bin/sh\nexec {launcher} "$0" "{programs}/python{version}" "$@"\n')
    program.chmod(0o755)
    return program


SLOW = "measures time, and a call takes ten times as long under qemu"
COUNTED = "counts threads, and qemu has one of its own"
FORKED = "qemu ends a child that starts a thread, when its parent had several"
NOT_UNDER_QEMU = {
    "tests/python/test_client.py::test_importing_is_quick": SLOW,
    "tests/python/test_client.py::test_importing_starts_nothing": COUNTED,
    "tests/python/test_client.py::test_other_threads_go_on_while_a_call_waits": SLOW,
    "tests/python/test_async.py::test_nothing_starts_before_the_first_await": COUNTED,
    "tests/python/test_update_many.py::test_a_rate_holds": SLOW,
    "tests/python/test_update_many.py::"
    "test_a_run_is_of_no_use_in_a_forked_child_but_a_new_one_is": FORKED,
    "tests/sandbox/test_sandbox.py::test_a_thousand_calls_take_well_under_two_seconds": SLOW,
    "tests/sandbox/test_sandbox.py::test_each_test_can_have_its_own": SLOW,
}

PYTHONS = [
    LinuxPython(
        f"CPython {sys.version_info[0]}.{sys.version_info[1]} that runs the tests",
        "linux-x86_64",
        f"{sys.version_info[0]}.{sys.version_info[1]}",
        lambda: Path(sys.executable),
    ),
    LinuxPython("CPython 3.14 of Debian testing", "linux-x86_64", "3.14", _debian_testing("3.14")),
    LinuxPython("CPython 3.15 of Debian testing", "linux-x86_64", "3.15", _debian_testing("3.15")),
    LinuxPython(
        "CPython 3.13 of Debian 13 under qemu-user",
        "linux-aarch64",
        "3.13",
        _arm,
        tests=CORE,
        not_run=NOT_UNDER_QEMU,
        tags=["manylinux_2_34_aarch64", "manylinux_2_28_aarch64", "manylinux2014_aarch64"],
    ),
    LinuxPython("CPython 3.13 linked with musl 1.2", "linux-musl-x86_64", "3.13", _musl),
]
