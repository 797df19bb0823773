"""What a version is made from, beside the version, for machines to read.

Origin (known before the run) + the files of the version -> assets.extra/provenance.intoto.json

An in-toto statement (https://in-toto.io/Statement/v1): its subjects are the files of the version,
its predicate SLSA's provenance (https://slsa.dev/provenance/v1). By itself it proves nothing: where
there are keys, `model.sig` covers it, as it does every file.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from google.protobuf import json_format

STATEMENT = "assets.extra/provenance.intoto.json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
_BUILD_TYPE = "urn:signs-pipeline:run:1"
_BUILDER = "urn:signs-pipeline:builder"


@dataclasses.dataclass(frozen=True)
class Material:
    """Something that a model was made from.

    Args:
        name: what it is.
        sha256: its digest, in hexadecimal.
        how: over what the digest goes, where that is no file of that name.
    """

    name: str
    sha256: str
    how: str = ""


@dataclasses.dataclass(frozen=True)
class Origin:
    """What is known of a model before the run that makes it.

    Args:
        model: its name.
        class_names: in label order.
        image_size: pixels a side.
        counts: images by split.
        settings: of the run, as JSON has them.
        span: the data set, span and version, as in `signs/span-1/v-1`.
        manifest: the span's manifest, as the run reaches it; None where that is not known.
        materials: what else it is made from.
        builder: what runs the components: "local" or "kubeflow".
    """

    model: str
    class_names: tuple[str, ...]
    image_size: int
    counts: Mapping[str, int]
    settings: Mapping[str, Any]
    span: str
    manifest: str | None
    materials: tuple[Material, ...]
    builder: str

    def to_json(self) -> str:
        """For a component's properties."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote."""
        fields = json.loads(text)
        fields["class_names"] = tuple(fields["class_names"])
        fields["materials"] = tuple(Material(**one) for one in fields["materials"])
        return cls(**fields)


def write_statement(version: Path, origin: Origin, run_id: str) -> None:
    """Writes the statement about a version's files; to be called when all others are there.

    Args:
        version: its folder, which nobody else looks at yet.
        origin: what it is made from.
        run_id: of the run that pushes it.

    Raises:
        OSError: a file cannot be read or written.
    """
    subjects = [
        {"name": name, "digest": {"sha256": digest}} for name, digest in digests_of(version).items()
    ]
    statement = {
        "_type": _STATEMENT_TYPE,
        "subject": subjects,
        "predicateType": _PREDICATE_TYPE,
        "predicate": _provenance(origin, run_id),
    }
    check_statement(statement)
    path = version / STATEMENT
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(statement, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def check_statement(statement: Mapping[str, Any]) -> None:
    """Holds a statement against in-toto's and SLSA's own definitions.

    Raises:
        ValueError: it is none.
    """
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    try:
        read = json_format.ParseDict(dict(statement), statement_pb2.Statement())
        json_format.ParseDict(statement["predicate"], provenance_pb2.Provenance())
    except (json_format.ParseError, KeyError) as err:
        raise ValueError(f"no in-toto statement of provenance: {err}") from err
    Statement.copy_from_pb(read).validate()


def digests_of(version: Path) -> dict[str, str]:
    """SHA-256 of each file of a version by its name there, without the statement itself."""
    files = sorted(path for path in version.rglob("*") if path.is_file())
    names = {path.relative_to(version).as_posix(): path for path in files}
    return {name: _sha256(path) for name, path in names.items() if name not in _NO_SUBJECTS}


_NO_SUBJECTS = (STATEMENT, "model.sig")


def _provenance(origin: Origin, run_id: str) -> dict[str, Any]:
    return {
        "buildDefinition": {
            "buildType": _BUILD_TYPE,
            "externalParameters": {"data": origin.span, "settings": dict(origin.settings)},
            "resolvedDependencies": [
                span_of(origin),
                *(
                    {
                        "name": one.name,
                        "digest": {"sha256": one.sha256},
                        **({"annotations": {"of": one.how}} if one.how else {}),
                    }
                    for one in origin.materials
                ),
            ],
        },
        "runDetails": {
            "builder": {
                "id": f"{_BUILDER}:{origin.builder}",
                "version": _versions(),
            },
            "metadata": {
                "invocationId": run_id,
                "finishedOn": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
        },
    }


def _versions() -> dict[str, str]:
    """Of what computes, by package; of TensorFlow's two names the one that is installed."""
    found = {}
    for name in ("signs-pipeline", "tfx", "tensorflow", "tensorflow-cpu", "keras"):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def span_of(origin: Origin) -> dict[str, Any]:
    """The data as a material: its manifest, which has the digest of every file and the source's."""
    span: dict[str, Any] = {"name": f"{origin.span}/manifest.json"}
    if origin.manifest and Path(origin.manifest).is_file():
        span["digest"] = {"sha256": _sha256(Path(origin.manifest))}
        told = json.loads(Path(origin.manifest).read_text(encoding="utf-8"))
        known = ("source", "fingerprint", "checksum", "is_synthetic")
        span["annotations"] = {key: told[key] for key in known if key in told}
    return span


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
