"""The Debian packages libskypostal0 and libskypostal-dev, from what `make install` puts where."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import textwrap
import time
from pathlib import Path

from release.c_library import install, write_documents
from release.compiler import Compiler
from release.platforms import Platform
from release.run import WORK, Run
from release.source import ROOT

MAINTAINER = "The skypostal contributors <skypostal@example.invalid>"
DESCRIPTION = """\
 Update a customer's personal information at SkyPostal: one call of the
 service's API. When a call fails, it says whether the customer may have been
 changed.
"""
# Part of glibc 2.34 and newer as empty files; older ones have them in the same package.
OF_LIBC = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1"}


def build_debian_packages(run: Run, platform: Platform, compiler: Compiler) -> None:
    multiarch = f"{platform.processor}-linux-gnu"
    libraries = Path("usr/lib", multiarch)
    folder = WORK / platform.name / "debian"
    shutil.rmtree(folder, ignore_errors=True)
    major = run.source.version.partition(".")[0]
    runtime, dev = f"libskypostal{major}", "libskypostal-dev"
    install(
        run,
        platform,
        folder / dev,
        PREFIX="/usr",
        LIBDIR=f"/{libraries}",
        CMAKE_DIR=f"/{libraries}/cmake/skypostal",
        DOCDIR=f"/usr/share/doc/{dev}",
    )
    (folder / runtime / libraries).mkdir(parents=True)
    for path in (folder / dev / libraries).glob(f"libskypostal.so.{major}*"):
        path.rename(folder / runtime / libraries / path.name)
    manual = folder / dev / "usr/share/man/man1/skypostal.1"
    _compress(manual.with_name("skypostal.1.gz"), manual.read_text())
    manual.unlink()
    documents = folder / dev / "usr/share/doc" / dev
    for path in documents.glob("LICENSE-*"):
        path.unlink()  # Debian's copyright file has them.
    write_documents(run, platform, compiler, documents)
    (folder / runtime / "usr/share/doc" / runtime).mkdir(parents=True)
    for name in ("THIRD-PARTY-LICENSES", "sbom.cyclonedx.json"):
        shutil.copy(documents / name, folder / runtime / "usr/share/doc" / runtime)
    library = folder / runtime / libraries / f"libskypostal.so.{run.source.version}"
    version = f"{run.source.version}-1"
    shared = {"Architecture": platform.debian, "Multi-Arch": "same", "Version": version}
    _write(
        run,
        folder / runtime,
        {**shared, "Section": "libs", "Depends": _needed(library)},
        "client of SkyPostal's API to update customers",
        {
            "shlibs": f"libskypostal {major} {runtime} (>= {run.source.version})\n",
            "triggers": "activate-noawait ldconfig\n",
        },
    )
    _write(
        run,
        folder / dev,
        {**shared, "Section": "libdevel", "Depends": f"{runtime} (= {version})"},
        "client of SkyPostal's API to update customers (development files)",
        {},
    )


def _needed(library: Path) -> str:
    """Returns the packages that a library needs, with the glibc that its symbols are of."""
    text = subprocess.run(
        ["readelf", "--wide", "--dynamic", "--version-info", library],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", text)) - OF_LIBC
    needed = {name for name in needed if not name.startswith("ld-linux")}
    versions = re.findall(r"Name: GLIBC_([\d.]+)", text)
    newest = max(versions, key=lambda version: [int(part) for part in version.split(".")])
    packages = {"libgcc_s.so.1": "libgcc-s1"}
    return ", ".join([f"libc6 (>= {newest})", *sorted(packages[name] for name in needed)])


def _write(
    run: Run, stage: Path, fields: dict[str, str], summary: str, control_files: dict[str, str]
) -> None:
    name = stage.name
    documents = stage / "usr/share/doc" / name
    documents.mkdir(parents=True, exist_ok=True)
    (documents / "copyright").write_text(_copyright())
    _compress(documents / "changelog.Debian.gz", _changelog(run, fields["Version"]))
    files = sorted(path for path in stage.rglob("*") if path.is_file() and not path.is_symlink())
    control = stage / "DEBIAN"
    control.mkdir()
    size = sum(path.stat().st_size for path in files) // 1024 + 1
    package = {
        "Package": name,
        "Source": "skypostal",
        **fields,
        "Priority": "optional",
        "Maintainer": MAINTAINER,
        "Installed-Size": str(size),
        "Description": summary,
    }
    lines = "".join(f"{field}: {value}\n" for field, value in package.items())
    (control / "control").write_text(lines + DESCRIPTION)
    sums = [(hashlib.md5(path.read_bytes()).hexdigest(), path.relative_to(stage)) for path in files]
    (control / "md5sums").write_text("".join(f"{md5}  {path}\n" for md5, path in sums))
    for file, text in control_files.items():
        (control / file).write_text(text)
    # Whatever the umask and the time of the build.
    for path in [stage, *stage.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (run.source.time, run.source.time), follow_symlinks=False)
    output = stage.with_name(f"{name}_{fields['Version']}_{fields['Architecture']}.deb")
    build = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build"]
    run.command(*build, stage, output, SOURCE_DATE_EPOCH=str(run.source.time))
    run.keep(output)


def _compress(path: Path, text: str) -> None:
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _changelog(run: Run, version: str) -> str:
    when = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(run.source.time))
    change = textwrap.fill(
        f"Built by the project itself, not by Debian: {run.described()}.",
        width=76,
        initial_indent="  * ",
        subsequent_indent="    ",
    )
    return (
        f"skypostal ({version}) unstable; urgency=medium\n\n{change}\n\n -- {MAINTAINER}  {when}\n"
    )


def _copyright() -> str:
    """Returns Debian's machine-readable form of the licence."""
    mit = (ROOT / "LICENSE-MIT").read_text()
    holder = re.findall(r"^Copyright \(c\) (.*)$", mit, re.MULTILINE)[0]
    terms = mit.partition("\n\n")[2].partition("\n\n")[2]
    body = "\n".join(f" {line}" if line else " ." for line in terms.strip().splitlines())
    return (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
        "Upstream-Name: skypostal\n\n"
        f"Files: *\nCopyright: {holder}\nLicense: MIT or Apache-2.0\n\n"
        f"License: MIT\n{body}\n\n"
        "License: Apache-2.0\n On Debian systems, the text of this licence is in\n"
        " /usr/share/common-licenses/Apache-2.0.\n"
    )
