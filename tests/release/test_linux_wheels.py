"""The Linux wheels, each installed alone where its users are, and the tests that run there."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from linux_pythons import PYTHONS, LinuxPython
from other_pythons import PIP, new_environment, requirements, run, run_tests
from project import environment_of
from released import files_in, wheels

from release.platforms import PLATFORMS
from skypostal.sandbox import BOX_ID, Sandbox

pytestmark = pytest.mark.release

# What the tests import, with all that it depends on.
TOOLS = ["pytest", "iniconfig", "packaging", "pluggy", "pygments", "pytest-xdist", "execnet"]
TOOLS += ["trustme", "cryptography", "cffi", "pycparser", "idna"]
TOOLS += ["trio", "attrs", "outcome", "sniffio", "sortedcontainers", "anyio"]
TOOLS += ["exceptiongroup", "tomli", "typing-extensions"]

TRIED = [python for python in PYTHONS if python.platform in wheels()]


def test_each_linux_wheel_is_tried_somewhere() -> None:
    built = {name for name in wheels() if name.startswith("linux-")}
    assert built == {python.platform for python in TRIED}


@pytest.mark.parametrize("platform", [p for p in wheels() if PLATFORMS[p].glibc])
def test_the_unwinder_is_that_of_the_system(platform: str, tmp_path: Path) -> None:
    # By it glibc ends a thread, through our frames. Two of them in one stack crash.
    library = tmp_path / "library"
    library.write_bytes(files_in(wheels()[platform])["skypostal/_native.abi3.so"])
    assert "[libgcc_s.so.1]" in run("readelf", "--dynamic", library)


each_python = pytest.mark.parametrize(
    "python", TRIED, ids=lambda python: python.name.replace(" ", "-")
)


@each_python
def test_an_update(python: LinuxPython, tmp_path: Path, sandbox: Sandbox) -> None:
    program = installed(python, tmp_path)
    update = ["-m", "skypostal", "update", "--customer_first_name=Zoë", "--json"]
    where = {**environment_of(sandbox), "PYTHONUTF8": "1"}
    box = f"--customer_box_id={BOX_ID}"
    record = json.loads(run(program, *update, box, cwd=tmp_path, env=where))
    assert (
        record["customer_first_name"] == sandbox.customers[BOX_ID]["customer_first_name"] == "Zoë"
    )


@each_python
def test_the_wheel(python: LinuxPython, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun = time.monotonic()
    program = installed(python, tmp_path)
    install_tools(python, program)
    where = run(program, "-c", "import skypostal; print(skypostal.__file__)", cwd=tmp_path)
    assert where.startswith(str(tmp_path / "environment"))
    outcomes = run_tests(program, python.tests, python.not_run, tmp_path)
    with capsys.disabled():
        ran, seconds = len(outcomes.ran), time.monotonic() - begun
        left_out = f", {len(python.not_run)} cannot run" if python.not_run else ""
        print(f"\n{python.name}: {ran} tests{left_out}; {seconds:.0f} s", end=" ")
    assert outcomes.others() == {}, outcomes.output[-10_000:]
    # A test that was renamed, or that is gone, must not stay in the table.
    assert sorted(outcomes.left_out) == sorted(python.not_run)


def installed(python: LinuxPython, folder: Path) -> Path:
    """Returns the Python of a new environment that has the wheel alone."""
    program = new_environment(folder / "environment", python.program())
    install = [f"--python={program}", "install", "--no-index", "--no-deps"]
    run(*PIP, *install, wheels()[python.platform])
    return program


def install_tools(python: LinuxPython, program: Path) -> None:
    tools = ["install", "--no-deps", "--only-binary=:all:", *requirements(TOOLS, python.version)]
    if not python.tags:
        run(*PIP, f"--python={program}", *tools)
        return
    packages = program.parents[1] / "lib" / f"python{python.version}" / "site-packages"
    place = [f"--target={packages}", "--no-compile", f"--python-version={python.version}"]
    run(*PIP, *tools, *place, *(f"--platform={tag}" for tag in python.tags))
