"""A request log beside the training's statistics, through the command line."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from data.statistics.collect import MEASURED
from data.statistics.compare import statistics_of
from data.statistics.measure import NUMBERS, measure
from pipeline.commands.main import main
from signs import features, protos, records, tensors
from signs.image_bytes import encode_png

CLASSES = ("cat", "dog")


def pictures(seed: int, count: int, light: float = 0.5) -> list[bytes]:
    """16 x 16 pixels of some brightness, each by itself."""
    rng = np.random.default_rng(seed)
    shades = rng.normal(255 * rng.normal(light, 0.05, (count, 1, 1, 1)), 30, (count, 16, 16, 1))
    return [encode_png(np.repeat(one.clip(0, 255), 3, 2).astype(np.uint8)) for one in shades]


def logged(
    images: list[bytes],
    *,
    confidence: float = 0.95,
    known: float = 1.0,
    version: int = 3,
    model: str = "pets",
    as_examples: bool = False,
) -> protos.PredictionLog:
    """A record of one request; that share of the pictures is known."""
    entry = protos.PredictionLog()
    request, response = entry.predict_log.request, entry.predict_log.response
    given = images
    if as_examples:
        given = []
        for image in images:
            example = protos.Example()
            example.features.feature[features.IMAGE].bytes_list.value.append(image)
            given.append(example.SerializeToString())
    name = features.EXAMPLES_INPUT if as_examples else features.IMAGES_INPUT
    tensors.encode(np.array(given, object), request.inputs[name])
    response.model_spec.name = model
    response.model_spec.version.value = version
    numbers = np.arange(len(images))
    for key, values in {
        features.PREDICTED_CLASS_NAME: np.array([CLASSES[i % 2].encode() for i in numbers], object),
        features.CONFIDENCE: np.full(len(images), confidence, np.float32),
        features.KNOWN: numbers < known * len(images),
    }.items():
        tensors.encode(values, response.outputs[key])
    return entry


def decoded(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image)))


def look(image: bytes) -> np.ndarray:
    """In the place of a network: what is light and what is dark in each quarter of a picture."""
    pixels = np.asarray(Image.open(io.BytesIO(image)).convert("L"), np.float32) / 255
    return np.stack([pixels, 1 - pixels]).reshape(2, 2, 8, 2, 8).mean((2, 4)).ravel()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of a model that was trained on 300 pictures."""
    rows = []
    images = pictures(0, 300)
    for number, image in enumerate(images):
        found = measure(image)
        rows.append(
            {
                **{name: getattr(found, name) for name in (*NUMBERS, "aspect", "size", "format")},
                features.CLASS_NAME: CLASSES[number % 2],
                features.SOURCE_ID: str(number),
                features.SPLIT: "train",
            }
        )
    root = tmp_path_factory.mktemp("workspace")
    path = root / "serving" / "pets" / "3" / features.TRAINING_STATISTICS
    path.parent.mkdir(parents=True)
    statistics = statistics_of([pa.RecordBatch.from_pylist(rows, MEASURED)])
    path.write_bytes(statistics.SerializeToString())
    np.save(root / "serving" / "pets" / "3" / features.TEST_EMBEDDINGS, [*map(look, images[:150])])
    return root


@pytest.fixture
def monitor(
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., dict[str, Any]]:
    """Writes a log, runs the command, and returns its JSON."""
    monkeypatch.setattr("modules.embedding.Embedding", lambda version: look)

    def run(*entries: protos.PredictionLog, code: int = 0, options: tuple[str, ...] = ()) -> Any:
        log = tmp_path / "requests-1.tfrecord"
        log.write_bytes(b"".join(records.encode(one.SerializeToString()) for one in entries))
        arguments = ["monitor", str(log), "--workspace", str(trained), *options, "--json"]
        assert main(arguments) == code, capsys.readouterr().err
        out = capsys.readouterr()
        return json.loads(out.out) if code < 2 else out.err

    return run


def test_pictures_such_as_it_was_trained_on(monitor: Callable[..., Any], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    found = monitor(
        logged(pictures(1, 60)),
        logged(pictures(2, 60), as_examples=True),
        logged(pictures(3, 9), model="birds"),
        options=("--page", str(page)),
    )
    assert (found["version"], found["images"], found["passed_over"]) == (3, 120, 1)
    assert found["reasons"] == found["anomalies"] == found["notes"] == []
    assert (found["not_sure"], found["classes"]) == (0.0, {"cat": 60, "dog": 60})
    assert {one["feature"] for one in found["distances"]} == {
        *("aspect", "brightness", "class_name", "contrast", "embedding", "information"),
        "sharpness",
    }
    assert "As it was trained" in page.read_text()


def test_darker_pictures_are_told_and_shown(monitor: Callable[..., Any], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    found = monitor(logged(pictures(1, 120, 0.35)), code=1, options=("--page", str(page)))
    [dark] = (one for one in found["anomalies"] if one["feature"] == "brightness")
    assert dark["value"] > dark["limit"] == 0.15
    assert dark["text"] in found["reasons"]
    text = page.read_text()
    assert dark["examples"][0]["id"] in text
    assert "data:image/jpeg;base64," in text
    assert re.findall(r"""(?:src|href)=["'](?!data:)""", text) == []  # nothing from elsewhere
    assert page.stat().st_mode & 0o077 == 0  # as the log


def test_what_the_network_sees_is_compared(monitor: Callable[..., Any]) -> None:
    """The same shades, in other places: brightness, contrast and information are the same."""
    sorted_images = [encode_png(np.sort(decoded(one), axis=1)) for one in pictures(1, 120)]
    found = monitor(logged(sorted_images), code=1)
    by_feature = {one["feature"]: one for one in found["anomalies"]}
    assert set(by_feature) == {"embedding", "sharpness"}
    seen = by_feature["embedding"]
    assert (seen["measure"], seen["limit"], seen["against"]) == ("kolmogorov_smirnov", 0.3, "test")
    assert seen["value"] > 0.9
    assert len(seen["examples"]) == 3
    values = [one["value"] for one in seen["examples"]]
    assert values == sorted(values, reverse=True)  # the farthest first
    free = monitor(logged(sorted_images), code=1, options=("--max-embedding-distance", "1"))
    assert {one["feature"] for one in free["anomalies"]} == {"sharpness"}


def test_answers_that_are_not_sure(monitor: Callable[..., Any]) -> None:
    found = monitor(logged(pictures(1, 30), known=0.5), code=1)
    assert found["reasons"] == [
        "the model is not sure of 50% of the pictures (33% to 67%), limit 20%"
    ]
    assert found["notes"] == [
        "30 pictures are too few to compare with those of the training: 100 are needed"
    ]
    found = monitor(logged(pictures(1, 30), confidence=0.6), code=1)
    assert found["reasons"] == ["the mean confidence is 0.60 (up to 0.60), limit 0.8"]
    # One of four may be chance.
    assert monitor(logged(pictures(1, 4), known=0.75))["not_sure"] == 0.25


def test_what_cannot_be_compared_is_a_users_mistake(
    monitor: Callable[..., Any], tmp_path: Path
) -> None:
    assert "no Predict request with pictures to pets" in monitor(
        logged(pictures(1, 3), model="birds"), code=2
    )
    assert "an older release" in monitor(logged(pictures(1, 3), version=2), code=2)
    assert "there is no folder" in monitor(
        logged(pictures(1, 3)), code=2, options=("--page", str(tmp_path / "no" / "page.html"))
    )


def test_a_request_that_is_no_picture_is_passed_over(monitor: Callable[..., Any]) -> None:
    found = monitor(logged([*pictures(1, 4), b"no picture"]), protos.PredictionLog())
    assert (found["images"], found["passed_over"]) == (4, 2)
