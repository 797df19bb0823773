import json
from importlib import metadata
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from trust.image_bill import image_bill, main
from trust.packages import PackagesError, debian_packages

STATUS = """Package: tzdata
Status: install ok installed
Architecture: all
Version: 2025b-4+deb13u1
Description: time zones
 Version: not a field, as it is indented

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""


def test_debian_packages_are_those_that_are_installed() -> None:
    (part,) = debian_packages(STATUS.splitlines(), "trixie")
    assert (part.name, part.version) == ("tzdata", "2025b-4+deb13u1")
    assert part.purl.to_string() == (
        "pkg:deb/debian/tzdata@2025b-4%2Bdeb13u1?arch=all&distro=trixie"
    )


def test_a_package_without_a_version_is_refused() -> None:
    with pytest.raises(PackagesError, match="a package without a version"):
        debian_packages(["Package: x", "Status: install ok installed"], "trixie")


def test_the_bill_has_each_package_once_and_twice_the_same_bytes(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text(STATUS)
    text = image_bill(status)
    assert text == image_bill(status)
    bill = json.loads(text)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    purls = [part["purl"] for part in bill["components"] if "purl" in part]
    assert len(set(purls)) == len(purls)
    assert f"pkg:pypi/pytest@{metadata.version('pytest')}" in purls
    assert sum(purl.startswith("pkg:deb/") for purl in purls) == 1
    (everything,) = [one for one in bill["dependencies"] if one["ref"] == "image"]
    assert len(everything["dependsOn"]) == len(bill["components"]) == len(purls) + 1  # Python


def test_without_a_list_it_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.endswith("none cannot be read: No such file or directory\n")
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("usage: ")
