"""One update from Python and one from C, against the sandbox: what was sent, and what it changed.

Run by ``make demo``, with the path of the compiled ``update.c`` as its argument.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, USER_CODE, Sandbox

HIDDEN = ("app_key", "customer_key")


def show(before: dict[str, Any], after: dict[str, Any]) -> None:
    print("\n  the record                before              after")
    for name, old in before.items():
        if name not in HIDDEN:
            old, new = ("-" if value is None else str(value) for value in (old, after[name]))
            print(f"    {name:26}{old:20}{new:20}{'<- changed' if new != old else ''}".rstrip())


def update(sandbox: Sandbox, language: str, command: list[str]) -> None:
    environment = {
        **os.environ,
        "SKYPOSTAL_BASE_URL": sandbox.url,
        "SKYPOSTAL_USER_CODE": str(USER_CODE),
        "SKYPOSTAL_APP_KEY": APP_KEY,
        "SKYPOSTAL_CUSTOMER_BOX_ID": str(BOX_ID),
        "SKYPOSTAL_CUSTOMER_KEY": CUSTOMER_KEY,
    }
    print(f"\n== From {language}: {' '.join(map(repr, command[-4:]))}")
    before = sandbox.customers[BOX_ID]
    seen = len(sandbox.requests)
    done = subprocess.run(command, env=environment, text=True, capture_output=True)
    for request in sandbox.requests[seen:]:
        body = json.loads(request.body)
        body.update({key: "***" for key in HIDDEN})
        print(f"\n  the request: {request.method} {request.path}")
        for name, value in body.items():
            print(f"    {name:26}{json.dumps(value, ensure_ascii=False)}")
    print("\n  the response, as the program prints it")
    print("".join(f"    {line}\n" for line in (done.stdout + done.stderr).splitlines()), end="")
    show(before, sandbox.customers[BOX_ID])
    if done.returncode != 0:
        sys.exit(f"demo: the {language} program failed with exit code {done.returncode}")


def main(c_program: str) -> None:
    folder = Path(__file__).parent
    with Sandbox() as sandbox:
        print(f"A local stand-in for the service listens on {sandbox.url}.")
        python = [sys.executable, str(folder / "update.py")]
        update(sandbox, "Python", [*python, "New Name", "New Last", "1980-08-19", "M"])
        update(sandbox, "C", [c_program, "Zoë", "O'Neill-Ñandú", "1969-12-31", "F"])
        record = sandbox.customers[BOX_ID]
        if (record["customer_first_name"], record["customer_gender"]) != ("Zoë", "F"):
            sys.exit("demo: the record does not hold what was sent")
    print("\nBoth updates arrived. The sandbox is stopped, and nothing is left behind.")


if __name__ == "__main__":
    main(sys.argv[1])
