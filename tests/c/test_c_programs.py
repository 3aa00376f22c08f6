"""The C face: programs of tests/c against the sandbox."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator

import documented
import pytest
from c_library import FLAGS, VALGRIND, CLibrary
from project import ROOT, TESTS, environment_of

from skypostal.sandbox import PATH, Sandbox

HEADER = ROOT / "include" / "skypostal.h"
CODE = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
DECLARED = set(re.findall(r"(skypostal_\w+)\(", CODE))
# Give a handle through **out that is not optional.
GIVERS = {"skypostal_client_new", "skypostal_bulk_new", "skypostal_bulk_next"}
# Runs a program against a sandbox and returns what it printed.
Run = Callable[..., str]


def finished(command: list[str], sandbox: Sandbox) -> subprocess.CompletedProcess[str]:
    given = environment_of(sandbox)
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stderr}"
    return done


def checked(command: list[str], sandbox: Sandbox) -> str:
    return finished(command, sandbox).stdout


@pytest.fixture(scope="module")
def programs(c_library: CLibrary) -> Callable[[str], str]:
    """Compiles a program of tests/c once."""
    compiled: dict[str, str] = {}

    def program(name: str) -> str:
        if name not in compiled:
            source = TESTS / "c" / f"{name}.c"
            compiled[name] = str(c_library.compile(source, *FLAGS))
        return compiled[name]

    return program


@pytest.fixture
def patient() -> Iterator[Sandbox]:
    """A sandbox that closes no connection."""
    with Sandbox(max_requests=100_000) as sandbox:
        yield sandbox


@pytest.fixture
def run(programs: Callable[[str], str], patient: Sandbox) -> Run:
    return lambda name, *arguments: checked([programs(name), *arguments], patient)


def test_the_documented_update_is_sent_and_its_response_read(run: Run, patient: Sandbox) -> None:
    assert json.loads(run("golden")) == documented.RESPONSE
    first, second = patient.requests
    assert (first.method, first.path) == ("POST", PATH)
    assert first.headers["content-type"] == first.headers["accept"] == "application/json"
    assert first.headers["accept-encoding"] == "identity"
    assert json.loads(first.body) == documented.REQUEST
    assert first.body == second.body


def test_a_bad_value_is_told_remembered_and_never_sent(run: Run, patient: Sandbox) -> None:
    assert int(run("fields")) == len(patient.requests)
    *_, before, last, cleared, without, unset = (
        json.loads(request.body, parse_float=str) for request in patient.requests
    )
    assert (before["customer_first_name"], before["customer_gender"]) == ("First", "F")
    assert (last["customer_first_name"], last["customer_tax_number"]) == ("Second", "123.4500")
    assert "customer_gender" not in last
    credentials = dict(list(documented.REQUEST.items())[:4])
    assert cleared == {**credentials, "customer_last_name": "Cleared"}
    assert without == credentials
    assert unset == {**credentials, "customer_gender": "M"}


def test_options_are_checked_and_the_environment_is_read_on_request(run: Run) -> None:
    run("options")


def test_a_log_has_a_line_for_each_attempt_and_an_update_its_own_timeout(run: Run) -> None:
    run("log")


def test_an_error_says_what_went_wrong_and_whether_the_customer_was_changed(run: Run) -> None:
    run("errors")


@pytest.mark.parametrize("handles", ["live", "stale"])
def test_misuse_is_a_result_code_and_not_a_crash(handles: str, run: Run) -> None:
    run("misuse", handles)


def test_a_debug_build_tells_misuse_on_the_standard_error(
    debug_c_library: CLibrary, patient: Sandbox
) -> None:
    program = str(debug_c_library.compile(TESTS / "c" / "misuse.c", *FLAGS))
    for handles in ["live", "stale"]:
        errors = finished([program, handles], patient).stderr
        for name in ["options", "client", "update", "info", "error", "bulk", "outcome"]:
            assert f"skypostal: {name} was freed, or is a handle of another type\n" in errors
        assert "NULL" not in errors  # as freeing it is no misuse
        told = {name for name in ["info", "error"] if f"{name} is borrowed: its owner" in errors}
        assert told == ({"info", "error"} if handles == "live" else set())


def test_every_function_that_takes_a_handle_is_misused() -> None:
    used = set(re.findall(r"skypostal_\w+", (TESTS / "c" / "misuse.c").read_text()))
    without_handle = {
        "version",
        "version_number",
        "strerror",
        "delivery_text",
        "options_new",
        "update_new",
    }
    assert {name.removeprefix("skypostal_") for name in DECLARED - used} <= without_handle


def test_a_cancel_ends_the_calls_in_flight_at_once(run: Run) -> None:
    run("threads", "cancel")


def test_eight_threads_share_one_client(run: Run, patient: Sandbox) -> None:
    run("threads", "together")
    assert len(patient.requests) == 400
    assert patient.connections <= 8


def test_a_thousand_calls_use_one_connection(run: Run, patient: Sandbox) -> None:
    run("threads", "in_a_row")
    assert (len(patient.requests), patient.connections) == (1000, 1)


def test_a_client_works_on_both_sides_of_a_fork(run: Run, patient: Sandbox) -> None:
    run("forks", "after_a_fork")
    assert [request.connection for request in patient.requests] == [1, 2, 1]


def test_the_hosts_signals_threads_and_locale_are_left_alone(run: Run) -> None:
    run("signals")


def test_a_bulk_gives_each_row_its_outcome_and_stops_as_it_should(run: Run) -> None:
    run("bulk")


def test_a_forked_child_cannot_use_its_parents_bulk_and_may_make_another(run: Run) -> None:
    run("forks", "with_a_bulk")


def test_the_header_and_the_library_are_of_one_version(run: Run) -> None:
    run("version")


# Each with its argument, if it takes one.
MEMCHECKED = ["golden", "errors", "log", "fields", "options", "version", "misuse live", "bulk"]


@pytest.mark.memcheck
@pytest.mark.parametrize("program", MEMCHECKED)
def test_no_memory_is_lost_or_misused(
    program: str, programs: Callable[[str], str], sandbox: Sandbox
) -> None:
    name, *arguments = program.split()
    checked([*VALGRIND, programs(name), *arguments], sandbox)


@pytest.mark.memcheck
@pytest.mark.parametrize("handles", ["live", "stale"])
def test_a_debug_build_tells_stale_handles_without_a_look_at_them(
    handles: str, debug_c_library: CLibrary, sandbox: Sandbox
) -> None:
    program = str(debug_c_library.compile(TESTS / "c" / "misuse.c", *FLAGS))
    checked([*VALGRIND, program, handles], sandbox)


def test_every_function_is_called_from_c_and_under_valgrind() -> None:
    names = {program.split()[0] for program in MEMCHECKED}
    files = ["support.h", *(f"{name}.c" for name in names)]
    sources = [(TESTS / "c" / file).read_text() for file in files]
    code = re.sub(r"/\*.*?\*/", "", "".join(sources), flags=re.DOTALL)
    assert DECLARED - set(re.findall(r"skypostal_\w+", code)) == set()


def manual() -> dict[str, str]:
    """Every public item of the header, with the comment that stands before it."""
    text = HEADER.read_text()
    text = text[text.index("#include <stdint.h>") : text.rindex("#ifdef __cplusplus")]
    item = r"#define (\w+)|typedef struct \w+ (\w+);|^SKYPOSTAL_API\s[^(]*?(\w+)\("
    items: dict[str, str] = {}
    for found in re.finditer(item, text, re.MULTILINE):
        name = found[1] or found[2] or found[3]
        before = text[: found.start()].removesuffix("#ifndef SKYPOSTAL_API\n")
        comment = re.search(r"/\*\*((?:(?!\*/).)*)\*/\n\Z", before, re.DOTALL)
        items[name] = " ".join(comment[1].replace("\n *", " ").split()) if comment else ""
    return items


def test_every_public_item_is_explained() -> None:
    items = manual()
    assert {name for name in items if name.startswith("skypostal_")} > DECLARED
    assert len(items) > len(DECLARED) + 20
    assert [name for name, comment in items.items() if len(comment) < 8] == []


@pytest.mark.parametrize(
    "rule",
    [
        "at most 8192 UTF-16 units (observed: longer ones are refused)",
        "ll other Unicode arrives unchanged",
        "empty text would clear a field is documented nowhere",
        "at most 65536 bytes (observed)",
        "the customer's e-mail address was changed (documented)",
        "numeric (documented): digits with an optional fraction",
        "at most 28 digits",
        "leading zeros are dropped",
        "from 1753-01-01 to today, wherever on Earth today is latest",
        '"M" or "F" (documented)',
        "given by SkyPostal for one environment (documented)",
        "obtained by registration or login (documented)",
        "production's was seen in use elsewhere",
        "status 408, 429, 502, 503 or 504",
        "(documented: it sets fields to values)",
        "With 0 an update is sent at most once",
        "With no change at all the current record comes back",
        "beside the operating system's, which",
        "SSL_CERT_FILE and SSL_CERT_DIR replace",
        'year 1, which stands for "not set" (observed)',
    ],
)
def test_the_manuals_of_c_and_python_state_the_same_rules(rule: str) -> None:
    package = ROOT / "python" / "skypostal"
    stubs = (package / "_native.pyi").read_text() + (package / "_types.py").read_text()
    assert rule in " ".join(stubs.replace("`", "").split())
    assert rule in " ".join(manual().values()).replace("`", "")


def test_ownership_units_and_result_codes_are_said_where_they_matter() -> None:
    items = manual()
    code = " ".join(CODE.split())
    for name in DECLARED:
        comment = items[name]
        # The type before a name, with what it points to.
        (returned,) = re.findall(rf"SKYPOSTAL_API ([\w ]*\W*)\b{name}\(", code)
        if returned.startswith("const "):
            assert "Borrowed" in comment or "Static" in comment, name
            assert "NULL" in comment, name
        elif "*" in returned or name in GIVERS:
            assert "ours" in comment and "_free`" in comment, name
        if name.endswith("_ms"):
            assert "milliseconds" in comment, name
        if name.endswith("_free"):
            assert "NULL is ignored" in comment, name
        setter = re.fullmatch(r"(skypostal_\w+)_set_\w+", name)
        if setter or name in ("skypostal_client_new", "skypostal_client_cancel"):
            results = items[setter[1]] if setter else comment
            assert "SKYPOSTAL_OK" in results and "SKYPOSTAL_MISUSE" in results, name
    for handle in ("options", "client", "update", "personal_info", "error", "bulk", "outcome"):
        comment = items[f"skypostal_{handle}"]
        assert f"skypostal_{handle}_free`" in comment and "thread" in comment, handle
