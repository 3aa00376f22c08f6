"""The platforms that `make release` builds for, and what it builds for each."""

from __future__ import annotations

from dataclasses import dataclass

from release.errors import Problem


@dataclass(frozen=True)
class Platform:
    """A platform, by the name that stands in file names and in PLATFORMS."""

    name: str
    # As rustc names it.
    target: str
    # The tag of the wheel, as maturin's --compatibility takes it. Empty: no wheel.
    wheel: str = ""
    # True if there is an archive with the C library.
    c_archive: bool = False
    # The newest glibc that the binaries may need. Empty: they need none.
    glibc: str = ""
    # "zig", which has every glibc, or "mingw". Empty: nothing is linked, the code is checked alone.
    linker: str = ""
    # The prefix of objcopy and strip for this platform.
    binutils: str = ""
    # Debian's name of the processor. Empty: no Debian packages.
    debian: str = ""

    @property
    def is_windows(self) -> bool:
        return "windows" in self.target

    @property
    def processor(self) -> str:
        return self.target.partition("-")[0]


PLATFORMS = {
    platform.name: platform
    for platform in [
        Platform(
            "linux-x86_64",
            "x86_64-unknown-linux-gnu",
            wheel="manylinux2014",
            c_archive=True,
            glibc="2.17",
            linker="zig",
            binutils="x86_64-linux-gnu-",
            debian="amd64",
        ),
        Platform(
            "linux-aarch64",
            "aarch64-unknown-linux-gnu",
            wheel="manylinux2014",
            c_archive=True,
            glibc="2.17",
            linker="zig",
            binutils="aarch64-linux-gnu-",
            debian="arm64",
        ),
        Platform(
            "linux-musl-x86_64",
            "x86_64-unknown-linux-musl",
            wheel="musllinux_1_2",
            linker="zig",
        ),
        Platform(
            "windows-x86_64",
            "x86_64-pc-windows-gnu",
            wheel="pypi",
            c_archive=True,
            linker="mingw",
            binutils="x86_64-w64-mingw32-",
        ),
        Platform(
            "windows-x86",
            "i686-pc-windows-gnu",
            c_archive=True,
            linker="mingw",
            binutils="i686-w64-mingw32-",
        ),
        Platform("macos-aarch64", "aarch64-apple-darwin"),
    ]
}


def chosen(names: list[str]) -> list[Platform]:
    """Returns the platforms with these names, or all for no name, in the order of the table."""
    for name in names:
        if name not in PLATFORMS:
            raise Problem(f"PLATFORMS: there is no {name!r}; there are {', '.join(PLATFORMS)}")
    return [platform for name, platform in PLATFORMS.items() if not names or name in names]
