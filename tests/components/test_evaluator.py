"""The real Evaluator, TFMA included, on models whose every answer is written down here.

Each of its runs takes five seconds of CPU. Those in which a single check fails are slow tests.
"""

import json
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.metrics import MetricsFilter
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import Channel
from tfx.types.standard_artifacts import (
    ExampleAnomalies,
    Examples,
    Model,
    ModelBlessing,
    ModelEvaluation,
)

from components.evaluator import Evaluator, executor
from components.evaluator.executor import BATCH, Executor
from data.leaks.report import Group
from data.pictures import Picture
from data.sample import Sample
from data.tfrecord import Writer
from modules.evaluation import Thresholds
from modules.evaluation.verdict import Verdict, read
from signs.errors import UserError
from signs.image_bytes import encode_png
from tests.components import scripted
from tests.modules.examples import example, write_examples

CLASSES = ("a", "b")
TEST = 120  # images, of which the first half is of class a
# What is not looked at costs a test nothing.
QUICK = Thresholds(min_accuracy=0.7, min_class_accuracy=0.5, min_corrupted_accuracy=0)


def made(kind: type, folder: Path, **properties: Any) -> Any:
    artifact = kind()
    artifact.uri = str(folder)
    for name, value in properties.items():
        setattr(artifact, name, value)
    return artifact


def no_leaks(root: Path) -> ExampleAnomalies:
    """What LeakageGuard writes where there is nothing."""
    leaks = made(ExampleAnomalies, root / "leaks")
    (root / "leaks").mkdir(exist_ok=True)
    (root / "leaks" / "groups.jsonl").touch()
    return leaks


def write_split(folder: Path, pictures: list[np.ndarray], labels: list[int]) -> None:
    """Writes a split of an Examples artifact; the images' ids are `{split}/{number}`."""
    folder.mkdir(parents=True)
    split = folder.name.removeprefix("Split-")
    with Writer(folder / "a.gz") as file:
        for number, (pixels, label) in enumerate(zip(pictures, labels, strict=True)):
            name = f"{split}/{number:03}"
            sample = Sample(encode_png(pixels), label, CLASSES[label], name, split)
            file.write(sample.serialize())


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise: neither the most frequent class nor the nearest image is right more than by chance."""
    root, random = tmp_path_factory.mktemp("noisy"), np.random.default_rng(0)
    for split, count in (("train", 40), ("test", TEST), ("shop", 20), ("fair", 10)):
        pixels = random.integers(0, 256, (count, 16, 16, 3), np.uint8)
        labels = [int(number >= count / 2) for number in range(count)]
        write_split(root / f"Split-{split}", list(pixels), labels)
    return root


@pytest.fixture(scope="module")
def easy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark and light: the nearest image is always right, and four of five are of one class."""
    root = tmp_path_factory.mktemp("easy")
    for split in ("train", "test"):
        labels = [int(number >= 96) for number in range(TEST)]
        pixels = [np.full((16, 16, 3), 40 + 150 * label, np.uint8) for label in labels]
        write_split(root / f"Split-{split}", pixels, labels)
    return root


Judge = Callable[..., Verdict]


@pytest.fixture
def judge(noisy: Path, tmp_path: Path) -> Judge:
    """Runs the executor on models that are wrong where they are told to be."""

    def run(
        wrong: str = "",
        *,
        baseline: str | None = None,
        sure: float = 0.97,
        thresholds: Thresholds = QUICK,
        data: Path = noisy,
        sets: str | None = None,
        twins: str = "",
    ) -> Verdict:
        root = Path(tempfile.mkdtemp(dir=tmp_path))  # a test may judge twice
        inputs = {
            "examples": [made(Examples, data, split_names='["train", "test"]')],
            "model": [made(Model, scripted.save(root / "new", CLASSES, wrong, sure), id=7)],
            "leaks": [no_leaks(root)],
        }
        (root / "leaks" / "groups.jsonl").write_text(twins)
        if baseline is not None:
            old = scripted.save(root / "old", CLASSES, baseline)
            inputs["baseline_model"] = [made(Model, old, id=4)]
            inputs["baseline_model"][0].set_int_custom_property("newest_pushed", 9)
        if sets:
            inputs["also_test"] = [made(Examples, data, split_names=sets)]
        outputs = {
            "evaluation": [made(ModelEvaluation, root / "evaluation")],
            "blessing": [made(ModelBlessing, root / "blessing")],
        }
        Executor().Do(inputs, outputs, properties(thresholds))
        verdict = read(root / "blessing")
        assert verdict is not None
        [blessing] = outputs["blessing"]
        assert blessing.get_int_custom_property("blessed") == verdict.blessed
        assert blessing.get_int_custom_property("current_model_id") == 7
        newest = 0 if baseline is None else 9  # Pusher pushes nothing over a newer one
        assert blessing.get_int_custom_property("newest_pushed") == newest
        files = {path.name for path in (root / "blessing").iterdir()}
        assert files == {"BLESSED" if verdict.blessed else "NOT_BLESSED", "verdict.json"}
        assert verdict.blessed == all(row.passes for row in verdict.rows)
        return verdict

    return run


def properties(thresholds: Thresholds) -> dict[str, Any]:
    values = asdict(thresholds)
    on = json.dumps(values.pop("min_accuracy_on"))
    return {**values, "min_accuracy_on": on, "class_names": json.dumps(CLASSES)}


def missed(verdict: Verdict) -> list[tuple[str, str]]:
    return [(row.check, row.on) for row in verdict.rows if not row.passes]


def test_one_picture_better_is_blessed_and_not_called_better(judge: Judge) -> None:
    verdict = judge(" test/00[1-3]", baseline=" test/00[0-3]", thresholds=Thresholds())
    assert verdict.blessed
    found = verdict.baseline
    assert found is not None
    assert (found.won, found.lost, found.p, found.verdict) == (1, 0, 1.0, "no difference")
    assert [(row.check, row.on, row.of) for row in verdict.rows] == [
        *(("accuracy", "test", 120), ("calibration error", "test", 120)),
        *(("majority", "test", 120), ("nearest neighbour", "test", 120)),
        *(("baseline", "test", 120), ("class", "a", 60), ("class", "b", 60)),
        *(("corruption", name, 32) for name in ("blur", "brightness", "jpeg")),
        *(("corruption", name, 32) for name in ("noise", "occlusion", "rotation")),
    ]
    accuracy = verdict.rows[0]
    assert accuracy.value == pytest.approx(117 / 120)
    assert (accuracy.low, accuracy.high) == pytest.approx((0.92909, 0.99147), abs=1e-4)
    # All are 0.97 sure, and 0.975 are right.
    assert verdict.rows[1].value == pytest.approx(0.005, abs=1e-4)


def test_each_check_refuses_with_a_row_of_its_own(judge: Judge) -> None:
    wrong = "( test/0([01].|2[0-2])|blur test/.*[02468]| shop/00.)"
    thresholds = replace(QUICK, min_corrupted_accuracy=0.5, min_accuracy_on={"fair": None})
    verdict = judge(wrong, baseline="", sure=0.5, thresholds=thresholds, sets='["shop", "fair"]')
    assert missed(verdict) == [
        *(("calibration error", "test"), ("baseline", "test"), ("accuracy", "shop")),
        *(("class", "a"), ("corruption", "blur")),
    ]


def test_a_model_is_always_asked_about_as_many_images(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What TensorFlow keeps grows with the largest batch, and with each other size of one."""
    made_here: list[beam.Pipeline] = []
    make = Executor._make_beam_pipeline

    def keep(self: Executor) -> beam.Pipeline:
        made_here.append(make(self))
        return made_here[0]

    monkeypatch.setattr(Executor, "_make_beam_pipeline", keep)
    thresholds = replace(QUICK, min_corrupted_accuracy=0.5)
    judge(baseline="", sets='["shop", "fair"]', thresholds=thresholds)
    [pipeline] = made_here
    found = pipeline.result.metrics().query(MetricsFilter().with_name("batch_size"))
    asked = [(one.key.step, one.result) for one in found["distributions"]]
    for test_set, images in (("test", TEST), ("shop", 20), ("fair", 10), ("corruption", 32 * 6)):
        sizes = [size for step, size in asked if step.startswith(f"Evaluate[{test_set}]")]
        # As few batches as can be, so that all but the last are of one size.
        full = min(images, BATCH)
        assert {(one.sum, one.count, one.max) for one in sizes} == {
            (images, math.ceil(images / BATCH), full)
        }


@pytest.mark.slow
def test_significantly_worse_is_refused(judge: Judge) -> None:
    verdict = judge(" test/00[0-6]", baseline=" test/00[0]")
    assert missed(verdict) == [("baseline", "test")]
    found = verdict.baseline
    assert found is not None
    assert (found.won, found.lost, found.verdict) == (0, 6, "worse")
    [row] = [row for row in verdict.rows if row.check == "baseline"]
    assert row.value == found.p == pytest.approx(2 / 2**6)
    assert row.why.startswith("worse: 0 right that the baseline has wrong, 6 wrong that it has")


@pytest.mark.slow
def test_a_change_may_be_asked_for_whatever_is_significant(judge: Judge) -> None:
    thresholds = replace(QUICK, min_accuracy_change=0.01)
    verdict = judge(baseline=" test/000", thresholds=thresholds)
    assert missed(verdict) == [("change", "test")]
    [row] = [row for row in verdict.rows if row.check == "change"]
    assert row.value == pytest.approx(1 / 120)


@pytest.mark.slow
def test_a_single_class_is_refused(judge: Judge) -> None:
    # 37 of 60 are right: 62 %, of which 49 % are proven.
    verdict = judge(" test/0([01].|2[0-2])", sure=0.85)
    assert missed(verdict) == [("class", "a")]
    [row] = [row for row in verdict.rows if row.on == "a"]
    assert row.value == pytest.approx(37 / 60)
    assert row.low == pytest.approx(0.4902, abs=1e-3)
    assert (row.limit, row.of, row.why) == (0.5, 60, "at least 50.0 % must be proven")


@pytest.mark.slow
def test_a_single_corruption_is_refused(judge: Judge) -> None:
    verdict = judge("blur test/.*[02468]", thresholds=Thresholds())
    assert missed(verdict) == [("corruption", "blur")]


@pytest.mark.slow
def test_a_confidence_that_promises_too_little_is_refused(judge: Judge) -> None:
    verdict = judge(sure=0.8)
    assert missed(verdict) == [("calibration error", "test")]
    [row] = [row for row in verdict.rows if not row.passes]
    assert row.value == pytest.approx(0.2, abs=1e-4)


@pytest.mark.slow
def test_what_the_nearest_image_beats_is_refused(judge: Judge, easy: Path) -> None:
    verdict = judge(" test/00[01]", data=easy)
    assert missed(verdict) == [("nearest neighbour", "test")]
    assert verdict.simple_answers is not None
    assert verdict.simple_answers.nearest_neighbour == 1
    assert verdict.simple_answers.majority == 0.8


@pytest.mark.slow
def test_what_is_not_more_than_the_majority_is_refused(judge: Judge, easy: Path) -> None:
    thresholds = Thresholds(0.7, 0, 0, must_beat="majority", max_calibration_error=1)
    verdict = judge(" test/(09[6-9]|1..)", data=easy, thresholds=thresholds)
    assert missed(verdict) == [("majority", "test")]


@pytest.mark.slow
def test_what_is_good_on_copies_alone_is_refused(judge: Judge) -> None:
    def twin(number: int) -> str:
        pair = [Picture("d", f"{split}/{number:03}", split, "a") for split in ("test", "train")]
        return Group("exact", tuple(pair)).to_line()

    twins = "".join(map(twin, range(20, 80)))
    verdict = judge(" test/(00.|01[01])", twins=twins)
    assert missed(verdict) == [("accuracy", "test without copies")]
    [row] = [row for row in verdict.rows if not row.passes]
    assert (row.of, row.value) == (60, pytest.approx(48 / 60))


@pytest.mark.slow
def test_a_further_set_decides_alone_unless_nothing_is_asked_of_it(judge: Judge) -> None:
    sets = '["shop", "fair"]'
    verdict = judge(" (shop|fair)/00.", sets=sets, thresholds=QUICK)
    assert missed(verdict) == [("accuracy", "shop"), ("accuracy", "fair")]
    assert [row.of for row in verdict.rows if not row.passes] == [20, 10]
    free = replace(QUICK, min_accuracy_on={"shop": 0.2, "fair": None})
    assert judge(" (shop|fair)/00.", sets=sets, thresholds=free).blessed


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"min_accuracy": 1.5}, r"min_accuracy must be in \[0, 1\]. Received: 1.5"),
        ({"min_accuracy_on": '{"a": 9}'}, r"min_accuracy_on.a must be in \[0, 1\]. Received: 9"),
        ({"min_accuracy_on": '{"c": 0.5}'}, "no further test set 'c'; there are: a, b"),
        ({"min_accuracy_on": "0.5"}, "must be JSON of accuracies by further test set, as in"),
        ({"min_accuracy_on": '{"a": "much"}'}, "must be JSON of accuracies by further test set"),
        ({"must_beat": "me"}, "must_beat must be one of both, majority, nothing. Received: me"),
    ],
)
def test_a_bad_threshold_is_told(more: dict[str, Any], message: str) -> None:
    """On a cluster they are parameters of each run."""
    with pytest.raises(UserError, match=message):
        executor.thresholds_of({**properties(QUICK), **more}, ["a", "b"])


def test_an_image_that_does_not_decode_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, noisy: Path
) -> None:
    """Examples that older code wrote may hold such images; Beam tells of one as text."""

    @contextmanager
    def fail(self: Executor) -> Iterator[Any]:
        yield None
        raise RuntimeError("tensorflow...InvalidArgumentError: jpeg::Uncompress failed [while ...]")

    monkeypatch.setattr(Executor, "_make_beam_pipeline", fail)
    for name in ("_read", "_copies", "_evaluate"):
        monkeypatch.setattr(executor, name, lambda *arguments: None)
    path = tmp_path / "further" / "Split-a" / "a.gz"
    write_examples(path, [example(b"\xff\xd8\xff and no more")])
    inputs = {
        "examples": [made(Examples, noisy, split_names='["train", "test"]')],
        "also_test": [made(Examples, tmp_path / "further", split_names='["a"]')],
        "model": [made(Model, tmp_path / "model")],
        "leaks": [no_leaks(tmp_path)],
    }
    outputs = {
        "evaluation": [made(ModelEvaluation, tmp_path / "evaluation")],
        "blessing": [made(ModelBlessing, tmp_path / "blessing")],
    }
    with pytest.raises(UserError, match=r"the image one \(record 0 of .*Split-a/a.gz\)"):
        Executor().Do(inputs, outputs, properties(QUICK))


def test_a_threshold_may_be_a_parameter_of_the_run() -> None:
    parameter = RuntimeParameter("min_accuracy", ptype=float, default=0.9)
    values = {**properties(Thresholds()), "min_accuracy": parameter}
    del values["class_names"]
    evaluator = Evaluator(
        Channel(type=Examples),
        Channel(type=ExampleAnomalies),
        Channel(type=Model),
        Channel(type=Model),
        class_names=CLASSES,
        thresholds=values,
    )
    assert evaluator.exec_properties["min_accuracy"] is parameter
    assert evaluator.exec_properties["class_names"] == '["a", "b"]'


def test_each_test_image_is_told_what_copy_of_it_is_trained_on() -> None:
    ids = pa.array([[b"a"], [b"b"], [b"c"]], pa.list_(pa.binary()))
    batch = pa.RecordBatch.from_arrays([ids], ["source_id"])
    told = executor._with_twins(batch, {"a": "exact", "b": "near"})
    assert told.column(told.schema.names.index("twin")).to_pylist() == [
        *([b"exact"], [b"near"], [b"none"])
    ]
    assert told.num_columns == 2
