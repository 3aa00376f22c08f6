"""The header under each compiler and standard, and under tools of other languages that read it."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import cffi  # type: ignore[import-untyped]
import pytest
from c_library import CLibrary
from project import ROOT

from skypostal import Client
from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, USER_CODE, Sandbox

HEADER = ROOT / "include" / "skypostal.h"
CONSTANTS = re.findall(r"^#define (SKYPOSTAL_\w+ \d+)$", HEADER.read_text(), re.MULTILINE)

C = ["c89", "iso9899:199409", "c99", "c11", "c17", "c2x", "gnu89", "gnu17"]
CXX = ["c++98", "c++11", "c++14", "c++17", "c++20", "c++2b", "gnu++98", "gnu++17"]
STANDARDS = [("c", standard) for standard in C] + [("c++", standard) for standard in CXX]
WARNINGS = [
    "-pedantic-errors",
    "-Werror",
    "-Wall",
    "-Wextra",
    "-Wundef",
    "-Wconversion",
    "-Wshadow",
]
OF_C = ["-Wstrict-prototypes", "-Wmissing-prototypes", "-Wredundant-decls", "-Wc++-compat"]
OF_CXX = ["-Wold-style-cast", "-Wredundant-decls"]


def compiles(compiler: str, language: str, standard: str, *warnings: str) -> None:
    """Alone, twice, first and last."""
    command = [compiler, f"-std={standard}", "-x", language, "-fsyntax-only", f"-I{HEADER.parent}"]
    command += [*WARNINGS, *warnings, *(OF_C if language == "c" else OF_CXX), "-"]
    ours, others = "#include <skypostal.h>\n", "#include <stdio.h>\n#include <string.h>\n"
    use = "int main(void) { return skypostal_version_number() == SKYPOSTAL_VERSION_NUMBER; }\n"
    for includes in [ours, ours + ours, ours + others, others + ours]:
        done = subprocess.run(command, input=includes + use, text=True, capture_output=True)
        assert (done.returncode, done.stderr) == (0, ""), includes


def test_every_loop_over_customers_begins_with_an_update_that_is_as_new() -> None:
    """Else one customer's field goes into the next customer's update."""
    clear = re.compile(r"skypostal_update_clear\(update\);|update\.clear\(\)")
    for path, loops in [
        ("include/skypostal.h", ["while (more &&"]),
        ("include/skypostal.hpp", ["while (bulk.capacity() > 0"]),
        ("docs/c.md", ["for (record", "while (more &&"]),
        ("examples/legacy.c", ["static void fill("]),
    ]:
        text = (ROOT / path).read_text()
        for loop in loops:
            (body,) = text.split(loop)[1:]
            first = re.search(r"read_row\(|_set_customer", body)
            assert first and clear.search(body, 0, first.end() + 30), (path, loop)


def test_what_a_function_returns_is_a_result_code_and_never_called_a_status() -> None:
    """In what users read: there a status is the HTTP status."""
    files = [*HEADER.parent.iterdir(), *(ROOT / "examples").iterdir(), ROOT / "README.md"]
    for path in [*files, ROOT / "docs" / "c.md"]:
        found = re.findall(r"\bint status\b|\$status\b|status-code|[Ss]tatuses:", path.read_text())
        assert found == [], path


@pytest.mark.parametrize(("language", "standard"), STANDARDS)
def test_compiles_without_a_warning(language: str, standard: str) -> None:
    compiles("cc" if language == "c" else "c++", language, standard)


@pytest.mark.toolchains
@pytest.mark.parametrize(("language", "standard"), STANDARDS)
def test_compiles_without_a_warning_with_clang(language: str, standard: str) -> None:
    # Everything but what is no fault of a header.
    everything = ["-Weverything", "-Wno-c++98-compat"]
    compiles("clang" if language == "c" else "clang++", language, standard, *everything)


@pytest.mark.parametrize("language", ["c", "c++"])
def test_windows_imports_what_is_not_linked_statically(language: str) -> None:
    """What stands before a function there; the library itself was never built for Windows."""
    for given, expected in [
        (["-D_WIN32"], "__declspec(dllimport) const char *skypostal_version(void);"),
        (["-D_WIN32", "-DSKYPOSTAL_STATIC"], "const char *skypostal_version(void);"),
        ([], "const char *skypostal_version(void);"),
        (["-DSKYPOSTAL_API=mine"], "mine const char *skypostal_version(void);"),
    ]:
        command = ["cc", "-E", "-P", "-x", language, "-D_STDINT_H", *given, str(HEADER)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert expected in [" ".join(line.split()) for line in text.splitlines()]


@pytest.fixture(scope="module")
def ffi() -> cffi.FFI:
    """cffi reads no directives; it knows the types of stdint.h itself."""
    command = ["cc", "-E", "-P", "-D_STDINT_H", str(HEADER)]
    declarations = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    ffi = cffi.FFI()
    ffi.cdef("".join(f"#define {constant}\n" for constant in CONSTANTS) + declarations)
    return ffi


def update(ffi: cffi.FFI, c: Any, name: str) -> str:
    """One update through cffi, as the environment says; the first name that came back."""
    text, pointer = name.encode(), {}
    for kind in ["client", "personal_info", "error"]:
        pointer[kind] = ffi.new(f"skypostal_{kind} **")
    options, change = c.skypostal_options_new(), c.skypostal_update_new()
    assert c.skypostal_options_read_environment(options) == c.SKYPOSTAL_OK
    assert c.skypostal_update_set_customer_box_id(change, BOX_ID) == c.SKYPOSTAL_OK
    assert c.skypostal_update_set_customer_key(change, CUSTOMER_KEY.encode()) == c.SKYPOSTAL_OK
    assert c.skypostal_update_set_customer_first_name(change, text) == c.SKYPOSTAL_OK
    assert c.skypostal_update_set_customer_gender(change, b"x") == c.SKYPOSTAL_INVALID_FIELD
    assert c.skypostal_update_set_customer_gender(change, ffi.NULL) == c.SKYPOSTAL_OK
    assert c.skypostal_client_new(options, pointer["client"], ffi.NULL) == c.SKYPOSTAL_OK
    status = c.skypostal_client_update_personal_info(
        pointer["client"][0], change, pointer["personal_info"], pointer["error"]
    )
    assert (status, pointer["error"][0]) == (c.SKYPOSTAL_OK, ffi.NULL)
    info = pointer["personal_info"][0]
    response: bytes = ffi.string(c.skypostal_personal_info_customer_first_name(info))
    c.skypostal_personal_info_free(info)
    c.skypostal_client_free(pointer["client"][0])
    c.skypostal_update_free(change)
    c.skypostal_options_free(options)
    return response.decode()


@pytest.mark.usefixtures("for_programs")
@pytest.mark.parametrize("scope", ["RTLD_LOCAL", "RTLD_GLOBAL"])
def test_cffi_reads_it_and_the_python_module_is_not_disturbed(
    scope: str, ffi: cffi.FFI, c_library: CLibrary, sandbox: Sandbox
) -> None:
    how = getattr(ffi, scope) | ffi.RTLD_NOW
    c = ffi.dlopen(str(c_library.folder / "libskypostal.so.0"), how)
    for name in ["Zoë", "Ana"]:
        assert update(ffi, c, name) == name
        with Client(user_code=USER_CODE, app_key=APP_KEY, base_url=sandbox.url) as client:
            info = client.update_personal_info(
                customer_box_id=BOX_ID, customer_key=CUSTOMER_KEY, customer_last_name=name
            )
        assert (info.customer_first_name, info.customer_last_name) == (name, name)
    ffi.dlclose(c)


@pytest.mark.toolchains
@pytest.mark.usefixtures("for_programs")
def test_bindgen_reads_it(c_library: CLibrary, tmp_path: Path) -> None:
    (tmp_path / "main.rs").write_text(
        """
        #![allow(warnings)]
        mod c { include!("bindings.rs"); }
        use std::{env, ffi::{CStr, CString}, ptr::null_mut};

        fn main() {
            unsafe {
                let (options, update) = (c::skypostal_options_new(), c::skypostal_update_new());
                let (mut client, mut info) = (null_mut(), null_mut());
                let key = CString::new(env::var("SKYPOSTAL_CUSTOMER_KEY").unwrap()).unwrap();
                let box_id: i64 = env::var("SKYPOSTAL_CUSTOMER_BOX_ID").unwrap().parse().unwrap();
                c::skypostal_options_read_environment(options);
                c::skypostal_update_set_customer_box_id(update, box_id);
                c::skypostal_update_set_customer_key(update, key.as_ptr());
                c::skypostal_client_new(options, &mut client, null_mut());
                let status =
                    c::skypostal_client_update_personal_info(client, update, &mut info, null_mut());
                assert_eq!(status as u32, c::SKYPOSTAL_OK);
                println!("{}", c::skypostal_personal_info_cust_id(info));
                c::skypostal_personal_info_free(info);
                c::skypostal_client_free(client);
                c::skypostal_update_free(update);
                c::skypostal_options_free(options);
            }
        }
        """
    )
    bindgen = ["bindgen", str(HEADER), "--output=bindings.rs"]
    bindgen += ["--allowlist-function=skypostal_.*", "--allowlist-var=SKYPOSTAL_.*"]
    rustc = ["rustc", "--edition=2021", "main.rs", f"-L{c_library.folder}", "-lskypostal"]
    rustc += [f"-Clink-arg=-Wl,-rpath,{c_library.folder}"]
    for command in [bindgen, rustc]:
        subprocess.run(command, cwd=tmp_path, check=True)
    assert printed_by(tmp_path / "main") == "51736835\n"


@pytest.mark.toolchains
@pytest.mark.usefixtures("for_programs")
def test_swig_reads_it(c_library: CLibrary, tmp_path: Path) -> None:
    (tmp_path / "swigged.i").write_text(
        "%module swigged\n%{\n#include <skypostal.h>\n%}\n%include <stdint.i>\n"
        "%include <cpointer.i>\n%pointer_functions(skypostal_client *, client_out)\n"
        "%pointer_functions(skypostal_personal_info *, info_out)\n%include <skypostal.h>\n"
    )
    (tmp_path / "use.py").write_text(
        "import os\n"
        "from swigged import *\n"
        "options, update = skypostal_options_new(), skypostal_update_new()\n"
        "client, info = new_client_out(), new_info_out()\n"
        "skypostal_options_read_environment(options)\n"
        "box_id = int(os.environ['SKYPOSTAL_CUSTOMER_BOX_ID'])\n"
        "skypostal_update_set_customer_box_id(update, box_id)\n"
        "skypostal_update_set_customer_key(update, os.environ['SKYPOSTAL_CUSTOMER_KEY'])\n"
        "assert skypostal_client_new(options, client, None) == SKYPOSTAL_OK\n"
        "client = client_out_value(client)\n"
        "assert skypostal_client_update_personal_info(client, update, info, None) == SKYPOSTAL_OK\n"
        "print(skypostal_personal_info_cust_id(info_out_value(info)))\n"
        "skypostal_personal_info_free(info_out_value(info))\n"
        "skypostal_client_free(client)\n"
        "skypostal_update_free(update)\n"
        "skypostal_options_free(options)\n"
    )
    swig = ["swig", "-python", "-Wall", "-Werror", "-DSWIGWORDSIZE64", f"-I{HEADER.parent}"]
    python = sysconfig.get_path("include")
    cc = ["cc", "-shared", "-fPIC", f"-I{python}", f"-I{HEADER.parent}", "swigged_wrap.c"]
    cc += ["-o", "_swigged.so", f"-L{c_library.folder}", "-lskypostal"]
    cc += [f"-Wl,-rpath,{c_library.folder}"]
    for command in [[*swig, "swigged.i"], cc]:
        subprocess.run(command, cwd=tmp_path, check=True)
    assert printed_by(sys.executable, "use.py", cwd=tmp_path) == "51736835\n"


def printed_by(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
