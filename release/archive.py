"""Archives whose bytes depend on the files alone."""

from __future__ import annotations

import gzip
import tarfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path


def pack(folder: Path, when: int, *, as_zip: bool) -> Path:
    """Packs a folder into an archive beside it; every file has the same time and owner."""
    paths = [folder, *sorted(folder.rglob("*"))]
    names = {path: path.relative_to(folder.parent).as_posix() for path in paths}
    if as_zip:
        archive = folder.with_name(folder.name + ".zip")
        files = {names[path]: path.read_bytes() for path in paths if path.is_file()}
        pack_zip(archive, files, when)
        return archive

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = when
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    archive = folder.with_name(folder.name + ".tar.gz")
    with (
        archive.open("wb") as file,
        gzip.GzipFile("", "wb", 9, file, mtime=when) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for path in paths:
            tar.add(path, names[path], recursive=False, filter=plain)
    return archive


def pack_zip(archive: Path, files: Mapping[str, bytes], when: int) -> None:
    """Writes files, by their names, in the order given."""
    with zipfile.ZipFile(archive, "w") as zipped:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, time.gmtime(when)[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            zipped.writestr(entry, content)
