"""Packages as parts of a bill of materials, each with its address (purl)."""

from collections.abc import Iterable
from importlib import metadata
from typing import Any

from signs.errors import UserError


class PackagesError(UserError):
    """A list of packages cannot be read."""


def installed_packages() -> list[Any]:
    """What is installed for the Python that runs, each package once, by name."""
    found = {}
    for one in metadata.distributions():
        name = one.metadata["Name"]
        part = _part("pypi", None, name.lower().replace("_", "-"), one.version)
        found[part.purl.to_string()] = part
    return [found[purl] for purl in sorted(found)]


def debian_packages(status: Iterable[str], distribution: str) -> list[Any]:
    """What dpkg has installed.

    Args:
        status: the lines of `/var/lib/dpkg/status`.
        distribution: as in `trixie`.

    Raises:
        PackagesError: a package has no version.
    """
    found = []
    fields: dict[str, str] = {}
    for line in (*status, "\n"):
        if line.strip() and not line.startswith(" "):
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        elif not line.strip() and fields:
            if fields.get("Status", "").endswith(" installed"):
                if not {"Package", "Version", "Architecture"} <= set(fields):
                    raise PackagesError(f"dpkg's status has a package without a version: {fields}")
                more = {"arch": fields["Architecture"], "distro": distribution}
                found.append(_part("deb", "debian", fields["Package"], fields["Version"], more))
            fields = {}
    return found


def _part(
    kind: str, namespace: str | None, name: str, version: str, more: dict[str, str] | None = None
) -> Any:
    from cyclonedx.model.component import Component
    from packageurl import PackageURL

    purl = PackageURL(kind, namespace, name, version, more)
    return Component(name=name, version=version, purl=purl, bom_ref=purl.to_string())
