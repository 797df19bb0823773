"""The image's bill of materials: `python -m trust.image_bill DPKG_STATUS`, to standard output.

Python, its packages, the base's packages of Debian -> CycloneDX 1.6

The same packages give the same bytes.
"""

import platform
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from signs.errors import UserError
from trust.packages import PackagesError, debian_packages, installed_packages


def main(arguments: Sequence[str]) -> int:
    """Writes the bill of what runs here.

    Args:
        arguments: the file in which dpkg keeps what is installed.
    """
    if len(arguments) != 1:
        print("usage: python -m trust.image_bill /var/lib/dpkg/status", file=sys.stderr)
        return 2
    try:
        print(image_bill(Path(arguments[0])))
    except UserError as err:
        print(f"trust.image_bill: {err}", file=sys.stderr)
        return 2
    return 0


def image_bill(status: Path) -> str:
    """The bill as JSON.

    Args:
        status: as dpkg's `/var/lib/dpkg/status`.

    Raises:
        PackagesError: it cannot be read.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    try:
        lines = status.read_text(encoding="utf-8").splitlines()
    except OSError as err:
        raise PackagesError(f"{status} cannot be read: {err.strerror}") from err
    release = platform.freedesktop_os_release()
    python = Component(
        type=ComponentType.PLATFORM,
        name="Python",
        version=platform.python_version(),
        bom_ref="python",
    )
    image = Component(type=ComponentType.CONTAINER, name="signs", bom_ref="image")
    parts = [
        python,
        *installed_packages(),
        *debian_packages(lines, release.get("VERSION_CODENAME", release["ID"])),
    ]
    names = "\n".join(sorted(f"{part.bom_ref} {part.version}" for part in parts))
    bom = Bom(components=parts, serial_number=uuid.uuid5(uuid.NAMESPACE_URL, names))
    bom.metadata.component = image
    bom.metadata.timestamp = datetime.fromtimestamp(0, UTC)  # the image has its own
    bom.register_dependency(image, parts)
    return str(JsonV1Dot6(bom).output_as_string(indent=1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
