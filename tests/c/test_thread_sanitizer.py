"""One client from 64 threads, as it is and under ThreadSanitizer.

For that, the C program, the library with its crates, ring's C code and Rust's standard library are
built anew with instrumentation; what it cannot see is ring's assembly and the C library's inside,
of which it knows the functions that synchronise. Building the standard library needs its source
and a compiler's unstable options: Debian's compiler with RUSTC_BOOTSTRAP has both.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from c_library import FLAGS, CLibrary
from project import ROOT, TESTS, environment_of

from skypostal.sandbox import Sandbox

SOURCE = TESTS / "c" / "many_threads.c"
TARGET = "x86_64-unknown-linux-gnu"


@pytest.fixture
def patient() -> Iterator[Sandbox]:
    """A sandbox that closes no connection."""
    with Sandbox(max_requests=100_000) as sandbox:
        yield sandbox


def run(program: Path, what: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    # Of the threads that look up names for runs of many updates tokio joins the last one with its
    # next one, and at the end of the process there is none.
    options = "history_size=7 halt_on_error=1 report_thread_leaks=0"
    environment = {**environment, "TSAN_OPTIONS": options}
    return subprocess.run(
        [program, what], env=environment, capture_output=True, text=True, timeout=300
    )


def test_64_threads_share_one_client(c_library: CLibrary, patient: Sandbox) -> None:
    done = run(c_library.compile(SOURCE, *FLAGS), "allowed", environment_of(patient))
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def sanitized_library() -> Path:
    build = {
        **os.environ,
        **compiler_with_source(),
        "RUSTC_BOOTSTRAP": "1",
        # The runtime is the one of the C compiler, which links the program.
        "RUSTFLAGS": "-Zsanitizer=thread -Zexternal-clangrt",
        "CFLAGS": "-fsanitize=thread -O2",
        # The code of a release, without the locks of a debug build, which could hide a race; but
        # quickly made.
        "CARGO_PROFILE_RELEASE_OPT_LEVEL": "0",
        "CARGO_PROFILE_RELEASE_LTO": "off",
        "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "256",
        "CARGO_PROFILE_RELEASE_DEBUG": "line-tables-only",
    }
    folder = ROOT / "target" / "tsan"
    command = ["rustc", "--locked", "--release", "--lib", "--crate-type", "staticlib"]
    command += ["--features", "capi"]
    command += ["-Zbuild-std=std", "--target", TARGET, "--target-dir", str(folder)]
    subprocess.run([build["CARGO"], *command], cwd=ROOT, env=build, check=True)
    return folder / TARGET / "release" / "libskypostal.a"


def compiler_with_source() -> dict[str, str]:
    """The first compiler that has the source of its standard library."""
    for folder in [*os.get_exec_path(), "/usr/bin"]:
        rustc, cargo = f"{folder}/rustc", f"{folder}/cargo"
        if shutil.which(rustc) and shutil.which(cargo):
            sysroot = subprocess.check_output([rustc, "--print", "sysroot"], text=True).strip()
            if Path(sysroot, "lib/rustlib/src/rust/library").is_dir():
                return {"RUSTC": rustc, "CARGO": cargo}
    pytest.fail("no compiler has its library's source: see rust-web-src in debian-packages.txt")


@pytest.fixture(scope="session")
def sanitized(sanitized_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, linked with the library, under ThreadSanitizer."""
    program = tmp_path_factory.mktemp("tsan") / "many_threads"
    command = ["cc", *FLAGS, "-g", "-O1", "-fsanitize=thread", f"-I{ROOT / 'include'}"]
    command += [str(SOURCE), str(sanitized_library), "-lpthread", "-ldl", "-lm"]
    subprocess.run([*command, "-o", str(program)], check=True)
    return program


@pytest.mark.toolchains
def test_what_the_header_allows_is_no_race(sanitized: Path, patient: Sandbox) -> None:
    done = run(sanitized, "allowed", environment_of(patient))
    assert (done.returncode, "WARNING" in done.stderr) == (0, False), done.stderr


@pytest.mark.toolchains
def test_nor_is_it_over_tls(sanitized: Path) -> None:
    with Sandbox(tls=True, max_requests=100_000) as secure:
        given = {**environment_of(secure), "SSL_CERT_FILE": str(secure.ca_file)}
        # By name, so that it is looked up.
        given["SKYPOSTAL_BASE_URL"] = secure.url.replace("127.0.0.1", "localhost")
        done = run(sanitized, "allowed", given)
    assert (done.returncode, "WARNING" in done.stderr) == (0, False), done.stderr


@pytest.mark.toolchains
def test_what_the_header_forbids_is_seen(sanitized: Path, patient: Sandbox) -> None:
    done = run(sanitized, "forbidden", environment_of(patient))
    assert done.returncode == 66, done.stderr
    for word in ["data race", "skypostal_update_set_customer_first_name", "set_shared"]:
        assert word in done.stderr


@pytest.mark.toolchains
def test_all_code_but_rings_assembly_is_watched(sanitized_library: Path) -> None:
    command = ["nm", "-A", str(sanitized_library)]
    symbols = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    objects: dict[str, str] = {}
    for line in symbols.splitlines():
        _, name, symbol = line.split(":", 2)
        objects[name] = objects.get(name, "") + symbol + "\n"
    for crate in ["core", "alloc", "std", "tokio", "rustls", "ring", "skypostal"]:
        assert any(name.startswith(f"{crate}-") for name in objects), crate
    for name, symbols in objects.items():
        assembly = re.search(r"-elf\.o$|-fiat_curve25519_adx_\w+\.o$", name)
        # Each of its functions is one jump.
        allocator = re.search(r" T \w+___rust_dealloc$", symbols, re.MULTILINE)
        assert "__tsan_" in symbols or assembly or allocator, name
