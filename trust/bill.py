"""A version's bill of materials: the model, the data it learnt from, and the packages.

Origin + installed packages -> assets.extra/model.cdx.json

CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/), with the model card that makes it an ML-BOM.
The library knows no model cards yet: that part is added to what it writes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trust.packages import installed_packages
from trust.provenance import Origin, digests_of, span_of

BILL = "assets.extra/model.cdx.json"
_GRAPH = "saved_model.pb"


def write_bill(version: Path, number: str, origin: Origin) -> None:
    """Writes the bill of a version that nobody else looks at yet.

    Args:
        version: its folder.
        number: of the version.
        origin: what it is made from.

    Raises:
        OSError: a file cannot be read or written.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.output.json import JsonV1Dot6

    bom = Bom()
    bom.metadata.component = model = _model(version, number, origin)
    packages, data = installed_packages(), _data(origin)
    bom.components.update([data, *packages])
    bom.register_dependency(model, [data, *packages])
    bill = json.loads(JsonV1Dot6(bom).output_as_string())
    bill["metadata"]["component"]["modelCard"] = _card(origin, str(data.bom_ref))
    path = version / BILL
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(bill, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _model(version: Path, number: str, origin: Origin) -> Any:
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    digests = digests_of(version)
    graph = digests.get(_GRAPH)
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=origin.model,
        version=number,
        bom_ref=f"model:{origin.model}:{number}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=graph)] if graph else [],
        properties=[
            Property(name=f"signs:sha256:{name}", value=digest) for name, digest in digests.items()
        ],
    )


def _data(origin: Origin) -> Any:
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    span = span_of(origin)
    digest: Mapping[str, str] = span.get("digest", {})
    told: Mapping[str, object] = span.get("annotations", {})
    return Component(
        type=ComponentType.DATA,
        name=origin.span,
        bom_ref=f"data:{origin.span}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=value) for value in digest.values()],
        description=str(told["source"]) if "source" in told else None,
        properties=[
            Property(name=f"signs:images:{split}", value=str(count))
            for split, count in origin.counts.items()
        ],
    )


def _card(origin: Origin, data: str) -> dict[str, Any]:
    train = origin.settings.get("train", {})
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": "image classification",
            "architectureFamily": "ResNet",
            "modelArchitecture": "residual network with bottlenecks (ResNet50)",
            "datasets": [{"ref": data}],
            "inputs": [{"format": "image bytes: JPEG, PNG, GIF or BMP"}],
            "outputs": [{"format": "class, probability of each class, confidence, known or not"}],
        },
        "properties": [
            {"name": "signs:classes", "value": json.dumps(list(origin.class_names))},
            {"name": "signs:image_size", "value": str(origin.image_size)},
            *(
                {"name": f"signs:train.{name}", "value": json.dumps(value)}
                for name, value in sorted(train.items())
            ),
        ],
    }
