"""The nginx of the benchmark, which sends the documented response to every POST."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import trustme

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "benches"
BUILD = ROOT / "build" / "bench"
RESPONSE = ROOT / "tests" / "data" / "response.json"
PATH = "/wcf-services/service-customer.svc/customer/customer-update-personal-info"
NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") or "nginx"
ROOTS = Path("/etc/ssl/certs/ca-certificates.crt")


class Server:
    """nginx, which sends the documented response to every POST."""

    def __init__(self) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1", "localhost")
        certificate.private_key_and_cert_chain_pem.write_to_path(str(BUILD / "server.pem"))
        # All trust the system's roots and this one, so that all load as many as in earnest.
        self.roots = BUILD / "roots.pem"
        self.roots.write_bytes(ROOTS.read_bytes() + authority.cert_pem.bytes())
        ports = [free_port(), free_port()]
        text = (HERE / "nginx.conf").read_text()
        for name, value in {
            "FOLDER": BUILD,
            "HTTP": ports[0],
            "HTTPS": ports[1],
            "RESPONSE": RESPONSE.read_text(),
        }.items():
            text = text.replace(f"@{name}@", str(value))
        (BUILD / "nginx.conf").write_text(text)
        self.urls = {
            "http": f"http://localhost:{ports[0]}",
            "https": f"https://localhost:{ports[1]}",
        }
        self.process = subprocess.Popen([NGINX, "-p", str(BUILD), "-c", str(BUILD / "nginx.conf")])
        try:
            self.check(ports[0])
        except BaseException:
            self.stop()
            raise

    def check(self, port: int) -> None:
        """A connection is kept whether head and body come together or apart."""
        for _ in range(100):
            with contextlib.suppress(ConnectionRefusedError):
                connection = socket.create_connection(("127.0.0.1", port), timeout=5)
                break
            time.sleep(0.05)
        else:
            raise SystemExit("nginx did not start")
        with connection, connection.makefile("rb") as responses:
            for pause in [0, 0.05, 0.05, 0]:
                head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n"
                connection.sendall(head.encode())
                time.sleep(pause)
                connection.sendall(b'{"a": 1}')
                assert responses.readline() == b"HTTP/1.1 200 OK\r\n"
                lines = list(iter(responses.readline, b"\r\n"))
                (length,) = (int(line[15:]) for line in lines if b"Content-Length" in line)
                assert responses.read(length) == RESPONSE.read_bytes()

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
