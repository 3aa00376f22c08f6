"""The Debian packages, installed by apt into a bare Debian, and a program compiled there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from project import ROOT, environment_of
from released import FOLDER

from release.platforms import PLATFORMS
from skypostal.sandbox import Sandbox

pytestmark = pytest.mark.release

PACKAGES = sorted(FOLDER.glob("*.deb"))
# Those for the processor of this machine.
DEBIAN = {platform.processor: platform.debian for platform in PLATFORMS.values() if platform.debian}
OWN = [path for path in PACKAGES if f"_{DEBIAN.get(os.uname().machine)}." in path.name]


def run(*command: str | Path, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    output: str = done.stdout
    return output


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_lintian_finds_no_error_and_no_warning(package: Path) -> None:
    # Who uploads to Debian closes the request for the package.
    suppressed = "initial-upload-closes-no-bugs"
    command = ["lintian", "--allow-root", "--fail-on=error,warning", "--suppress-tags", suppressed]
    assert run(*command, package) == ""


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bare Debian of this machine's release with a C compiler and the two packages."""
    assert os.getuid() == 0, "debootstrap needs root"
    root = tmp_path_factory.mktemp("debian")
    # The release and the mirror of this machine.
    archive = ["apt-get", "indextargets", "Created-By: Packages", "Label: Debian", "--format"]
    # Its updates have a longer name.
    origin = min(run(*archive, "$(CODENAME) $(REPO_URI)").splitlines(), key=len).split()
    include = "--include=gcc,libc6-dev,pkg-config"
    run("debootstrap", "--variant=minbase", include, origin[0], root, *origin[1:])
    for package in OWN:
        shutil.copy(package, root / "tmp")
    yield root
    shutil.rmtree(root)


@pytest.mark.skipif(not OWN, reason="no packages for this processor were built")
def test_a_program_is_compiled_against_the_installed_packages(
    debian: Path, sandbox: Sandbox
) -> None:
    def inside(command: str, **variables: str) -> str:
        environment = {**variables, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
        return run("chroot", debian, "sh", "-ec", f"cd /tmp; {command}", env=environment)

    inside("apt-get install -y --no-install-recommends ./*.deb")
    assert inside("ldconfig -p | grep -c libskypostal.so.0").strip() == "1"
    shutil.copy(ROOT / "examples" / "update.c", debian / "tmp")
    inside("cc update.c $(pkg-config --cflags --libs skypostal) -o update")
    variables = {k: v for k, v in environment_of(sandbox).items() if k.startswith("SKYPOSTAL_")}
    assert "cust_id: 51736835\n" in inside("./update New Last 1980-08-19 M", **variables)
    inside("dpkg --verify libskypostal0 libskypostal-dev")
    manual, suppressions = (ROOT / "skypostal.1", ROOT / "valgrind.supp")
    assert inside("zcat /usr/share/man/man1/skypostal.1.gz") == manual.read_text()
    assert inside("cat /usr/share/skypostal/valgrind.supp") == suppressions.read_text()
    inside("apt-get purge -y libskypostal0")
    assert list(debian.glob("usr/lib/*/*skypostal*")) == []
