"""A CPython that is linked with musl, as Alpine's is. Debian has the C library alone.

What CPython needs is compiled too. Its source stands in crates, whose bytes cargo checks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from debian_packages import Debian

CRATES = {
    "libffi-sys": "4.1.0",
    "libsqlite3-sys": "0.35.0",
    "libz-sys": "1.1.23",
    "openssl-src": "300.5.4+3.5.4",
}
# gcc names Debian's C library, and CPython's configure compares. The loader is that of Debian 13,
# because musl 1.2.3 of Debian 12 leaves out relocations (RELR) that wheels of other packages need.
COMPILER = """#!/bin/sh
case $1 in
--print-multiarch) echo x86_64-linux-musl ;;
*) exec musl-gcc "$@" "-Wl,--dynamic-linker=$PREFIX/musl/usr/lib/ld-musl-x86_64.so.1" ;;
esac
"""
# musl-gcc finds no header of the kernel.
OPENSSL = """
perl Configure linux-x86_64 no-shared no-tests no-apps no-docs no-engine no-async no-module \
    no-secure-memory no-afalgeng no-ktls --prefix="$LIBRARIES" --libdir=lib --openssldir=/etc/ssl
make -j2 build_libs
make install_dev
"""
LIBFFI = """
sh configure --disable-shared --disable-docs --disable-multi-os-directory \
    --disable-exec-static-tramp --prefix="$LIBRARIES"
make -j2 install
"""
ZLIB = """
$CC $CFLAGS -DHAVE_UNISTD_H -DHAVE_STDARG_H -c *.c
ar rcs "$LIBRARIES/lib/libz.a" *.o
cp *.h "$LIBRARIES/include"
"""
SQLITE = """
$CC $CFLAGS -c sqlite3.c
ar rcs "$LIBRARIES/lib/libsqlite3.a" sqlite3.o
cp *.h "$LIBRARIES/include"
"""
PYTHON = """
export PKG_CONFIG=false CPPFLAGS="-I$LIBRARIES/include" LDFLAGS="-L$LIBRARIES/lib"
export LIBFFI_CFLAGS="$CPPFLAGS" LIBFFI_LIBS="-lffi" ZLIB_CFLAGS="$CPPFLAGS" ZLIB_LIBS="-lz"
export LIBSQLITE3_CFLAGS="$CPPFLAGS" LIBSQLITE3_LIBS="-lsqlite3 -lm"
./configure --prefix="$PREFIX" --with-openssl="$LIBRARIES" --without-ensurepip \
    --disable-test-modules
make -j2
make install
"""


def build(folder: Path) -> None:
    """Builds it into a folder; its program is bin/python3."""
    work = folder / "work"
    libraries = work / "libraries"
    for name in ("include", "lib"):
        (libraries / name).mkdir(parents=True)
    compiler = work / "musl-cc"
    compiler.write_text(COMPILER)
    compiler.chmod(0o755)
    crates = _crates(work)
    source = work / "python"
    source.mkdir()
    debian = Debian("trixie", "amd64", work / "apt")
    debian.unpack(["musl"], folder / "musl")
    archive = debian.upstream_source("python3.13")
    subprocess.run(["tar", "-xf", archive, "-C", source, "--strip-components=1"], check=True)
    environment = {
        **os.environ,
        "CC": str(compiler),
        "CFLAGS": "-O1 -fPIC",
        "LIBRARIES": str(libraries),
        "PREFIX": str(folder),
    }
    steps = [
        (crates / "libz-sys" / "src" / "zlib", ZLIB),
        (crates / "libsqlite3-sys" / "sqlite3", SQLITE),
        (crates / "libffi-sys" / "libffi", LIBFFI),
        (crates / "openssl-src" / "openssl", OPENSSL),
        (source, PYTHON),
    ]
    for where, script in steps:
        done = subprocess.run(
            ["sh", "-ec", script],
            cwd=where,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            errors="replace",
        )
        assert done.returncode == 0, done.stdout[-3000:]
    shutil.rmtree(work)


def _crates(work: Path) -> Path:
    """Returns a folder with the source of each crate."""
    project = work / "crates"
    (project / "src").mkdir(parents=True)
    (project / "src" / "lib.rs").touch()
    # As the root of its own workspace it is no part of one in a folder above.
    manifest = '[workspace]\n[package]\nname = "sources"\nversion = "0.0.0"\n[dependencies]\n'
    manifest += "".join(f'{name} = "={version}"\n' for name, version in CRATES.items())
    (project / "Cargo.toml").write_text(manifest)
    subprocess.run(["cargo", "vendor", "--quiet", "vendor"], cwd=project, check=True)
    return project / "vendor"
