"""What is in build/release: the files, their checksums, and what each says of others' software."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest
from project import ROOT
from released import FOLDER, c_archives, files_in, wheels

from release.platforms import PLATFORMS, Platform

pytestmark = pytest.mark.release

ARTIFACTS = [*c_archives().values(), *wheels().values()]
FACES = [(platform, "python", wheel) for platform, wheel in wheels().items()]
FACES += [(platform, "capi", archive) for platform, archive in c_archives().items()]

AUDITWHEEL = ROOT / "build" / "release-tools" / "bin" / "auditwheel"


def name_of(value: object) -> str:
    return value.name if isinstance(value, Path) else str(value)


def test_something_was_built() -> None:
    assert c_archives() or wheels(), "`make release` builds what is tested here"


def test_the_checksums() -> None:
    lines = (FOLDER / "SHA256SUMS").read_text().splitlines()
    listed = {name: sum for sum, _, name in (line.partition("  ") for line in lines)}
    assert listed == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in FOLDER.iterdir()
        if path.name != "SHA256SUMS"
    }


def test_all_that_the_release_names_is_there() -> None:
    _, *built_by = (FOLDER / "RELEASE.txt").read_text().splitlines()
    names = [line.partition(":")[0] for line in built_by]
    assert [name for name in names if PLATFORMS[name].wheel] == list(wheels())
    assert [name for name in names if PLATFORMS[name].c_archive] == list(c_archives())
    for platform in [PLATFORMS[name] for name in names if PLATFORMS[name].debian]:
        assert len(list(FOLDER.glob(f"*_{platform.debian}.deb"))) == 2


@pytest.mark.parametrize("artifact", ARTIFACTS, ids=name_of)
def test_no_path_of_the_machine_is_in_a_binary(artifact: Path) -> None:
    folders = [str(ROOT), str(Path.home()) + "/", "/usr/src/rustc"]
    for name, content in files_in(artifact).items():
        for folder in folders:
            at = content.find(folder.encode())
            assert at < 0, (name, content[at - 40 : at + 80])


def linked(platform: Platform, face: str) -> set[str]:
    """What cargo says is linked in, without skypostal itself."""
    command = ["cargo", "tree", "--locked", f"--features={face}", f"--target={platform.target}"]
    command += ["--edges=normal,no-proc-macro", "--prefix=none", "--format={p}"]
    text = subprocess.check_output(command, cwd=ROOT, text=True)
    found = re.findall(r"^(\S+) v(\S+)", text, re.MULTILINE)
    return {f"{name} {version}" for name, version in found if name != "skypostal"}


@pytest.mark.parametrize(("name", "face", "artifact"), FACES, ids=name_of)
def test_the_licence_of_all_that_is_linked_in_is_there(
    name: str, face: str, artifact: Path
) -> None:
    files = files_in(artifact)
    (place,) = [name for name in files if name.endswith("THIRD-PARTY-LICENSES")]
    head, *sections = re.split(f"^{'=' * 80}$", files[place].decode(), flags=re.MULTILINE)
    rows = re.findall(r"^  (.*): (.*)$", head, re.MULTILINE)
    assert {crate for crate, license in rows if license} == {
        *linked(PLATFORMS[name], face),
        "the standard library of Rust",
    }
    # Of each there is a text, which follows the names that it is of.
    users, texts = sections[::2], sections[1::2]
    named = {crate for line in users for crate in line.strip().split(", ")}
    assert named == {crate for crate, _ in rows}
    assert all(len(text.strip()) > 100 for text in texts)


@pytest.mark.parametrize(("name", "face", "artifact"), FACES, ids=name_of)
def test_the_sbom_lists_the_same(name: str, face: str, artifact: Path) -> None:
    files = files_in(artifact)
    (place,) = [name for name in files if name.endswith(".cyclonedx.json")]
    document = json.loads(files[place])
    assert document["bomFormat"] == "CycloneDX"
    listed = {f"{part['name']} {part['version']}" for part in document["components"]}
    assert linked(PLATFORMS[name], face) == listed


@pytest.mark.parametrize("wheel", wheels().values(), ids=name_of)
def test_the_record_of_a_wheel_is_right(wheel: Path) -> None:
    from base64 import urlsafe_b64encode

    files = files_in(wheel)
    (place,) = [name for name in files if name.endswith(".dist-info/RECORD")]
    recorded = [line.split(",") for line in files[place].decode().splitlines()]
    assert sorted(name for name, _, _ in recorded) == sorted(files)
    for name, digest, size in recorded:
        if name != place:
            hashed = urlsafe_b64encode(hashlib.sha256(files[name]).digest()).decode().rstrip("=")
            assert (digest, int(size)) == (f"sha256={hashed}", len(files[name])), name


@pytest.mark.parametrize(
    ("platform", "wheel"),
    [(p, w) for p, w in wheels().items() if PLATFORMS[p].glibc],
    ids=name_of,
)
def test_auditwheel_agrees_with_the_tag(platform: str, wheel: Path) -> None:
    """It takes what the libraries need, not the name, for the oldest system that will do."""
    text = " ".join(subprocess.check_output([AUDITWHEEL, "show", wheel], text=True).split())
    (found,) = re.findall(r'consistent with the following platform tag: "(\w+)"', text)
    assert found in wheel.name
    assert found == f"manylinux_2_17_{PLATFORMS[platform].processor}"


@pytest.mark.parametrize("wheel", [w for p, w in wheels().items() if "musl" in p], ids=name_of)
def test_a_wheel_for_musl_needs_musl_alone(wheel: Path, tmp_path: Path) -> None:
    """By the name that musl's own linker takes for itself. auditwheel knows Alpine's name alone, so
    it gives no tag; and it would take the libc of this machine for what is needed."""
    command = [str(AUDITWHEEL), "show", "--ldpaths", str(tmp_path), str(wheel)]
    text = subprocess.check_output(command, text=True)
    assert "references no external versioned symbols" in " ".join(text.split())
    (needed,) = re.findall(r"are required by the wheel:\s*(\{.*?\})", text, re.DOTALL)
    assert json.loads(needed) == {"libc.so": None}
