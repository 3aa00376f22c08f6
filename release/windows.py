"""The C library for Windows: the DLL, what linkers need for it, and its place in the archive."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from release.compiler import Compiler
from release.platforms import Platform
from release.run import WORK, Run
from release.source import ROOT

# As LLVM's dlltool names the processors.
MACHINES = {"x86_64": "i386:x86-64", "i686": "i386"}
# The libraries that a program needs beside the static library, as `--print native-static-libs`
# lists them.
STATIC_NEEDS = "-lkernel32 -lntdll -luserenv -lws2_32 -ldbghelp -lcrypt32 -lsecur32 -lncrypt"
DLL, IMPORT_LIBRARY, STATIC_LIBRARY = "skypostal.dll", "libskypostal.dll.a", "libskypostal.a"


def build_c_library(run: Run, platform: Platform, compiler: Compiler) -> None:
    """Builds the library and its import libraries into the platform's folder."""
    folder = _folder(platform)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    variables = run.variables(platform, compiler)
    if compiler.builds_std and platform.processor == "i686":
        _build_startup_objects(run, platform, compiler, folder)
        variables["CARGO_ENCODED_RUSTFLAGS"] += f"\x1f-Lnative={folder}"
    resource = _build_version_resource(run, platform, folder)
    cargo = [compiler.cargo, "rustc", "--locked", "--release", "--target-dir", "target"]
    cargo += ["--target", platform.target, "--lib", "--features", "capi"]
    cargo += ["--crate-type", "cdylib,staticlib", "--", "-C", f"link-arg={resource}"]
    run.command(*cargo, **variables)
    built = ROOT / "target" / platform.target / "release"
    run.command(f"{platform.binutils}strip", "-o", folder / DLL, built / DLL)
    static = [built / STATIC_LIBRARY, folder / STATIC_LIBRARY]
    run.command(f"{platform.binutils}objcopy", "--strip-debug", *static)
    shutil.copy(built / IMPORT_LIBRARY, folder)
    _build_msvc_import_library(run, platform, folder)


def install(run: Run, platform: Platform, folder: Path) -> None:
    """Puts what was built, the headers and what finds them into the folder of the archive."""
    built, lib, cmake = _folder(platform), folder / "lib", folder / "share" / "cmake" / "skypostal"
    for place in [folder / "bin", lib / "pkgconfig", cmake]:
        place.mkdir(parents=True)
    shutil.copy(built / DLL, folder / "bin")
    for name in [IMPORT_LIBRARY, STATIC_LIBRARY, "skypostal.lib", "skypostal.def"]:
        shutil.copy(built / name, lib)
    shutil.copytree(ROOT / "include", folder / "include")
    for file in (ROOT / "cmake").glob("*.cmake"):
        shutil.copy(file, cmake)
    for file in ROOT.glob("LICENSE-*"):
        shutil.copy(file, folder)
    shutil.copy(ROOT / "docs" / "c-windows.md", folder / "WINDOWS.txt")
    (lib / "pkgconfig" / "skypostal.pc").write_text(_pkg_config(run.source.version))


def _folder(platform: Platform) -> Path:
    return WORK / platform.name / "lib"


def _build_startup_objects(run: Run, platform: Platform, compiler: Compiler, folder: Path) -> None:
    """Builds what rustup's toolchains have for this target: the ends of its table for unwinding."""
    source = Path(compiler.source_folders()[0], "library", "rtstartup")
    for name in ["rsbegin", "rsend"]:
        options = ["--target", platform.target, "--emit=obj", "-O", str(source / f"{name}.rs")]
        run.command(compiler.rustc, *options, "-o", folder / f"{name}.o", RUSTC_BOOTSTRAP="1")


def _build_version_resource(run: Run, platform: Platform, folder: Path) -> Path:
    """Builds what Windows shows in the properties of the DLL."""
    version = run.source.version
    numbers = ",".join([*version.split("."), "0"])
    texts = {
        "FileDescription": "Update a customer's personal information at SkyPostal",
        "FileVersion": version,
        "InternalName": "skypostal",
        "LegalCopyright": "MIT OR Apache-2.0",
        "OriginalFilename": DLL,
        "ProductName": "skypostal",
        "ProductVersion": version,
    }
    source, resource = folder / "version.rc", folder / "version.o"
    source.write_text(
        f"1 VERSIONINFO\nFILEVERSION {numbers}\nPRODUCTVERSION {numbers}\n"
        # For Windows NT, and a DLL.
        "FILEOS 0x40004\nFILETYPE 2\n"
        # The language is English, the code page that of Unicode.
        'BEGIN\n BLOCK "StringFileInfo"\n BEGIN\n  BLOCK "040904b0"\n  BEGIN\n'
        + "".join(f'   VALUE "{name}", "{text}"\n' for name, text in texts.items())
        + '  END\n END\n BLOCK "VarFileInfo"\n BEGIN\n'
        + '  VALUE "Translation", 0x409, 1200\n END\nEND\n'
    )
    run.command(f"{platform.binutils}windres", source, resource)
    return resource


def _build_msvc_import_library(run: Run, platform: Platform, folder: Path) -> None:
    """Writes the exports of the DLL as a list, and the library that Microsoft's linker takes."""
    names = exports(platform, folder / DLL)
    exported = folder / "skypostal.def"
    exported.write_text("\n".join([f"LIBRARY {DLL}", "EXPORTS", *names, ""]))
    machine, library = MACHINES[platform.processor], folder / "skypostal.lib"
    run.command("llvm-dlltool", "-m", machine, "-d", exported, "-l", library)


def exports(platform: Platform, dll: Path) -> list[str]:
    """Returns the names that a DLL exports."""
    command = [f"{platform.binutils}objdump", "-p", str(dll)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    table = shown.partition("[Ordinal/Name Pointer] Table")[2].partition("\n\n")[0]
    return re.findall(r"^\s*\[ *\d+\](?: \+base\[ *\d+\]\s+[0-9a-f]+)? (\w+)$", table, re.MULTILINE)


def _pkg_config(version: str) -> str:
    text = (ROOT / "skypostal.pc.in").read_text()
    places = {"VERSION": version, "PREFIX": "../..", "LIBDIR": "lib", "INCLUDEDIR": "include"}
    for name, value in places.items():
        text = text.replace(f"@{name}@", value)
    private = f"Libs.private: {STATIC_NEEDS}\nCflags.private: -DSKYPOSTAL_STATIC"
    return re.sub("^Libs.private: .*$", private, text, flags=re.MULTILINE)
