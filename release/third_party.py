"""The third-party code in a library: the list for machines, and the licences for people."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from release.compiler import Compiler
from release.errors import Problem
from release.platforms import Platform
from release.run import Run
from release.source import ROOT

RUST = "the standard library of Rust"
LICENSE_FILE = re.compile(r"(li[cs]en[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)


@dataclass(frozen=True, order=True)
class Crate:
    """A crate that is linked in."""

    name: str
    version: str
    license: str
    folder: Path
    sha256: str

    @property
    def purl(self) -> str:
        return f"pkg:cargo/{self.name}@{self.version}"


def linked_crates(compiler: Compiler, platform: Platform, face: str) -> list[Crate]:
    """Returns what a face of the library has of other projects on a platform."""
    options = ["--locked", "--features", face]
    # The two differ: what only another platform or a build script needs is in the metadata too.
    tree = [*options, "--target", platform.target, "--edges", "normal,no-proc-macro"]
    listed = _cargo(compiler, "tree", *tree, "--prefix", "none", "--format", "{p}")
    linked = {tuple(re.findall(r"^(\S+) v(\S+)", line)[0]) for line in listed.splitlines()}
    metadata = json.loads(_cargo(compiler, "metadata", *options, "--format-version", "1"))
    lock = (ROOT / "Cargo.lock").read_text()
    checksums = re.findall(r'name = "(.*)"\nversion = "(.*)"\nsource = .*\nchecksum = "(.*)"', lock)
    sha256 = {(name, version): checksum for name, version, checksum in checksums}
    return sorted(
        Crate(
            package["name"],
            package["version"],
            # Some write it as it was written before SPDX.
            package["license"].replace("/", " OR "),
            Path(package["manifest_path"]).parent,
            sha256[package["name"], package["version"]],
        )
        for package in metadata["packages"]
        if package["source"] and (package["name"], package["version"]) in linked
    )


def _cargo(compiler: Compiler, *arguments: str) -> str:
    command = [compiler.cargo, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def license_texts(crates: Iterable[Crate], version: str) -> str:
    """Returns a list of the crates, then each text once, with the crates that it is of."""
    crates = list(crates)
    names: dict[str, list[str]] = {}
    for crate in crates:
        files = sorted(path for path in crate.folder.iterdir() if LICENSE_FILE.match(path.name))
        texts = [path.read_text(encoding="utf-8") for path in files if path.is_file()]
        for text in texts or [_standard_text(crate)]:
            names.setdefault(_unwrapped(text), []).append(f"{crate.name} {crate.version}")
    # Its crates and LLVM's part of it, whose licence asks for no notice, come under the same text.
    apache = (ROOT / "LICENSE-APACHE").read_text()
    names.setdefault(_unwrapped(apache), []).append(RUST)
    rows = [f"  {crate.name} {crate.version}: {crate.license}" for crate in crates]
    rule = "=" * 80
    sections = [
        f"{rule}\n{', '.join(dict.fromkeys(users))}\n{rule}\n\n{text}\n"
        for text, users in names.items()
    ]
    return (
        f"skypostal {version} is linked with the software below. The licences are those of its\n"
        "authors. Where several may be chosen, skypostal chooses none of them for you.\n\n"
        + "\n".join([*rows, f"  {RUST}: MIT OR Apache-2.0"])
        + "\n\n"
        + "\n".join(sections)
    )


def _unwrapped(text: str) -> str:
    """Returns a text without what differs between copies of the same: ends of lines and margins."""
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    return "\n".join(lines).strip("\n")


def _standard_text(crate: Crate) -> str:
    """Returns the text of the licence of a crate that brings none."""
    if "Apache-2.0" in crate.license:
        return (ROOT / "LICENSE-APACHE").read_text()
    if re.search(r"\bMIT\b", crate.license):
        _, _, terms = (ROOT / "LICENSE-MIT").read_text().partition("\n\n")
        return f"Copyright (c) the authors of {crate.name}\n\n{terms}"
    raise Problem(f"{crate.name} {crate.version} brings no text of its licence, {crate.license}")


def sbom(run: Run, crates: Iterable[Crate]) -> str:
    """Returns the crates as a CycloneDX document."""
    version = run.source.version
    root = {"type": "library", "bom-ref": "skypostal", "name": "skypostal", "version": version}
    components = [
        {
            "type": "library",
            "bom-ref": crate.purl,
            "name": crate.name,
            "version": crate.version,
            "purl": crate.purl,
            "licenses": [{"expression": crate.license}],
            "hashes": [{"alg": "SHA-256", "content": crate.sha256}],
        }
        for crate in crates
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"timestamp": run.source.timestamp(), "component": root},
        "components": components,
        "dependencies": [{"ref": "skypostal", "dependsOn": [c["bom-ref"] for c in components]}],
    }
    return json.dumps(document, indent=1) + "\n"
