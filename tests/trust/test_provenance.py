"""What Pusher writes beside a version: what it is made from, for machines that we did not write."""

import json
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from components.pusher.executor import publish
from trust.bill import BILL
from trust.keys import PUBLIC, make_keys
from trust.provenance import STATEMENT, Material, Origin, check_statement
from trust.signature import SignatureError, verify


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    manifest = tmp_path / "data" / "hands" / "span-2" / "v-1" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"source": "zip hands.zip", "checksum": "ab", "counts": {}}))
    return Origin(
        model="hands",
        class_names=("0", "fünf"),
        image_size=64,
        counts={"train": 864, "test": 120},
        settings={"train": {"epochs": 60, "learning_rate": 0.001}, "leaks": "report"},
        span="hands/span-2/v-1",
        manifest=str(manifest),
        materials=(Material("code", "c0" * 32, "all of it"), Material("lock.txt", "10" * 32)),
        builder="local",
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "assets.extra").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "assets.extra" / "trained.keras").write_bytes(b"network")
    return folder


def read(version: Path, name: str) -> dict:
    return json.loads((version / name).read_text("utf-8"))


def test_the_statement_is_intoto_and_names_every_file(
    model: Path, origin: Origin, tmp_path: Path
) -> None:
    version = publish(model, tmp_path / "serving", origin=origin, run_id="20261127-1")
    statement = read(version, STATEMENT)
    check_statement(statement)  # by the classes of in-toto
    subjects = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    assert subjects.keys() == {"saved_model.pb", "assets.extra/trained.keras", BILL}
    told = subprocess.run(
        ["sha256sum", *subjects], cwd=version, capture_output=True, text=True, check=True
    )
    assert told.stdout.split()[::2] == list(subjects.values())
    build = statement["predicate"]["buildDefinition"]
    assert build["externalParameters"]["settings"]["train"]["epochs"] == 60
    span, code, lock = build["resolvedDependencies"]
    manifest = subprocess.run(
        ["sha256sum", str(origin.manifest)], capture_output=True, text=True, check=True
    )
    assert span["digest"]["sha256"] == manifest.stdout.split()[0]
    assert span["annotations"] == {"source": "zip hands.zip", "checksum": "ab"}
    assert (code["digest"]["sha256"], lock["name"]) == ("c0" * 32, "lock.txt")
    assert statement["predicate"]["runDetails"]["metadata"]["invocationId"] == "20261127-1"


def test_the_statement_names_tensorflow_as_it_is_installed(
    model: Path, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the image without a GPU it is tensorflow-cpu."""
    installed = {"signs-pipeline": "0.3.0", "tfx": "1", "tensorflow-cpu": "2", "keras": "3"}

    def version_of(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr("trust.provenance.metadata.version", version_of)
    version = publish(model, tmp_path / "serving", origin=origin)
    statement = read(version, STATEMENT)
    assert statement["predicate"]["runDetails"]["builder"]["version"] == installed


def test_the_bill_keeps_to_cyclonedx(model: Path, origin: Origin, tmp_path: Path) -> None:
    version = publish(model, tmp_path / "serving", origin=origin)
    text = (version / BILL).read_text("utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    component = bill["metadata"]["component"]
    assert (component["type"], component["version"]) == ("machine-learning-model", "1")
    [data] = component["modelCard"]["modelParameters"]["datasets"]
    parts = {one["bom-ref"]: one for one in bill["components"]}
    assert parts[data["ref"]]["description"] == "zip hands.zip"
    installed = {one["name"]: one["version"] for one in parts.values() if "purl" in one}
    import tensorflow

    assert installed["tensorflow"] == tensorflow.__version__


def test_a_statement_that_is_none_is_found_out(model: Path, origin: Origin, tmp_path: Path) -> None:
    statement = read(publish(model, tmp_path / "serving", origin=origin), STATEMENT)
    for change in ({"subject": []}, {"_type": "other"}, {"predicate": {"builder": {}}}):
        with pytest.raises(ValueError):
            check_statement(statement | change)


def test_what_is_written_is_signed(model: Path, origin: Origin, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    make_keys(keys)
    version = publish(model, tmp_path / "serving", keys, origin=origin)
    verify(version, keys / PUBLIC)
    text = (version / STATEMENT).read_text()
    (version / STATEMENT).write_text(text.replace("zip hands.zip", "zip other.zip"))
    with pytest.raises(SignatureError, match=f"altered: {STATEMENT}"):
        verify(version, keys / PUBLIC)


def test_a_model_that_is_there_keeps_its_first_statement(
    model: Path, origin: Origin, tmp_path: Path
) -> None:
    first = publish(model, tmp_path / "serving", origin=origin, run_id="one")
    assert publish(model, tmp_path / "serving", origin=origin, run_id="two") == first
    told = read(first, STATEMENT)["predicate"]["runDetails"]["metadata"]
    assert told["invocationId"] == "one"
