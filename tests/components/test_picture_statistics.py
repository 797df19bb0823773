"""PictureStatistics on Examples of a few hundred small pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from tfx.types import Channel
from tfx.types.standard_artifacts import ExampleAnomalies, Examples, ExampleStatistics, Schema

from components.earlier_span import EarlierSpan
from components.picture_statistics import PictureStatistics
from components.picture_statistics.executor import Executor, PictureAnomalyError
from data import tfrecord
from data.sample import Sample
from data.schema import schema_path
from data.statistics.report import Pictures, Words, read
from signs.image_bytes import encode_png

SPLITS = {"train": 300, "eval": 20, "test": 120}


def picture(rng: np.random.Generator, light: float = 0.5) -> bytes:
    """16 x 16 pixels of some brightness, each by itself."""
    shades = rng.normal(255 * rng.normal(light, 0.05), 30, (16, 16, 1))
    return encode_png(np.repeat(shades.clip(0, 255), 3, axis=2).astype(np.uint8))


def write_examples(folder: Path, seed: int, test: float = 0.5, train: float = 0.5) -> Path:
    """A span as ImportExampleGen leaves it; the pictures of its splits are so light."""
    rng = np.random.default_rng(seed)
    for split, count in SPLITS.items():
        path = folder / f"Split-{split}" / "part.gz"
        path.parent.mkdir(parents=True)
        light = {"train": train, "test": test}.get(split, 0.5)
        with tfrecord.Writer(path) as file:
            for number in range(count):
                image = picture(rng, light)
                if split == "train" and number == 7:
                    image = encode_png(np.full((16, 16, 3), 4, np.uint8))
                name = ("cat", "dog")[number % 2]
                sample = Sample(image, number % 2, name, f"{split}/{number}.png", split)
                file.write(sample.serialize())
    return folder


def statistics_artifact(uri: Path) -> ExampleStatistics:
    artifact = ExampleStatistics()
    artifact.uri = str(uri)
    return artifact


def run(
    examples: Path,
    root: Path,
    *,
    span: int = 1,
    previous: ExampleStatistics | None = None,
    policy: str = "report",
) -> tuple[Pictures, ExampleStatistics]:
    given, schema, found = Examples(), Schema(), ExampleAnomalies()
    statistics = statistics_artifact(root / "statistics")
    given.uri, given.span, given.split_names = str(examples), span, json.dumps([*SPLITS])
    schema.uri, found.uri = str(schema_path().parent), str(root / "anomalies")
    inputs = {"examples": [given], "schema": [schema]}
    if previous is not None:
        inputs["previous"] = [previous]
    outputs = {"statistics": [statistics], "anomalies": [found]}
    Executor().Do(inputs, outputs, {"policy": policy})
    assert {path.name for path in (root / "anomalies").iterdir()} == {"pictures.json"}
    return read(root / "anomalies"), statistics


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pictures, ExampleStatistics]:
    folder = tmp_path_factory.mktemp("usual")
    return run(write_examples(folder / "examples", 1), folder)


def test_it_tells_distributions_and_odd_pictures(usual: tuple[Pictures, ExampleStatistics]) -> None:
    pictures, _ = usual
    train = pictures.splits["train"]
    assert train["class_name"] == Words({"cat": 150, "dog": 150})
    assert train["size"] == Words({"16 pixels": 300})
    assert train["brightness"].mean == pytest.approx(0.5, abs=0.02)
    assert sum(count for *_, count in train["brightness"].histogram) == pytest.approx(300)
    assert pictures.anomalies == ()
    assert pictures.not_compared == (
        "eval is not compared with train: 20 pictures are too few, 100 are needed",
    )
    for kind in ("dark", "blurred", "low_information", "odd"):
        assert [one.id for one in pictures.odd[kind]] == ["train/7.png"]
    assert pictures.odd["dark"][0].value == pytest.approx(4 / 255)
    kinds = [one.kind for one in pictures.findings]
    assert kinds == ["picture_dark", "picture_blurred", "picture_low_information", "picture_odd"]
    assert pictures.findings[0].text == "1 of 440 pictures is dark"


def test_an_anomaly_names_feature_number_limit_and_examples(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "examples", 1, test=0.62)
    pictures, _ = run(examples, tmp_path)
    [found] = (one for one in pictures.anomalies if one.feature == "brightness")
    assert (found.kind, found.feature, found.split, found.against) == (
        *("skew", "brightness", "test", "train"),
    )
    assert found.measure == "jensen_shannon_divergence"
    assert found.value > found.limit == 0.15
    assert {one.split for one in found.examples} == {"test"}
    for words in ("brightness", f"{found.value:.2f}", "limit 0.15", found.examples[0].id):
        assert words in found.text
    with pytest.raises(
        PictureAnomalyError, match=r"brightness of the test .*--set pictures=report"
    ):
        run(examples, tmp_path / "again", policy="fail")
    # SciPy's distance (the root of the divergence) of the same numbers, in ten parts.
    test, train = (pictures.splits[name]["brightness"] for name in ("test", "train"))
    edges = np.linspace(min(test.min, train.min), max(test.max, train.max), 11)
    shares = [_in_parts(one.histogram, edges) for one in (test, train)]
    assert found.value == pytest.approx(jensenshannon(*shares, base=2) ** 2, abs=0.15)


def _in_parts(histogram: tuple, edges: np.ndarray) -> np.ndarray:
    parts = np.zeros(len(edges) - 1)
    for low, high, count in histogram:
        overlap = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
        parts += count * overlap.clip(0) / (high - low)
    return parts


def test_train_is_compared_with_the_span_before(
    tmp_path: Path, usual: tuple[Pictures, ExampleStatistics]
) -> None:
    same, _ = run(write_examples(tmp_path / "2", 2), tmp_path / "a", span=2, previous=usual[1])
    assert same.anomalies == ()
    darker = write_examples(tmp_path / "3", 3, train=0.38)
    changed, _ = run(darker, tmp_path / "b", span=2, previous=usual[1])
    drift = {one.feature: one for one in changed.anomalies if one.kind == "drift"}
    assert (drift["brightness"].split, drift["brightness"].against) == ("train", "span 1")


def test_what_the_newest_span_of_a_window_has_brought_is_compared_with_the_others(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(5)
    folder = write_examples(tmp_path / "examples", 1) / "Split-train"
    (folder / "part.gz").rename(folder / "span-00001-data.gz")
    for span, light in ((9, 0.5), (10, 0.62)):
        with tfrecord.Writer(folder / f"span-{span:05d}-data.gz") as file:
            for number in range(110):
                name = f"{span}/{number}.png"
                sample = Sample(
                    picture(rng, light), number % 2, ("cat", "dog")[number % 2], name, "train"
                )
                file.write(sample.serialize())
    changed, _ = run(folder.parent, tmp_path, span=10)
    [found] = (one for one in changed.anomalies if one.feature == "brightness")
    assert (found.kind, found.split, found.against) == ("drift", "train", "the spans before")
    assert {one.id.split("/")[0] for one in found.examples} == {"10"}


def test_it_does_not_matter_which_file_has_a_picture(tmp_path: Path) -> None:
    one_file = write_examples(tmp_path / "one", 1, test=0.62)
    for split in SPLITS:
        folder = tmp_path / "three" / f"Split-{split}"
        folder.mkdir(parents=True)
        records = [*tfrecord.read(one_file / f"Split-{split}" / "part.gz")]
        for number in range(3):
            with tfrecord.Writer(folder / f"part-{number}.gz") as file:
                for record in reversed(records[number::3]):
                    file.write(record)
    (tmp_path / "b" / "anomalies" / "work").mkdir(parents=True)  # of an attempt that was killed
    (tmp_path / "b" / "anomalies" / "work" / "Split-train-part-0.gz.parquet").write_bytes(b"half")
    expected, _ = run(one_file, tmp_path / "a")
    found, _ = run(tmp_path / "three", tmp_path / "b")
    assert expected.anomalies
    assert found.notes == expected.notes
    assert found.odd == expected.odd
    for split in SPLITS:
        assert found.splits[split]["class_name"] == expected.splits[split]["class_name"]
        own, other = (one.splits[split]["sharpness"] for one in (found, expected))
        assert own.histogram == other.histogram
        assert own.mean == pytest.approx(other.mean)


def test_the_span_before_is_the_newest_that_is_earlier_and_there(
    tmp_path: Path, usual: tuple[Pictures, ExampleStatistics]
) -> None:
    uri, candidates = usual[1].uri, []
    for number, (span, of_pictures, where) in enumerate(
        [(1, 1, uri), (2, 1, uri), (3, 1, uri), (2, 0, uri), (2, 1, str(tmp_path))]
    ):
        one = statistics_artifact(Path(where))
        one.id, one.span = number, span
        if of_pictures:
            one.set_int_custom_property("of_pictures", 1)
        candidates.append(one)
    examples = Examples()
    for span, expected in ((3, [1]), (2, [0]), (1, [])):
        examples.span = span
        given = {"examples": [examples], "statistics": candidates}
        chosen = EarlierSpan().resolve_artifacts(None, given)["statistics"]
        assert [one.id for one in chosen] == expected


def test_the_component_takes_an_earlier_span_or_none() -> None:
    examples, schema = Channel(type=Examples), Channel(type=Schema)
    assert "previous" not in PictureStatistics(examples, schema).inputs
    earlier = Channel(type=ExampleStatistics)
    assert "previous" in PictureStatistics(examples, schema, earlier).inputs
