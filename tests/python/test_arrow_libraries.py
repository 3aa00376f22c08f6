"""update_batch with pyarrow alone, with polars alone, and with neither."""

from __future__ import annotations

import subprocess
import sys

import pytest
from project import environment_of

from skypostal.sandbox import BOX_ID, CUSTOMER_KEY, Sandbox

ALONE = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None
import skypostal
loaded = {{name for name, module in sys.modules.items() if module is not None}}
assert not {{"skypostal._arrow", "pyarrow", "polars", "pandas"}} & loaded
class Table:
    def __init__(self, table):
        self.table = table
    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)
who = {{"id": ["x"], "customer_box_id": [{box}], "customer_key": [{key!r}]}}
"""


@pytest.mark.usefixtures("for_programs")
@pytest.mark.parametrize(
    ("blocked", "code", "output"),
    [
        (
            ["polars"],
            "import pyarrow; table = pyarrow.record_batch(who)",
            "pyarrow.lib.RecordBatch ['id', ",
        ),
        (
            ["pyarrow"],
            "import polars; table = polars.DataFrame(who)",
            "polars.dataframe.frame.DataFrame ['id', ",
        ),
        (
            ["pyarrow"],
            "import polars; table = Table(polars.DataFrame(who))",
            "polars.dataframe.frame.DataFrame ['id', ",
        ),
        ([], "import polars; table = Table(polars.DataFrame(who))", "pyarrow.lib.RecordBatch ['id"),
        (
            ["pyarrow", "polars"],
            "table = Table(None)",
            "ModuleNotFoundError: Arrow tables need: pip install 'skypostal[pyarrow]', or 'skypost",
        ),
    ],
)
def test_either_library_will_do(
    blocked: list[str], code: str, output: str, sandbox: Sandbox
) -> None:
    program = ALONE.format(blocked=blocked, box=BOX_ID, key=CUSTOMER_KEY) + code
    program += """
report = skypostal.update_batch(table, keep="id")
kind = type(report)
polars = "polars" in kind.__module__
names = [*(report.schema if polars else report.schema.names)]
schema = skypostal.update_batch_schema()
assert names[1:] == [*(schema if polars else schema.names)], names
assert [str(ok) for ok in report["ok"]][0].lower() == "true"
print(kind.__module__ + "." + kind.__name__, names)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment_of(sandbox),
    )
    assert (done.stdout + done.stderr).splitlines()[-1].startswith(output), done.stderr
