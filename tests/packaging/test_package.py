"""The package: what is in the wheel and the sdist, and that they work where only they are."""

from __future__ import annotations

import glob
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from other_pythons import install, requirements, run
from packaging.metadata import Metadata
from project import ROOT, environment_of
from trove_classifiers import classifiers

import skypostal
from skypostal.sandbox import BOX_ID, CUSTOMER_KEY, Sandbox

pytestmark = pytest.mark.wheel

# What each interpreter runs; the one that runs this file runs everything.
CORE = [
    f"tests/python/test_{subject}.py"
    for subject in ("client", "errors", "fields", "interrupts", "options", "personal_info")
]
# pytest and all that it depends on, for any Python.
PYTEST = ["pytest", "iniconfig", "packaging", "pluggy", "pygments"]
PYTEST += ["exceptiongroup", "tomli", "typing-extensions"]

DETAILS = """
import os, sys
print(sys.implementation.name, *sys.version_info[:2], os.path.realpath(sys.executable))
"""


def other_interpreters() -> list[str]:
    """Every other CPython from 3.9 on that PATH or pyenv has."""
    found = {}
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    folders = [*os.environ["PATH"].split(os.pathsep), *sorted(glob.glob(f"{pyenv}/versions/*/bin"))]
    for folder in folders:
        for path in sorted(glob.glob(f"{folder}/python3.[0-9]*")):
            if re.fullmatch(r"python3\.\d+", os.path.basename(path)):
                done = subprocess.run([path, "-c", DETAILS], capture_output=True, text=True)
                # What fails is no interpreter but pyenv's word that this one is not selected.
                if done.returncode == 0:
                    name, major, minor, real = done.stdout.split()
                    if name == "cpython" and (int(major), int(minor)) >= (3, 9):
                        found[real] = path
    found.pop(os.path.realpath(sys.executable), None)
    return list(found.values())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "interpreter" in metafunc.fixturenames:
        # Without any, pytest would skip the test, and say that all is well.
        metafunc.parametrize("interpreter", other_interpreters() or [None])


@pytest.fixture(scope="session")
def wheel() -> Path:
    wheels = list((ROOT / "build" / "wheels").glob("*.whl"))
    assert len(wheels) == 1, "`make wheel` builds what is tested here"
    return wheels[0]


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "maturin", "sdist", f"--out={folder}", cwd=ROOT)
    return next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="session")
def links(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pytest for any Python, fetched once."""
    folder = tmp_path_factory.mktemp("links")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    what = requirements(PYTEST, "3.9")
    run(*pip, "--no-deps", "--only-binary=:all:", "--python-version=3.9", f"--dest={folder}", *what)
    return folder


@pytest.fixture(scope="session")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel and nothing else."""
    return install(tmp_path_factory.mktemp("clean"), "--no-index", wheel)


def test_the_tests_run_on_the_built_wheel_and_not_on_the_source_tree(wheel: Path) -> None:
    assert ROOT / "python" not in map(Path, sys.path)
    package = Path(skypostal.__file__).parent
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith("skypostal/"):
                assert (package.parent / name).read_bytes() == archive.read(name), name


def tracked(*folders: str) -> set[str]:
    return set(run("git", "ls-files", *folders, cwd=ROOT).splitlines())


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = f"skypostal-{skypostal.__version__}.dist-info"
    described = ["METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE-APACHE"]
    described += ["licenses/LICENSE-MIT", "sboms/skypostal.cyclonedx.json"]
    sources = {name[len("python/") :] for name in tracked("python")}
    assert names == sources | {"skypostal/_native.abi3.so"} | {f"{info}/{d}" for d in described}
    assert wheel.stat().st_size < 3 << 20


def test_the_tag_of_the_wheel_is_true(wheel: Path) -> None:
    tag = re.fullmatch(r"skypostal-[^-]+-cp39-abi3-manylinux_2_(\d+)_[^-]+\.whl", wheel.name)
    assert tag, wheel.name
    with zipfile.ZipFile(wheel) as archive:
        library = archive.read("skypostal/_native.abi3.so")
    needed = [int(minor) for minor in re.findall(rb"GLIBC_2\.(\d+)", library)]
    assert max(needed) <= int(tag[1])


def test_the_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"skypostal-{skypostal.__version__}.dist-info/METADATA")
    metadata = Metadata.from_email(text, validate=True)
    assert all("extra ==" in str(requirement) for requirement in metadata.requires_dist or [])
    assert str(metadata.requires_python) == ">=3.9"
    assert metadata.license_expression == "MIT OR Apache-2.0"
    pages = "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    told = set(re.findall(r"'skypostal\[(\w+)\]'", pages))
    assert told and told <= set(metadata.provides_extra or [])
    assert set(metadata.classifiers or []) <= classifiers
    assert "Typing :: Typed" in (metadata.classifiers or [])
    assert (metadata.description or "").strip() == (ROOT / "README.md").read_text().strip()


def test_the_sbom_lists_what_is_linked(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        folder = f"skypostal-{skypostal.__version__}.dist-info/sboms"
        sbom = json.loads(archive.read(f"{folder}/skypostal.cyclonedx.json"))
    assert sbom["bomFormat"] == "CycloneDX"
    assert sbom["metadata"]["component"]["version"] == skypostal.__version__
    listed = {(component["name"], component["version"]) for component in sbom["components"]}
    tree = ["cargo", "tree", "--locked", "--features=python", "--edges=normal,no-proc-macro"]
    lines = run(*tree, "--prefix=none", "--format={p}", cwd=ROOT).splitlines()
    linked = {(line.split()[0], line.split()[1][1:]) for line in lines}
    assert linked - listed == {("skypostal", skypostal.__version__)}
    assert not {"proptest", "cbindgen"} & {name for name, _ in listed}


def test_the_sdist_holds_what_it_needs_and_nothing_else(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    roots = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "Cargo.toml"]
    roots += ["Cargo.lock", "build.rs", "cbindgen.toml", "pyproject.toml"]
    assert names == {"PKG-INFO", *roots} | tracked("src", "include", "python")


def core_tests(programs: Path, tmp_path: Path) -> str:
    """Runs them there; the last line of pytest, which says how many."""
    command: list[str | Path] = [
        programs / "python",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *CORE,
    ]
    return run(*command, f"--basetemp={tmp_path / 'core'}", cwd=ROOT).splitlines()[-1]


# All modules but the one that needs an extra which this environment does not have.
IMPORT_ALL = """
import importlib, pkgutil, skypostal
for module in pkgutil.walk_packages(skypostal.__path__, "skypostal."):
    if module.name != "skypostal.opentelemetry":
        importlib.import_module(module.name)
"""


@pytest.mark.pythons
def test_each_other_interpreter(
    interpreter: str | None,
    wheel: Path,
    links: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert interpreter, "neither PATH nor pyenv has another CPython from 3.9 on"
    offline = ["--no-index", f"--find-links={links}"]
    programs = install(tmp_path / "venv", *offline, wheel, "pytest", python=interpreter)
    version = run(programs / "python", "--version").strip()
    run(programs / "python", "-I", "-W", "error", "-c", IMPORT_ALL)
    outcome = core_tests(programs, tmp_path)
    with capsys.disabled():
        print(f"\n{version}, {interpreter}: {outcome}", end=" ")


def test_the_sdist_builds_with_pip_alone(sdist: Path, links: Path, tmp_path: Path) -> None:
    # To save time, what other tests compiled is used again, and nothing is optimised. The build
    # tool is the locked one: pip reads the first of the two variables, from 25.3 on the second.
    lock = str(ROOT / "tests" / "requirements.txt")
    environment = {
        **os.environ,
        "PIP_CONSTRAINT": lock,
        "PIP_BUILD_CONSTRAINT": lock,
        "CARGO_TARGET_DIR": str(ROOT / "target"),
        "MATURIN_PEP517_ARGS": "--profile=dev",
    }
    what = (f"--find-links={links}", sdist, "pytest")
    core_tests(install(tmp_path / "venv", *what, env=environment), tmp_path)


@pytest.mark.parametrize("command", [["skypostal"], ["python", "-m", "skypostal"]])
def test_the_command_of_the_wheel(command: list[str], clean: Path) -> None:
    text = run(clean / command[0], *command[1:], "--help", env={**os.environ, "COLUMNS": "80"})
    assert text.startswith("usage: skypostal ") and "sandbox" in text


def test_importing_costs_little(clean: Path) -> None:
    # How long it takes is for the benchmarks; what would make it longer is told here by name.
    code = """
import os, sys
before, files = set(sys.modules), set(os.listdir("/proc/self/fd"))
import skypostal
print(len(os.listdir("/proc/self/task")), set(os.listdir("/proc/self/fd")) - files)
print(*sorted(name for name in set(sys.modules) - before))
"""
    started, imported = run(clean / "python", "-I", "-c", code).splitlines()
    assert started == "1 set()"
    others = {name for name in imported.split() if name.partition(".")[0] != "skypostal"}
    assert others <= {"__future__", "atexit"}


NEWCOMER = """
import sys
import skypostal
who = {{"customer_box_id": {box!r}, "customer_key": {key!r}}}
try:
    info = skypostal.update_personal_info(**{{**who, **{changes!r}}})
    print(info.customer_first_name)
except Exception as error:
    sys.exit(str(error))
"""

FIRST_STEPS = [
    ({"customer_first_name": "New Name"}, {}, "New Name"),
    # A typo, and a name that is like no field.
    ({"customer_frist_name": "New Name"}, {}, "Did you mean 'customer_first_name'?"),
    ({"phone": "555"}, {}, "the fields are user_code, app_key, customer_box_id, "),
    # Values that do not fit.
    ({"customer_gender": "male"}, {}, 'customer_gender: must be "M" or "F"'),
    (
        {"customer_birth_date": "19/08/1980"},
        {},
        "customer_birth_date: must be a calendar day",
    ),
    ({"customer_first_name": ""}, {}, "is empty; leave it out to keep the current value"),
    ({"customer_key": None}, {}, "customer_key: is required; the customer has it from registr"),
    # A wrong key, and one with the end of its line.
    ({"customer_key": "wrong"}, {}, "; check the credentials (test and production have their own)"),
    (
        {"customer_key": CUSTOMER_KEY + "\n"},
        {},
        "has a control character (character 45); remove it",
    ),
    # Nothing set up yet, or wrongly.
    ({}, {"SKYPOSTAL_USER_CODE": ""}, "or to the call, or set SKYPOSTAL_USER_CODE"),
    ({}, {"SKYPOSTAL_APP_KEY": ""}, "or to the call, or set SKYPOSTAL_APP_KEY"),
    (
        {},
        {"SKYPOSTAL_BASE_URL": "localhost"},
        "base_url: must be https://host[:port]; this is not a URL (relative URL without a base)"
        " (read from SKYPOSTAL_BASE_URL)",
    ),
    # No network, and no server.
    (
        {"timeout": 2.0},
        {"SKYPOSTAL_BASE_URL": "https://no.such.host.invalid"},
        "; check that this machine is online, the proxy and base_url (delivery not_sent, ",
    ),
    ({"timeout": 2.0}, {"SKYPOSTAL_BASE_URL": "http://127.0.0.1:9"}, "refused (os error 111); ch"),
]


@pytest.mark.parametrize(("changes", "environment", "told"), FIRST_STEPS)
def test_a_newcomer_is_told_what_to_do_next(
    changes: Any, environment: Any, told: str, clean: Path, sandbox: Sandbox
) -> None:
    code = NEWCOMER.format(box=BOX_ID, key=CUSTOMER_KEY, changes=changes)
    given = {**environment_of(sandbox), **environment}
    done = subprocess.run(
        [str(clean / "python"), "-I", "-c", code], capture_output=True, text=True, env=given
    )
    # One line, and what it says.
    assert told in done.stdout + done.stderr and (done.stdout + done.stderr).count("\n") == 1
