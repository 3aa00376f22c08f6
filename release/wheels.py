"""The Python packages: a wheel for each platform, and the sdist."""

from __future__ import annotations

import base64
import hashlib
import shutil
import sys
import zipfile
from pathlib import Path

from release.archive import pack_zip
from release.compiler import Compiler
from release.platforms import Platform
from release.run import WORK, Run
from release.third_party import license_texts, linked_crates, sbom

MATURIN = (sys.executable, "-m", "maturin")


def build_sdist(run: Run) -> None:
    folder = WORK / "sdist"
    shutil.rmtree(folder, ignore_errors=True)
    run.command(*MATURIN, "sdist", "--out", folder, SOURCE_DATE_EPOCH=str(run.source.time))
    run.keep(*folder.glob("*.tar.gz"))


def build_wheel(run: Run, platform: Platform, compiler: Compiler) -> None:
    folder = WORK / platform.name / "wheel"
    options = ["--release", "--locked", "--target", platform.target]
    options += ["--compatibility", platform.wheel, "--out", str(folder)]
    run.command(*MATURIN, "build", *options, **run.variables(platform, compiler))
    (wheel,) = folder.glob("*.whl")
    crates = linked_crates(compiler, platform, "python")
    licenses = license_texts(crates, run.source.version)
    _complete(wheel, licenses, sbom(run, crates), run.source.time)
    run.keep(wheel)


def _complete(wheel: Path, licenses: str, parts: str, when: int) -> None:
    """Adds the licences of what is linked in, and puts its list in the place of maturin's.

    That one names the folder of the build, and the crates that only the build needs.
    """
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    (record,) = [name for name in files if name.endswith(".dist-info/RECORD")]
    info = record.rpartition("/")[0]
    metadata = files[f"{info}/METADATA"]
    field = b"License-File: "
    files[f"{info}/METADATA"] = metadata.replace(
        field, field + b"THIRD-PARTY-LICENSES\n" + field, 1
    )
    files[f"{info}/licenses/THIRD-PARTY-LICENSES"] = licenses.encode()
    files[f"{info}/sboms/skypostal.cyclonedx.json"] = parts.encode()
    # The record is the last file, as the specification recommends.
    del files[record]
    rows = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[record] = "\n".join([*rows, f"{record},,", ""]).encode()
    pack_zip(wheel, files, when)


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
