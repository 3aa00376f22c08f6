"""The versions that the lock files hold for a Python."""

from __future__ import annotations

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from project import ROOT


def locked(lock: str, python: str, **system: str) -> dict[str, str]:
    """The version of each package, by its normalized name; `system` has markers of another one."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", **system}
    versions: dict[str, str] = {}
    for line in (ROOT / f"{lock}.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        requirement = Requirement(line.partition("  # ")[0])
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonicalize_name(requirement.name)
            (specifier,) = requirement.specifier
            assert specifier.operator == "==" and name not in versions, line
            versions[name] = specifier.version
    return versions
