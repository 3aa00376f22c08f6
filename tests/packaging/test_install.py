"""What `make install` puts where, and programs built with it as its users build them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from c_library import CLibrary
from project import ROOT, make

README = (ROOT / "README.md").read_text()
EXAMPLES = ["update.c", "update.cpp", "modern.cpp"]
VERSION = re.findall(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[0]
HEADERS = {path.name for path in (ROOT / "include").iterdir()}
LIBRARIES = {
    "libskypostal.a",
    "libskypostal.so",
    f"libskypostal.so.{VERSION.split('.')[0]}",
    f"libskypostal.so.{VERSION}",
    "pkgconfig/skypostal.pc",
}
DATA = {
    "cmake/skypostal/skypostal-config.cmake",
    "cmake/skypostal/skypostal-config-version.cmake",
    "doc/skypostal/LICENSE-APACHE",
    "doc/skypostal/LICENSE-MIT",
    "man/man1/skypostal.1",
    "skypostal/valgrind.supp",
}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def run(*command: str | Path, **changes: str) -> str:
    environment = {**os.environ, **changes}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def updates(program: Path, **changes: str) -> bool:
    return "cust_id: 51736835\n" in run(program, "New", "Last", "1980-08-19", "M", **changes)


def is_static(program: Path) -> bool:
    return "libskypostal" not in run("readelf", "-d", program)


def test_the_files_are_where_they_belong_and_go_again(tmp_path: Path) -> None:
    places = ["PREFIX=/usr", "LIBDIR=/usr/lib64", f"DESTDIR={tmp_path / 'a stage'}"]
    make("install", *places)
    prefix = tmp_path / "a stage" / "usr"
    assert files(tmp_path / "a stage") == {
        *(f"usr/include/{name}" for name in HEADERS),
        *(f"usr/lib64/{name}" for name in LIBRARIES),
        *(f"usr/share/{name}" for name in DATA),
    }
    for path in prefix.rglob("*"):
        if path.is_file():
            wanted = 0o755 if ".so" in path.name else 0o644
            assert path.stat().st_mode & 0o777 == wanted, path
        # Everything may be moved, and nothing tells on the machine that built it.
        assert not path.is_file() or str(tmp_path) not in path.read_text(errors="replace")
    another = prefix / "lib64" / "pkgconfig" / "another.pc"
    another.touch()
    for _ in range(2):
        make("uninstall", *places)
    assert files(tmp_path / "a stage") == {"usr/lib64/pkgconfig/another.pc"}
    assert not list(prefix.rglob("*skypostal*"))


def test_what_is_built_is_installed_without_cargo(c_library: CLibrary, tmp_path: Path) -> None:
    """So that root, who may have no cargo, can install what a user built."""
    make("install", f"PREFIX={tmp_path}", "CARGO=false", "PYTHON=false")
    assert files(tmp_path / "include") == HEADERS


@pytest.mark.usefixtures("for_programs")
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_bare_flags_of_the_readme(example: str, tmp_path: Path) -> None:
    """Of the debug profile, which takes less time to build."""
    build = re.findall(r"`(cargo build .*?)`", README)[0]
    flags = re.findall(r"^cc program.c (-Iinclude .*)$", README, re.MULTILINE)[0]
    assert "--release" in build and "target/release" in flags
    build, flags = build.replace("--release ", ""), flags.replace("/release", "/debug")
    compiler = "cc" if example.endswith(".c") else "c++"
    source, program = ROOT / "examples" / example, tmp_path / "update"
    script = f"{build} --locked\n{compiler} {shlex.quote(str(source))} -o {program} {flags}\n"
    subprocess.run(["sh", "-ec", script], cwd=ROOT, check=True)
    assert updates(program)


@pytest.mark.usefixtures("for_programs")
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_static_library_may_be_named_by_its_path(
    example: str, c_library: CLibrary, tmp_path: Path
) -> None:
    compiler = "cc" if example.endswith(".c") else "c++"
    flags = [f"-I{c_library.prefix / 'include'}", str(c_library.folder / "libskypostal.a"), "-lm"]
    program = tmp_path / "update"
    run(compiler, ROOT / "examples" / example, *flags, "-s", "-o", program)
    assert is_static(program)
    assert updates(program)
    told = float(re.findall(r"takes ([\d.]+) MiB", README)[0])
    assert abs(program.stat().st_size / 2**20 - told) < 0.3


def test_what_static_linking_needs_is_what_rustc_says(tmp_path: Path) -> None:
    command = ["rustc", "--crate-type=staticlib", "--print=native-static-libs", "-", "-o", "x.a"]
    done = subprocess.run(command, input="", cwd=tmp_path, capture_output=True, text=True)
    # Compilers link these two by themselves, and the right kind of them with -static.
    needed = set(re.findall(r" -l(\w+)", done.stderr)) - {"gcc_s", "c"}
    makefile = (ROOT / "Makefile").read_text()
    (flags,) = re.findall(r"^STATIC_LIBS := (-l.*)$", makefile, re.MULTILINE)
    private = re.findall(r"-l(\w+)", flags)
    assert needed and needed <= set(private)
    cmake = (ROOT / "cmake" / "skypostal-config.cmake").read_text()
    assert re.findall(r'INTERFACE_LINK_LIBRARIES "(.*;dl)"', cmake) == [";".join(private)]
    readme = (ROOT / "release" / "readme-linux.txt").read_text()
    assert readme.count(f" lib/libskypostal.a {flags} ") == 1


def test_cargo_c_is_told_to_install_the_same() -> None:
    """cargo-c itself takes too long to build for every run of the tests."""
    command = ["cargo", "metadata", "--no-deps", "--format-version=1"]
    package = json.loads(run(*command))["packages"][0]
    capi = package["metadata"]["capi"]
    assert capi["header"] == {"generation": False, "subdirectory": False}
    assert capi["library"] == {"version_suffix_components": 1}
    install = capi["install"]
    installed = {
        kind: {
            str(Path(asset["to"]) / path.name)
            for asset in install[kind]["asset"]
            for path in ROOT.glob(asset["from"])
        }
        for kind in install
    }
    assert installed == {"include": HEADERS, "data": DATA}


@pytest.fixture(scope="module", params=["as it is", "moved", "staged"])
def prefix(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation: where it was put, where it was moved to, or below a DESTDIR."""
    folder = tmp_path_factory.mktemp("prefix")
    if request.param == "staged":
        libdir = f"LIBDIR=/opt/sky/lib/{run('cc', '-print-multiarch').strip() or 'x'}"
        make("install", "PREFIX=/opt/sky", libdir, f"DESTDIR={folder}")
        return folder / "opt" / "sky"
    make("install", f"PREFIX={folder / 'first'}")
    if request.param == "moved":
        return (folder / "first").rename(folder / "second")
    return folder / "first"


@pytest.mark.toolchains
@pytest.mark.usefixtures("for_programs")
@pytest.mark.parametrize("example", EXAMPLES)
def test_programs_are_built_through_pkg_config(
    example: str, prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pc,) = prefix.rglob("skypostal.pc")
    monkeypatch.setenv("PKG_CONFIG_PATH", str(pc.parent))
    assert run("pkg-config", "--modversion", "skypostal") == f"{VERSION}\n"
    run("pkg-config", "--validate", "skypostal")
    shared, static = re.findall(r"^cc program.c (.*pkg-config .*)$", README, re.MULTILINE)

    def build(name: str, flags: str) -> Path:
        compiler = "cc" if example.endswith(".c") else "c++"
        source = shlex.quote(str(ROOT / "examples" / example))
        run("sh", "-ec", f"{compiler} {source} -o {tmp_path / name} {flags}")
        return tmp_path / name

    program = build("shared", shared)
    assert not is_static(program)
    assert updates(program, LD_LIBRARY_PATH=str(pc.parents[1]))
    # The third one brings the C library too.
    wholly = "-static $(pkg-config --cflags --static --libs skypostal)"
    for name, flags in [("static", static), ("wholly-static", wholly)]:
        program = build(name, flags)
        assert is_static(program)
        assert updates(program)


@pytest.mark.toolchains
@pytest.mark.usefixtures("for_programs")
@pytest.mark.parametrize("kind", ["skypostal", "static"])
def test_programs_are_built_through_cmake(kind: str, prefix: Path, tmp_path: Path) -> None:
    (block,) = re.findall(r"^```cmake\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    lines = ["cmake_minimum_required(VERSION 3.10)", "project(examples C CXX)"]
    for example in EXAMPLES:
        target = example.replace(".", "-")
        lines.append(f"add_executable({target} {ROOT / 'examples' / example})")
        lines.append(block.replace("program", target).replace("::skypostal)", f"::{kind})"))
    (tmp_path / "CMakeLists.txt").write_text("\n".join(lines))
    run("cmake", "-S", tmp_path, "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", tmp_path)
    for example in EXAMPLES:
        program = tmp_path / example.replace(".", "-")
        assert is_static(program) == (kind == "static")
        assert updates(program)


@pytest.mark.toolchains
@pytest.mark.usefixtures("for_programs")
def test_folders_may_have_spaces_in_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    make(
        "install",
        f"PREFIX={folder / 'pre fix'}",
        f"LIBDIR={folder / 'lib raries'}",
        f"INCLUDEDIR={folder / 'in clude'}",
    )
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.10)\nproject(update C)\n"
        "find_package(skypostal REQUIRED)\n"
        f'add_executable(cmake-update "{ROOT / "examples" / "update.c"}")\n'
        "target_link_libraries(cmake-update PRIVATE skypostal::static)\n"
    )
    run("cmake", "-S", tmp_path, "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={folder / 'pre fix'}")
    run("cmake", "--build", tmp_path)
    assert updates(tmp_path / "cmake-update")
    libraries = folder / "lib raries"
    # What it prints is quoted for a shell that reads it.
    flags = run(
        *["pkg-config", "--cflags", "--libs", "skypostal"],
        PKG_CONFIG_PATH=str(libraries / "pkgconfig"),
    )
    source, program = ROOT / "examples" / "update.c", tmp_path / "update"
    run("cc", source, *shlex.split(flags), "-o", program)
    assert updates(program, LD_LIBRARY_PATH=str(libraries))


@pytest.mark.toolchains
@pytest.mark.parametrize(
    ("wanted", "found"),
    [("", True), ("0.1", True), (f"{VERSION} EXACT", True), ("0.999", False), ("1", False)],
)
def test_cmake_is_told_which_versions_will_do(
    wanted: str, found: bool, c_library: CLibrary, tmp_path: Path
) -> None:
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.10)\nproject(none NONE)\n"
        f"find_package(skypostal {wanted})\n"
        'message(STATUS "found: ${skypostal_FOUND} ${skypostal_VERSION}")\n'
    )
    text = run("cmake", "-S", tmp_path, "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={c_library.prefix}")
    assert (f"found: 1 {VERSION}" in text) == found
