"""What `make bench` measured, as tables and as charts, and where docs/ holds them.

    python report.py RESULTS.json

prints the tables of results that are there already.
"""

from __future__ import annotations

import json
import statistics
import sys
from html import escape
from pathlib import Path
from typing import Any, Callable

BEGIN = "<!-- From here on `make bench` writes. -->"
END = "<!-- Up to here. -->"
OURS = "skypostal"


def ends(values: list[float]) -> tuple[float, float]:
    """Between them lies the middle half of the rounds."""
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def spread(values: list[float], digits: int = 0) -> str:
    """The median, and the middle half of the rounds."""
    texts = [f"{value:,.{digits}f}" for value in [statistics.median(values), *ends(values)]]
    return texts[0] if len(values) == 1 else "{} ({}–{})".format(*texts)


def ratios(above: list[float], below: list[float]) -> list[float]:
    """Round by round, as what is compared is what the same round gave."""
    return [a / b for a, b in zip(above, below)]


def find(rows: list[dict[str, Any]], **about: str) -> dict[str, Any]:
    (row,) = (row for row in rows if about.items() <= row.items())
    return row


def cpu(row: dict[str, Any]) -> list[float]:
    return [user + system for user, system in zip(row["user_us"], row["system_us"])]


def p50(row: dict[str, Any]) -> list[float]:
    values: list[float] = row["p50_us"]
    return values


def table(head: list[str], rows: list[list[str]]) -> str:
    """In Markdown, with columns that are straight in a terminal, too."""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]

    def line(cells: list[str]) -> str:
        first, *others = zip(cells, widths)
        texts = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return "| " + " | ".join(texts) + " |"

    first, *others = widths
    rule = "|".join(["", "-" * (first + 2), *("-" * (width + 1) + ":" for width in others), ""])
    return "\n".join([line(head), rule, *(line(row) for row in rows)])


def one_call(results: dict[str, Any], language: str) -> str:
    columns: list[tuple[str, dict[str, str], Callable[[dict[str, Any]], list[float]]]] = [
        ("`http://`, µs", {"scheme": "http", "placement": "one core"}, p50),
        ("CPU, µs", {"scheme": "http", "placement": "one core"}, cpu),
        ("`https://`, µs", {"scheme": "https", "placement": "one core"}, p50),
        ("free, `http://`, µs", {"scheme": "http", "placement": "free"}, p50),
    ]
    rows = [row for row in results["one_call"] if row["language"] == language]
    names = list(dict.fromkeys(row["name"] for row in rows))
    lines = []
    for name in names:
        cells = [name]
        for _, about, value in columns:
            try:
                row = find(rows, name=name, **about)
            except ValueError:
                cells += ["", ""]
                continue
            ours = find(rows, name=OURS, **about)
            cells.append(spread(value(row), 1))
            cells.append("" if name == OURS else spread(ratios(value(row), value(ours)), 2))
        lines.append(cells)
    head = ["", *(text for title, _, _ in columns for text in (title, "÷ ours"))]
    return table(head, lines)


def threads(results: dict[str, Any]) -> str:
    lines = []
    for row in results["threads"]:
        ours = find(results["threads"], language=row["language"], name=OURS)
        lines.append(
            [
                f"{row['name']} ({row['language']})",
                spread(row["calls_per_s"]),
                "" if row is ours else spread(ratios(ours["calls_per_s"], row["calls_per_s"]), 2),
                spread(cpu(row), 1),
                f"{statistics.median(row['server_busy']):.0%}",
            ]
        )
    return table(["", "calls a second", "ours ÷ it", "CPU of a call, µs", "nginx busy"], lines)


def first_call(results: dict[str, Any]) -> str:
    lines = []
    for row in results["first_call"]:
        if row["scheme"] == "https":
            continue
        cells = [f"{row['name']} ({row['language']})"]
        for scheme in ["http", "https"]:
            about = {"scheme": scheme, "language": row["language"]}
            its = find(results["first_call"], name=row["name"], **about)
            ours = find(results["first_call"], name=OURS, **about)
            cells.append(spread(its["ms"], 1))
            cells.append("" if row["name"] == OURS else spread(ratios(its["ms"], ours["ms"]), 2))
        cells.append(spread(its["cpu_ms"], 1))
        lines.append(cells)
    head = ["", "`http://`, ms", "÷ ours", "`https://`, ms", "÷ ours", "CPU by `https://`, ms"]
    return table(head, lines)


def mib(count: float) -> str:
    return f"{count / 2**20:.1f}"


def imports(results: dict[str, Any]) -> str:
    rows = results["imports"]
    lines = [
        [row["name"], spread(row["ms"], 1), mib(statistics.median(row["memory"]))] for row in rows
    ]
    return table(["", "import, ms", "memory after it, MiB"], lines)


def memory(results: dict[str, Any]) -> str:
    rows = results["memory"]
    lines = [[f"{r['name']} ({r['language']})", mib(r["first"]), mib(r["after"])] for r in rows]
    return table(["", "after the first call, MiB", f"after {rows[0]['calls']:,}, MiB"], lines)


def sizes(results: dict[str, Any]) -> str:
    return table(
        ["", "MiB"], [[row["name"], f"{row['bytes'] / 2**20:.2f}"] for row in results["sizes"]]
    )


def bulk(results: dict[str, Any]) -> str:
    rows = [row for row in results["bulk"] if "rows_per_s" in row]
    ours = find(rows, name=OURS)
    lines = []
    for row in rows:
        more = [] if row is ours else ratios(ours["rows_per_s"], row["rows_per_s"])
        lines.append(
            [
                row["name"],
                f"{row['rows']:,}",
                spread(row["rows_per_s"]),
                spread(more, 2) if more else "",
                spread(cpu(row), 1),
                mib(max(row["peak_memory"])),
                f"{statistics.median(row['server_busy']):.0%}",
            ]
        )
    head = ["", "rows", "rows a second", "ours ÷ it", "CPU of a row, µs", "peak, MiB", "nginx busy"]
    return table(head, lines)


def bulk_memory(results: dict[str, Any]) -> str:
    few, many = (row for row in results["bulk"] if "rows_per_s" not in row)
    lines = [[f"{row['rows']:,} rows", mib(row["peak_memory"][0])] for row in (few, many)]
    return table(["ours", "peak, MiB"], lines)


def targets(results: dict[str, Any]) -> str:
    """What was set out for before anything was measured, and what came of it."""

    def time_of(language: str, name: str, placement: str) -> list[float]:
        about = {"language": language, "name": name, "scheme": "http", "placement": placement}
        return find(results["one_call"], **about)["p50_us"]

    def rate(name: str) -> list[float]:
        return find(results["threads"], language="Python", name=name)["calls_per_s"]

    def fastest(placement: str) -> str:
        peers = {row["name"] for row in results["one_call"] if row["language"] == "Python"}
        peers = {name for name in peers if not name.startswith(OURS)}
        return min(peers, key=lambda name: statistics.median(time_of("Python", name, placement)))

    lines: list[list[str]] = []

    def line(
        what: str, values: list[float], limit: float, digits: int = 2, least: bool = False
    ) -> None:
        value = statistics.median(values)
        met = value >= limit if least else value <= limit
        bound = f"{'≥' if least else '≤'} {limit:.{digits}f}"
        lines.append([what, bound, spread(values, digits), "met" if met else "**missed**"])

    languages = {row["language"] for row in results["one_call"]}
    for placement in ["one core", "free"]:
        where = "" if placement == "one core" else ", free"
        ours = {language: time_of(language, OURS, placement) for language in languages}
        if "C" in ours:
            its = time_of("C", "libcurl + yyjson", placement)
            line(f"C: ours ÷ libcurl + yyjson{where}", ratios(ours["C"], its), 1)
        best = fastest(placement)
        peers = [(best, 0.8), ("requests", 1 / 15), ("httpx", 1 / 10), ("aiohttp", 1 / 3)]
        for at, (name, limit) in enumerate(peers):
            title = f"Python: ours ÷ {name}" + (", the fastest peer" if at == 0 else "")
            line(
                title + where, ratios(ours["Python"], time_of("Python", name, placement)), limit, 3
            )
        if "Rust" in ours:
            its = time_of("Rust", "reqwest::blocking", placement)
            line(f"Rust: ours ÷ reqwest::blocking{where}", ratios(ours["Rust"], its), 0.5)
    best = [max(pair) for pair in zip(rate("requests"), rate("requests, one session"))]
    line("16 threads: ours ÷ requests' best", ratios(rate(OURS), best), 3, least=True)
    line("16 threads: ours ÷ pyreqwest", ratios(rate(OURS), rate("pyreqwest")), 1, least=True)
    for scheme in ["http", "https"]:
        rows = [
            r for r in results["first_call"] if r["scheme"] == scheme and r["language"] == "Python"
        ]
        ours = find(rows, name=OURS)
        not_meant = (OURS, "http.client", "pycurl", "nothing")
        others = [r for r in rows if not r["name"].startswith(not_meant)]
        nearest = min(others, key=lambda row: statistics.median(row["ms"]))
        title = f"first call by `{scheme}://`: ours ÷ {nearest['name']}, the nearest"
        line(title + " but http.client and pycurl", ratios(ours["ms"], nearest["ms"]), 1)
    line("import, ms", find(results["imports"], name=OURS)["ms"], 15, 1)
    line("wheel, MiB", [results["sizes"][0]["bytes"] / 2**20], 3)
    rows = [row for row in results["bulk"] if "rows_per_s" in row]
    for name, limit in [("pycurl multi", 1.2), ("pyreqwest", 2), ("aiohttp", 5)]:
        its = find(rows, name=name)["rows_per_s"]
        more = ratios(find(rows, name=OURS)["rows_per_s"], its)
        line(f"many updates: ours ÷ {name}, rows a second", more, limit, least=True)
    few, many = (row for row in results["bulk"] if "rows_per_s" not in row)
    grown = ratios(many["peak_memory"], few["peak_memory"])
    line(f"peak memory of {many['rows']:,} rows ÷ {few['rows']:,}", grown, 1.2)
    return table(["", "target", "measured", ""], lines)


def losses(results: dict[str, Any]) -> str:
    """Each peer that does better than ours in something, by how much; the limit is no peer."""
    lines: list[list[str]] = []

    def compare(
        what: str, rows: list[dict[str, Any]], value: Callable[[dict[str, Any]], list[float]]
    ):
        """Whose value is less than ours of the same language."""
        for row in rows:
            language = {"language": row["language"]} if "language" in row else {}
            ours = find(rows, name=OURS, **language)
            parts = ratios(value(row), value(ours))
            if row["name"] not in ("nothing", "socket") and statistics.median(parts) < 0.995:
                name = f"{row['name']} ({row['language']})" if language else row["name"]
                lines.append([what, name, spread(parts, 2)])

    for scheme in ["http", "https"]:
        for placement, where in [("one core", ""), ("free", ", free")]:
            about = {"scheme": scheme, "placement": placement}
            rows = [row for row in results["one_call"] if about.items() <= row.items()]
            compare(f"time of one call by `{scheme}://`{where}", rows, p50)
            compare(f"CPU of one call by `{scheme}://`{where}", rows, cpu)
    compare("CPU of a call in 16 threads", results["threads"], cpu)
    per_call = [{**row, "s": [1 / n for n in row["calls_per_s"]]} for row in results["threads"]]
    compare("time of a call in 16 threads", per_call, lambda row: row["s"])
    for scheme in ["http", "https"]:
        rows = [row for row in results["first_call"] if row["scheme"] == scheme]
        compare(f"time to the first response by `{scheme}://`", rows, lambda row: row["ms"])
    compare("time of the import", results["imports"], lambda row: row["ms"])
    rows = [row for row in results["bulk"] if "rows_per_s" in row]
    per_row = [{**row, "s": [1 / n for n in row["rows_per_s"]]} for row in rows]
    compare("time of a row of many", per_row, lambda row: row["s"])
    compare("CPU of a row of many", rows, cpu)
    compare("peak memory of many", rows, lambda row: row["peak_memory"])
    compare("memory after many calls", results["memory"], lambda row: [row["after"]])
    return table(["", "better", "it ÷ ours"], lines) if lines else "In nothing measured here."


def tables(results: dict[str, Any]) -> str:
    """All of them, in Markdown."""
    machine, versions = results["machine"], results["versions"]
    languages = list(dict.fromkeys(row["language"] for row in results["one_call"]))
    virtual = " (virtual)" if machine["virtual"] else ""
    about = (
        f"Measured on {results['date']}: {machine['processor']}{virtual}, "
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, Linux "
        f"{machine['kernel']}; load average before {machine['load_before']:.2f}, after "
        f"{machine['load_after']:.2f}. {results['rounds']} rounds of {results['calls']:,} calls."
    )
    peers = "Versions: " + ", ".join(f"{name} {number}" for name, number in versions.items()) + "."
    parts = [about, peers]
    for language in languages:
        parts += [f"## One call from {language}", one_call(results, language)]
    parts += ["## 16 threads", threads(results)]
    parts += ["## The first call of a process", first_call(results)]
    parts += ["## Import", imports(results)]
    parts += ["## Many updates", bulk(results), bulk_memory(results)]
    parts += ["## Memory", memory(results)]
    parts += ["## Sizes", sizes(results)]
    parts += ["## Where it loses", losses(results)]
    parts += ["## Targets", "Set before anything was measured.", targets(results)]
    return "\n\n".join(parts)


# The charts.

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title { font-weight: 600; }
.paper { fill: #ffffff; } .theirs { fill: #9aa5b1; } .ours { fill: #d9622b; }
.spread { stroke: #24292f; stroke-width: 1; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .spread { stroke: #e6edf3; }
  .paper { fill: #161b22; } .theirs { fill: #57606a; } .ours { fill: #f0883e; }
}
"""
# As wide as a telephone shows without making it smaller than can be read.
WIDTH, LEFT, LABEL, BAR, ROW, HEAD = 420, 12, 152, 184, 20, 34


def panel(title: str, bars: list[tuple[str, list[float]]], digits: int, y: int) -> str:
    """Bars from the shortest to the longest, each with its spread and its median as a number."""
    bars = sorted(bars, key=lambda bar: statistics.median(bar[1]))
    scale = BAR / max(statistics.median(values) for _, values in bars)
    parts = [f'<text class="title" x="{LEFT}" y="{y + 18}">{escape(title)}</text>']
    for at, (name, values) in enumerate(bars):
        top = y + HEAD + at * ROW
        value, left = statistics.median(values), LEFT + LABEL
        low, high = (left + min(end * scale, BAR * 1.05) for end in ends(values))
        kind = "ours" if name.startswith(OURS) else "theirs"
        parts.append(f'<text x="{left - 6}" y="{top + 12}" text-anchor="end">{escape(name)}</text>')
        width = round(value * scale, 1)
        parts.append(f'<rect class="{kind}" x="{left}" y="{top + 2}" width="{width}" height="13"/>')
        middle = top + 8.5
        parts.append(
            f'<path class="spread" d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 3}v6'
            f'M{high:.1f} {middle - 3}v6"/>'
        )
        parts.append(f'<text x="{high + 6:.1f}" y="{top + 12}">{value:,.{digits}f}</text>')
    return "\n".join(parts)


def charts(results: dict[str, Any]) -> dict[str, str]:
    """The drawings, by the names of their files."""

    def calls(language: str) -> list[tuple[str, list[float]]]:
        about = {"language": language, "scheme": "http", "placement": "one core"}
        rows = [row for row in results["one_call"] if about.items() <= row.items()]
        return [(row["name"], row["p50_us"]) for row in rows]

    first = [
        (row["name"], row["ms"])
        for row in results["first_call"]
        if (row["scheme"], row["language"]) == ("https", "Python")
    ]
    threaded = [
        (row["name"], [1e6 / rate for rate in row["calls_per_s"]])
        for row in results["threads"]
        if row["language"] == "Python"
    ]
    many = [
        (row["name"], [1e6 / rate for rate in row["rows_per_s"]])
        for row in results["bulk"]
        if "rows_per_s" in row
    ]
    one_call = [
        ("One call from Python, µs (p50)", calls("Python"), 0),
        ("One call from C, µs (p50)", calls("C"), 0),
        ("One call from Rust, µs (p50)", calls("Rust"), 0),
    ]
    more = [
        ("A new Python to its first response by https://, ms", first, 0),
        ("16 threads of Python, µs for each call", threaded, 0),
        ("Many updates from Python, µs for each row", many, 0),
    ]
    return {"benchmarks-one-call.svg": drawing(one_call), "benchmarks-more.svg": drawing(more)}


def drawing(panels: list[tuple[str, list[tuple[str, list[float]]], int]]) -> str:
    """Panels, one below the other."""
    parts, y = [], 12
    for title, bars, digits in panels:
        parts.append(panel(title, bars, digits, y))
        y += HEAD + len(bars) * ROW + 16
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
            f'viewBox="0 0 {WIDTH} {y}" role="img">',
            "<title>skypostal beside its peers: shorter is better</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{y}" rx="6"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def dumped(results: dict[str, Any]) -> str:
    """JSON with a line for each row."""
    parts = []
    for name, value in results.items():
        if isinstance(value, list):
            text = "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
        else:
            text = json.dumps(value)
        parts.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def write(results: dict[str, Any], docs: Path) -> None:
    page = docs / "benchmarks.md"
    above, _, rest = page.read_text().partition(BEGIN)
    below = rest.partition(END)[2]
    page.write_text(f"{above}{BEGIN}\n\n{tables(results)}\n\n{END}{below}")
    for name, svg in charts(results).items():
        (docs / name).write_text(svg)
    (docs / "benchmarks.json").write_text(dumped(results))


if __name__ == "__main__":
    print(tables(json.loads(Path(sys.argv[1]).read_text())))
