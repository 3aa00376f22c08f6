"""What pip, the linker and the loader say where an artifact does not fit, as the page shows it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from linux_pythons import PYTHONS
from other_pythons import PIP
from project import ROOT
from released import c_archives, unpack, wheels

pytestmark = pytest.mark.release

PAGE = (ROOT / "docs" / "platforms.md").read_text()
LOAD = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"


@pytest.mark.skipif("linux-x86_64" not in wheels(), reason="linux-x86_64 was not built")
def test_the_commands_of_the_page_name_files_that_are_there() -> None:
    named = re.findall(r"^(?:pip|tar|apt-get) \S+ (?:\./)?(build/release/\S+)", PAGE, re.MULTILINE)
    assert [len(list(ROOT.glob(name))) for name in named] == [1, 1, 2]


def said(*command: str | Path, **options: Any) -> str:
    """The output of a command that fails."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    assert done.returncode != 0, done.stdout
    output: str = done.stdout
    return output


def meaning(message: str) -> str:
    """What the page says that a message means; an ellipsis in the page's stands for any text."""
    table = PAGE[PAGE.index("| message | meaning |") :]
    found: list[str] = []
    for _, shown, meant in re.findall(r"^\| (`+) ?(.+?) ?\1 \| (.+) \|$", table, re.MULTILINE):
        if re.search(".*".join(map(re.escape, shown.split("…"))), message):
            found.append(meant)
    assert len(found) == 1, (message, found)
    return found[0]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The unpacked archives for Linux."""
    archives = {name: path for name, path in c_archives().items() if name.startswith("linux-")}
    return {name: unpack(path, tmp_path_factory.mktemp(name)) for name, path in archives.items()}


def refused(*options: str | Path) -> bool:
    message = said(*PIP, "install", "--no-index", "--no-deps", *options)
    return meaning(message).startswith("The wheel is for another system, processor or C library")


def test_pip_on_another_platform(tmp_path: Path) -> None:
    # All that pip looks at is the name.
    for tag in ("win_amd64", "manylinux2014_s390x", "musllinux_1_2_x86_64", "macosx_11_0_arm64"):
        wheel = tmp_path / f"skypostal-0.1.0-cp39-abi3-{tag}.whl"
        wheel.touch()
        assert refused(wheel), tag


@pytest.mark.skipif("linux-x86_64" not in wheels(), reason="its wheel was not built")
def test_pip_with_an_older_glibc_and_an_older_python(tmp_path: Path) -> None:
    wheel = wheels()["linux-x86_64"]
    place = [f"--target={tmp_path}", "--only-binary=:all:"]
    assert refused(*place, "--platform=manylinux_2_12_x86_64", wheel)
    assert refused(*place, "--platform=manylinux2014_x86_64", "--python-version=3.8", wheel)


def load(library: Path, python: Path | str = sys.executable) -> str:
    return said(python, "-c", LOAD, library)


def compiled(source: str, output: Path, *flags: str) -> Path:
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-nostdlib", "-xc", "-", "-xnone", "-o", output, *flags],
        input=source,
        text=True,
        check=True,
    )
    return output


def test_an_older_glibc(tmp_path: Path) -> None:
    # A library that needs a newer glibc than any.
    script = tmp_path / "versions"
    script.write_text("GLIBC_9.99 { newest; };\n")
    libc = compiled(
        "void newest(void) {}", tmp_path / "libc.so", "-Wl,-soname,libc.so.6",
        f"-Wl,--version-script={script}",
    )  # fmt: skip
    source = "extern void newest(void); void call(void) { newest(); }"
    library = compiled(source, tmp_path / "library.so", "-Wl,-soname,library.so", str(libc))
    assert "on a newer system" in meaning(load(library))


def test_a_library_of_another_bitness(tmp_path: Path) -> None:
    library = compiled("int one(void) { return 1; }", tmp_path / "library.so", "-m32")
    assert "32-bit library" in meaning(load(library))


@pytest.mark.skipif("linux-aarch64" not in c_archives(), reason="its archive was not built")
def test_a_library_and_a_program_for_another_processor(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = folders["linux-aarch64"]
    assert "it is for another processor" in meaning(load(folder / "lib" / "libskypostal.so"))
    link: list[str | Path] = ["cc", folder / "examples" / "update.c", f"-I{folder / 'include'}"]
    message = said(*link, f"-L{folder / 'lib'}", "-lskypostal", "-o", tmp_path / "update")
    assert "linker found the library of another" in meaning(message)
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    program = tmp_path / "main"
    subprocess.run(["aarch64-linux-gnu-gcc", tmp_path / "main.c", "-o", program], check=True)
    # A machine may be set up to run it by qemu, which then says what it lacks.
    message = said("bash", "-c", str(program), env={"LC_ALL": "C"})
    assert meaning(message) == "The program is for another processor."


@pytest.mark.skipif("linux-x86_64" not in c_archives(), reason="its archive was not built")
def test_a_library_that_is_not_found(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = folders["linux-x86_64"]
    program = tmp_path / "update"
    link: list[str | Path] = ["cc", folder / "examples" / "update.c", f"-I{folder / 'include'}"]
    subprocess.run([*link, f"-L{folder / 'lib'}", "-lskypostal", "-o", program], check=True)
    assert "`ldconfig`" in meaning(said(program))


@pytest.mark.skipif(
    not {"linux-x86_64", "linux-musl-x86_64"} <= {*c_archives(), *wheels()},
    reason="the musl wheel was not built",
)
def test_the_library_for_glibc_under_musl(folders: dict[str, Path]) -> None:
    (python,) = [python for python in PYTHONS if python.platform == "linux-musl-x86_64"]
    library = folders["linux-x86_64"] / "lib" / "libskypostal.so"
    assert "under musl" in meaning(load(library, python.program()))
