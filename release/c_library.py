"""The C library, and the archive with it and all that belongs to it."""

from __future__ import annotations

import re
import shutil
import string
from pathlib import Path

from release import windows
from release.archive import pack
from release.compiler import Compiler
from release.platforms import Platform
from release.run import WORK, Run
from release.source import ROOT
from release.third_party import license_texts, linked_crates, sbom


def build_c_library(run: Run, platform: Platform, compiler: Compiler) -> None:
    """Builds the library into the platform's folder, from where `install` takes it."""
    if platform.is_windows:
        windows.build_c_library(run, platform, compiler)
        return
    settings = _settings(platform)
    if not run.lto:
        # Then the library is many objects, which name each other.
        settings.append("LOCALIZE=$(OBJCOPY) --strip-debug")
    run.command("make", "c-library", *settings, **run.variables(platform, compiler))


def write_documents(run: Run, platform: Platform, compiler: Compiler, folder: Path) -> None:
    """Writes the guide, the examples, and what of others is linked in."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "examples", folder / "examples")
    (folder / "GUIDE.txt").write_text(_guide())
    crates = linked_crates(compiler, platform, "capi")
    (folder / "THIRD-PARTY-LICENSES").write_text(license_texts(crates, run.source.version))
    (folder / "sbom.cyclonedx.json").write_text(sbom(run, crates))


def build_c_archive(run: Run, platform: Platform, compiler: Compiler) -> None:
    name = f"skypostal-{run.source.version}-{platform.name}"
    stage = WORK / platform.name / "archive"
    folder = stage / name
    if platform.is_windows:
        windows.install(run, platform, folder)
    else:
        install(run, platform, stage, PREFIX=f"/{name}", DOCDIR=f"/{name}")
    write_documents(run, platform, compiler, folder)
    system = "windows" if platform.is_windows else "linux"
    readme = string.Template((ROOT / "release" / f"readme-{system}.txt").read_text())
    (folder / "README.txt").write_text(
        readme.substitute(
            version=run.source.version,
            platform=platform.name,
            source=run.described(),
            rustc=compiler.version(),
            glibc=platform.glibc,
        )
    )
    run.keep(pack(folder, run.source.time, as_zip=platform.is_windows))


def install(run: Run, platform: Platform, stage: Path, **places: str) -> None:
    """Installs what was built below a folder."""
    settings = [f"{name}={value}" for name, value in places.items()]
    run.command("make", "install", *_settings(platform), f"DESTDIR={stage}", *settings)


def _settings(platform: Platform) -> list[str]:
    """Returns the variables of the Makefile that name another platform."""
    target = platform.target
    return [
        f"C_LIBRARY={(WORK / platform.name / 'lib').relative_to(ROOT)}",
        f"CARGO_RUSTC=$(CARGO) rustc --target {target}",
        f"BUILT=target/{target}/release",
        f"OBJCOPY={platform.binutils}objcopy",
        f"STRIP={platform.binutils}strip",
    ]


def _guide() -> str:
    """Returns the C guide, whose links to other pages are text, and to examples paths."""
    text = (ROOT / "docs" / "c.md").read_text(encoding="utf-8")
    text = re.sub(r"\[([^]]+)\]\((?!https?:|\.\./examples/)[^)]+\)", r"\1", text)
    return text.replace("(../examples/", "(examples/")
