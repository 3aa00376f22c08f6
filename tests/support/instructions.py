"""Counts the instructions and allocations of a call, which a busy machine does not change.

    make instructions       writes tests/instructions.json, which test_instructions.py compares with
    make instructions-parts prints what part of a call from C takes how many

valgrind counts: callgrind the instructions, memcheck the allocations. What comes before and after
the calls cancels out, because a count is the difference between two runs of one program that differ
in how many calls they make.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import parse_headers
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer

from project import ROOT, TESTS

KEPT = TESTS / "instructions.json"
FEW, MANY = 50, 250

RESPONSE = (TESTS / "data" / "response.json").read_bytes()

UPDATE = """
FIELDS = dict(
    customer_box_id=811111, customer_key="a key", customer_first_name="New Name",
    customer_last_name="New Last", customer_birth_date="1980-08-19", customer_gender="M",
)
def check(info):
    assert info.cust_id == 51736835 and info.customer_birth_date.year == 1980
"""
CALLS = f"""{UPDATE}
import sys, skypostal
client = skypostal.Client()
for _ in range(int(sys.argv[1])):
    check(client.update_personal_info(**FIELDS))
"""
AWAITED_CALLS = f"""{UPDATE}
import asyncio, sys, skypostal
async def main():
    client = skypostal.AsyncClient()
    for _ in range(int(sys.argv[1])):
        check(await client.update_personal_info(**FIELDS))
asyncio.run(main())
"""
RESPONSES = """
import sys, skypostal
for _ in range(int(sys.argv[1])):
    skypostal.PersonalInfo._from_raw(sys.argv[2])
"""
RECORD = json.dumps(json.loads(RESPONSE)[0])


class Handler(StreamRequestHandler):
    """Sends the same response to every request, in one piece."""

    def handle(self) -> None:
        head = [
            "HTTP/1.1 200 OK",
            f"Content-Length: {len(RESPONSE)}",
            "Content-Type: application/json",
        ]
        response = "\r\n".join([*head, "", ""]).encode() + RESPONSE
        while self.rfile.readline():
            self.rfile.read(int(parse_headers(self.rfile)["content-length"]))
            self.wfile.write(response)


@contextmanager
def server() -> Iterator[dict[str, str]]:
    """A service on this machine; gives the environment that leads there."""
    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        yield environment_of(service.server_address[1])
        service.shutdown()


def environment_of(port: int) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONHASHSEED": "0",
        "SKYPOSTAL_BASE_URL": f"http://localhost:{port}",
        "SKYPOSTAL_USER_CODE": "396",
        "SKYPOSTAL_APP_KEY": "1656d700707ad9a77f737e5df3db088a",
        "SKYPOSTAL_CUSTOMER_BOX_ID": "811111",
        "SKYPOSTAL_CUSTOMER_KEY": "YpbCNpzqxYqVWv+tzg4e4Ex6ALiT+DfKSYA3NY2dZcw=",
    }


def callgrind(command: list[str], environment: dict[str, str], out: str = "/dev/null") -> int:
    """Returns the number of instructions that a program takes."""
    options = ["--tool=callgrind", f"--callgrind-out-file={out}"]
    return counted(options, command, environment, r"Collected : (\d+)")


def memcheck(command: list[str], environment: dict[str, str]) -> int:
    """Returns the number of allocations of a program."""
    return counted(["--leak-check=no"], command, environment, r"total heap usage: ([\d,]+) allocs")


def counted(options: list[str], command: list[str], environment: dict[str, str], line: str) -> int:
    valgrind = ["valgrind", *options, *command]
    done = subprocess.run(valgrind, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = re.search(line, done.stderr)
    assert found, done.stderr
    return int(found[1].replace(",", ""))


def count(program: Path) -> dict[str, int]:
    """The counts of each thing that is watched, done once. `program` is tests/c/calls.c."""
    python = [sys.executable, "-I", "-c"]
    with server() as environment:

        def each(tool: Callable[[list[str], dict[str, str]], int], *command: str) -> int:
            at, rest = command.index("N"), list(command)
            few, many = (
                tool([*rest[:at], str(times), *rest[at + 1 :]], environment)
                for times in (FEW, MANY)
            )
            return round((many - few) / (MANY - FEW))

        return {
            "instructions of a call from C": each(callgrind, str(program), "N"),
            "allocations of a call from C": each(memcheck, str(program), "N"),
            "instructions of a call from Python": each(callgrind, *python, CALLS, "N"),
            "instructions of a call of AsyncClient": each(callgrind, *python, AWAITED_CALLS, "N"),
            "instructions to read a response": each(callgrind, *python, RESPONSES, "N", RECORD),
        }


# Where the code of a line of the source comes from.
OURS = f"^{re.escape(str(ROOT))}/src/"
PARTS = [
    (OURS + "capi", "the C face"),
    (OURS + "update", "the request, checked and written"),
    (OURS + "(personal_info|wcf_date)", "the response, read"),
    (OURS, "the rest of skypostal"),
    (r"/(serde_json|serde_core|serde|itoa|zmij|ryu|memchr)-\d", "JSON (serde_json)"),
    (r"/(url|idna|idna_adapter|percent-encoding|smallvec|utf8_iter)-\d", "the URL, parsed (url)"),
    (r"/(reqwest|tower|tower-\w+)-\d", "reqwest and its layers"),
    (r"/(hyper|hyper-\w+|httparse|http|http-\w+|want|atomic-waker)-\d", "HTTP (hyper, http)"),
    (r"/(tokio|mio|futures-\w+)-\d", "the event loop (tokio, mio)"),
    (r"/(chrono)-\d", "the calendar (chrono)"),
    (r"malloc/", "memory, taken and given back (malloc)"),
    (r"mem(move|cpy|cmp|set|chr)", "memory, copied (memcpy)"),
]


def parts(program: Path) -> dict[str, int]:
    """The instructions of a call from C, by the part of the source; needs line tables."""
    with server() as environment, tempfile.TemporaryDirectory() as folder:
        costs = []
        for times in (FEW, MANY):
            out = f"{folder}/{times}"
            callgrind([str(program), str(times)], environment, out)
            costs.append(by_part(Path(out)))
    few, many = costs
    each = {part: round((many[part] - few[part]) / (MANY - FEW)) for part in many}
    return dict(sorted(each.items(), key=lambda it: -it[1]))


def by_part(out: Path) -> Counter[str]:
    """Sums the costs of each line by where the line stands.

    A line of Rust's own library counts for the one of other code that it was compiled behind.
    """
    files: dict[str, str] = {}
    cost: Counter[str] = Counter()
    here, called = "", False
    for line in out.read_text(errors="replace").splitlines():
        if file := re.match(r"(c?)f([lie])=\((\d+)\)(?: (.*))?", line):
            if file[4] is not None:
                files[file[3]] = file[4]
            of_rust = re.search("library/(core|alloc|std)/", files[file[3]])
            if not file[1] and not (of_rust and file[2] in "ie"):
                here = "Rust's own library" if of_rust else files[file[3]]
        elif line.startswith("calls="):
            called = True  # The next line says what the call took, which stands elsewhere too.
        elif spent := re.fullmatch(r"[\d+*-]\S* (\d+)", line):
            if not called:
                part = (part for pattern, part in PARTS if re.search(pattern, here))
                cost[next(part, here if here.startswith("Rust") else "the rest")] += int(spent[1])
            called = False
    return cost


if __name__ == "__main__":
    if sys.argv[1] == "parts":
        found = parts(Path(sys.argv[2]))
        whole = sum(found.values())
        print("| part | instructions | |\n|---|--:|--:|")
        for part, instructions in found.items():
            print(f"| {part} | {instructions:,} | {instructions / whole:.0%} |")
        print(f"| all | {whole:,} | |")
    else:
        KEPT.write_text(json.dumps(count(Path(sys.argv[2])), indent=4) + "\n")
        print(KEPT.read_text(), end="")
