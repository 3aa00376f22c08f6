"""`make bench`: measures this library beside what people would use in its place.

    python bench.py [--rounds N] [--calls N] [--languages Python,C,Rust]

Every program is a process of its own that makes the same call to one local nginx. They take turns:
each round goes once through all of them, in an order of its own, and what is compared is what the
same round gave. The results go to build/bench/results.json, and with at least five rounds and all
languages to docs/ as well: the tables of benchmarks.md, benchmarks-*.svg and benchmarks.json.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import report
from server import BUILD, HERE, NGINX, PATH, Server

ROOT = Path(__file__).resolve().parents[1]
PEERS_PY, BULK_PY = HERE / "python_peers.py", HERE / "python_bulk.py"

PYTHON = [
    "skypostal",
    "skypostal AsyncClient",
    "http.client",
    "urllib3",
    "requests",
    "httpx",
    "aiohttp",
    "pycurl",
    "pycurl + msgspec",
    "pyreqwest",
    "pyreqwest async",
    "primp",
]
C = ["skypostal", "libcurl + yyjson", "libcurl + cJSON", "socket"]
RUST = ["skypostal", "reqwest::blocking", "ureq"]
# In threads each peer is as fast as it can be: one for all threads, or one each.
THREADED = [
    *["skypostal", "http.client", "urllib3", "requests", "requests, one session"],
    *["httpx", "pycurl", "pyreqwest", "primp"],
]
MODULES = {
    "skypostal": "skypostal",
    "http.client": "http.client",
    "urllib3": "urllib3",
    "requests": "requests",
    "httpx": "httpx",
    "aiohttp": "aiohttp",
    "pycurl": "pycurl",
    "pyreqwest": "pyreqwest.client",
    "primp": "primp",
}
THREADS = 16
CALLS = 500  # of each peer in each round
MANY = 100_000  # calls for the memory, and rows; fewer if CALLS are fewer
# How many rows of 100,000 a peer does where a run would take too long otherwise.
BULK = {"skypostal": 1, "pycurl multi": 1, "pyreqwest": 1, "aiohttp": 0.2, "httpx": 0.05}


def command(language: str, name: str) -> list[str]:
    if name == "nothing":
        return [sys.executable, "-c", "import sys; print('ready', flush=True); sys.stdin.read()"]
    if language == "Python":
        return [sys.executable, str(PEERS_PY), name]
    if language == "C":
        return [str(BUILD / "c" / re.sub(r"\W+", "-", name.lower()))]
    return [str(BUILD / "rust" / "release" / "skypostal-bench"), name]


class Worker:
    """A running peer, with its connection."""

    def __init__(self, language: str, name: str, server: Server, scheme: str) -> None:
        self.language, self.name = language, name
        begun = time.perf_counter()
        self.process = subprocess.Popen(
            [*command(language, name), server.urls[scheme], PATH],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment(), "SSL_CERT_FILE": str(server.roots)},
        )
        self.read("ready")
        self.first_call = time.perf_counter() - begun

    def read(self, expected: str = "{") -> str:
        line = self.process.stdout.readline()
        if not line.startswith(expected):
            raise SystemExit(f"{self.language} {self.name} failed; see above")
        return line

    def calls(self, count: int, threads: int = 1) -> dict[str, float]:
        self.process.stdin.write(f"{count} {threads}\n")
        self.process.stdin.flush()
        measured = json.loads(self.read())
        times = sorted(measured["ns"])
        return {
            "p50_us": statistics.median(times) / 1e3,
            "p99_us": times[len(times) * 99 // 100] / 1e3,
            "user_us": measured["user_s"] * 1e6 / len(times),
            "system_us": measured["system_s"] * 1e6 / len(times),
            "calls_per_s": len(times) * 1e9 / measured["wall_ns"],
        }

    def memory(self) -> int:
        """The resident bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """User and system time of its threads since the process began."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def environment() -> dict[str, str]:
    """Without what would let one send its request elsewhere, or trust others, than the rest."""
    told = ("SKYPOSTAL_", "PYTHON", "REQUESTS_", "CURL_", "SSL_")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith(told)
    }


@contextlib.contextmanager
def workers(peers: list[tuple[str, str]], server: Server, scheme: str):
    running: list[Worker] = []
    try:
        for language, name in peers:
            running.append(Worker(language, name, server, scheme))
        yield running
    finally:
        for worker in running:
            worker.stop()


def pin(processes: list[int], cores: set[int]) -> None:
    """Each thread of the processes runs on these cores alone."""
    for process in processes:
        for thread in os.listdir(f"/proc/{process}/task"):
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.sched_setaffinity(int(thread), cores)


def shuffled(items: list, round: int) -> list:
    return random.Random(round).sample(items, len(items))


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def one_call(server: Server, peers: list[tuple[str, str]], rounds: int, calls: int) -> list[dict]:
    """Where the kernel puts each process, and with all on one core, so that none is woken."""
    rows = []
    cores = os.sched_getaffinity(0)
    for scheme in ["http", "https"]:
        have = [p for p in peers if scheme == "http" or p != ("C", "socket")]
        with workers(have, server, scheme) as running:
            everybody = [server.process.pid, *(worker.process.pid for worker in running)]
            for placement, where in [("free", cores), ("one core", {min(cores)})]:
                say(f"one call by {scheme}://, {placement}")
                pin(everybody, where)
                measured = {worker: [] for worker in running}
                for worker in running:
                    worker.calls(max(calls // 2, 20))
                for round in range(rounds):
                    for worker in shuffled(running, round):
                        worker.calls(max(calls // 20, 5))
                        measured[worker].append(worker.calls(calls))
                for worker, results in measured.items():
                    about = {"scheme": scheme, "placement": placement}
                    about |= {"language": worker.language, "name": worker.name}
                    rows.append({**about, **turned(results)})
            pin([server.process.pid], cores)
    return rows


def turned(results: list[dict[str, float]]) -> dict[str, list[float]]:
    """Of each quantity its values by round."""
    return {name: [round(result[name], 4) for result in results] for name in results[0]}


def threads(server: Server, peers: list[tuple[str, str]], rounds: int, calls: int) -> list[dict]:
    rows = []
    with workers(peers, server, "http") as running:
        say(f"{THREADS} threads")
        measured = {worker: [] for worker in running}
        for round in range(rounds):
            for worker in shuffled(running, round):
                busy, begun = server.cpu_seconds(), time.perf_counter()
                result = worker.calls(max(calls * 2, THREADS), THREADS)
                busy = (server.cpu_seconds() - busy) / (time.perf_counter() - begun)
                measured[worker].append({**result, "server_busy": busy})
        for worker, results in measured.items():
            rows.append({"language": worker.language, "name": worker.name, **turned(results)})
    return rows


def first_call(server: Server, peers: list[tuple[str, str]], rounds: int) -> list[dict]:
    """From the start of a process to its first response, read; and a Python that does nothing."""
    rows = []
    for scheme in ["http", "https"]:
        say(f"first call by {scheme}://")
        have = [("Python", "nothing"), *(peer for peer in peers if peer[1] != "socket")]
        measured = {peer: [] for peer in have}
        for round in range(rounds):
            for peer in shuffled(have, round):
                worker = Worker(*peer, server, scheme)
                cpu = worker.cpu_seconds()
                measured[peer].append({"ms": worker.first_call * 1e3, "cpu_ms": cpu * 1e3})
                worker.stop()
        for (language, name), results in measured.items():
            about = {"scheme": scheme, "language": language, "name": name}
            rows.append({**about, **turned(results)})
    return rows


IMPORT = """
import os, sys, time
begun = time.perf_counter()
if sys.argv[1]: __import__(sys.argv[1])
taken = time.perf_counter() - begun
pages = int(open("/proc/self/statm").read().split()[1])
print(taken, pages * os.sysconf("SC_PAGE_SIZE"))
"""


def imports(names: list[str], rounds: int) -> list[dict]:
    """The time of the import alone, in a new interpreter, and the memory after it."""
    say("imports")
    modules = {"nothing": "", **{name: MODULES[name] for name in names if name in MODULES}}
    measured = {name: [] for name in modules}
    for round in range(-1, rounds):
        for name in shuffled(list(modules), round):
            code = [sys.executable, "-c", IMPORT, modules[name]]
            done = subprocess.run(
                code, capture_output=True, text=True, check=True, env=environment()
            )
            taken, memory = done.stdout.split()
            if round >= 0:  # the one before read the files into memory
                measured[name].append({"ms": float(taken) * 1e3, "memory": int(memory)})
    return [{"name": name, **turned(results)} for name, results in measured.items()]


def memory(server: Server, peers: list[tuple[str, str]], calls: int) -> list[dict]:
    """After the first call, and after many: no time is taken, so some run side by side."""
    say(f"memory over {calls} calls")
    at_once = 500  # so that the times that a worker notes take no memory to speak of

    def grown(worker: Worker) -> dict:
        first = worker.memory()
        for _ in range(calls // at_once):
            worker.calls(at_once)
        about = {"language": worker.language, "name": worker.name}
        return {**about, "first": first, "calls": calls, "after": worker.memory()}

    with workers(peers, server, "http") as running, ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(grown, running))


def bulk(server: Server, names: list[str], rounds: int, count: int) -> list[dict]:
    def run(name: str, count: int) -> dict[str, float]:
        busy, begun = server.cpu_seconds(), time.perf_counter()
        done = subprocess.run(
            [sys.executable, str(BULK_PY), name, server.urls["http"], PATH, str(count)],
            capture_output=True,
            text=True,
            env={**environment(), "SSL_CERT_FILE": str(server.roots)},
        )
        if done.returncode != 0:
            raise SystemExit(f"many updates by {name}: {done.stderr}")
        busy = (server.cpu_seconds() - busy) / (time.perf_counter() - begun)
        measured = json.loads(done.stdout)
        return {
            "rows_per_s": count * 1e9 / measured["wall_ns"],
            "user_us": measured["user_s"] * 1e6 / count,
            "system_us": measured["system_s"] * 1e6 / count,
            "peak_memory": measured["peak_rss"],
            "server_busy": busy,
        }

    say("many updates")
    counts = {name: max(int(count * BULK[name]), 200) for name in names if name in BULK}
    measured = {name: [] for name in counts}
    for round in range(rounds):
        for name in shuffled(list(counts), round):
            measured[name].append(run(name, counts[name]))
    rows = [{"name": n, "rows": counts[n], **turned(r)} for n, r in measured.items()]
    say("the memory of many updates")
    for factor in [0.1, 10]:
        few_or_many = int(count * factor)
        peak = run("skypostal", few_or_many)["peak_memory"]
        rows.append({"name": "skypostal", "rows": few_or_many, "peak_memory": [peak]})
    return rows


def sizes() -> list[dict]:
    """Installed, with all that comes along, in bytes."""
    rows = []
    (wheel,) = (ROOT / "build" / "wheels").glob("*.whl")
    rows.append({"name": "the wheel of skypostal", "bytes": wheel.stat().st_size})
    for name in MODULES:
        if name != "http.client":
            rows.append({"name": f"{name}, installed", "bytes": installed(name, set())})
    library = (ROOT / "build" / "libskypostal.so").resolve()
    rows.append({"name": "libskypostal.so", "bytes": library.stat().st_size})
    linked = subprocess.run(
        ["ldd", str(BUILD / "c" / "libcurl-yyjson")], capture_output=True, text=True, check=True
    )
    curl = [Path(path).resolve() for path in re.findall(r"=> (/\S+)", linked.stdout)]
    curl = [path for path in curl if not re.match(r"lib(c|m|pthread|dl|gcc_s)[.-]", path.name)]
    (alone,) = (path for path in curl if path.name.startswith("libcurl."))
    rows.append({"name": "libcurl.so", "bytes": alone.stat().st_size})
    together = sum(path.stat().st_size for path in curl)
    rows.append({"name": f"libcurl.so with the {len(curl) - 1} that it loads", "bytes": together})
    return rows


def installed(name: str, seen: set[str]) -> int:
    if name in seen:
        return 0
    seen.add(name)
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:  # for another platform or Python
        return 0
    files = (Path(distribution.locate_file(file)) for file in distribution.files or [])
    own = sum(f.stat().st_size for f in files if f.suffix != ".pyc" and f.exists())
    needed = [need for need in distribution.requires or [] if "extra ==" not in need]
    names = [re.match(r"[\w.-]+", need)[0].lower().replace("_", "-") for need in needed]
    return own + sum(installed(need, seen) for need in names)


def machine() -> dict[str, object]:
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    virtual = " hypervisor" in Path("/proc/cpuinfo").read_text()
    return {
        "processor": cpu[1] if cpu else platform.machine(),
        "virtual": virtual,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(memory[1]) / 2**20, 1) if memory else None,
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
        "load_before": os.getloadavg()[0],
    }


PYCURL = "import pycurl; print(pycurl.version_info()[1])"


def versions() -> dict[str, str]:
    def told(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return (done.stdout + done.stderr).strip()

    lock = (HERE / "rust" / "Cargo.lock").read_text()
    crate = {
        name: re.search(rf'name = "{name}"\nversion = "(.*)"', lock)[1]
        for name in ["reqwest", "ureq"]
    }
    yyjson = re.search(r'YYJSON_VERSION_STRING "(.*)"', (BUILD / "yyjson" / "yyjson.h").read_text())
    names = ["skypostal", *(n for n in MODULES if n not in ("skypostal", "http.client"))]
    return {
        **{name: importlib.metadata.version(name) for name in [*names, "msgspec", "uvloop"]},
        "commit": told("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "libcurl of pycurl": told(sys.executable, "-c", PYCURL),
        "Python": platform.python_version(),
        "libcurl": told("pkg-config", "--modversion", "libcurl"),
        "cJSON": told("pkg-config", "--modversion", "libcjson"),
        "yyjson": yyjson[1],
        "reqwest (Rust)": crate["reqwest"],
        "ureq": crate["ureq"],
        "nginx": told(NGINX, "-v").rpartition("/")[2],
        "rustc": told("rustc", "--version").split()[1],
        "cc": told("cc", "-dumpfullversion"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="see the top of benches/bench.py")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=CALLS, help="of each peer in each round")
    parser.add_argument("--languages", default="Python,C,Rust")
    options = parser.parse_args()
    rounds, calls = options.rounds, options.calls
    many = MANY * calls // CALLS
    languages = options.languages.split(",")
    if "Python" not in languages:
        parser.error("--languages: must have Python, in which some things are measured alone")
    everything = {"Python": PYTHON, "C": C, "Rust": RUST}
    peers = [(language, name) for language in languages for name in everything[language]]
    threaded = [("Python", name) for name in THREADED]
    threaded += [peer for peer in peers if peer[0] != "Python" and peer[1] != "socket"]

    BUILD.mkdir(parents=True, exist_ok=True)
    results: dict[str, object] = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "rounds": rounds,
        "calls": calls,
    }
    server = Server()
    try:
        results["one_call"] = one_call(server, peers, rounds, calls)
        results["threads"] = threads(server, threaded, rounds, calls)
        results["first_call"] = first_call(server, peers, min(rounds, 9))
        results["imports"] = imports(PYTHON, min(rounds, 9))
        results["bulk"] = bulk(server, list(BULK), min(rounds, 5), many)
        results["memory"] = memory(server, peers, many)
        results["sizes"] = sizes()
    finally:
        server.stop()
    results["machine"]["load_after"] = os.getloadavg()[0]
    (BUILD / "results.json").write_text(report.dumped(results))
    print(report.tables(results))
    if rounds >= 5 and set(languages) == set(everything):
        report.write(results, ROOT / "docs")
        say("written: docs/benchmarks.md, docs/benchmarks-*.svg, docs/benchmarks.json")
    else:
        say("docs/ is as it was: that takes at least five rounds and all languages")


if __name__ == "__main__":
    main()
