"""The pipeline's own executors, with what the compiler makes and the launcher hands them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import yaml
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as stock

from data import tfrecord
from data.manifest import Manifest, Shard
from data.sample import Sample, read_samples
from kubeflow.compiling.compiler import compile_pipeline
from kubeflow.compiling.options import ClusterOptions
from kubeflow.step import entrypoint
from pipeline.config import Data, PipelineConfig
from signs import features
from tests.kubeflow.step.launcher import Launcher, Pipeline, arguments

CLASSES = ("one", "two")
IMAGE = "ghcr.io/signs/pipeline@sha256:" + "0" * 64


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    data = Data("signs", None, CLASSES, dict.fromkeys(features.SPLITS, 4))
    text = compile_pipeline(PipelineConfig(data), ClusterOptions(image=IMAGE))
    return next(yaml.safe_load_all(text))


@pytest.fixture
def pipeline(launcher: Launcher, spec: dict[str, Any]) -> Pipeline:
    return Pipeline(launcher, spec)


def write_span(data: Path, span: int, version: int) -> Path:
    directory = data / f"span-{span}" / f"v-{version}"
    shards = []
    for split in features.SPLITS:
        path = directory / split / "records.gz"
        path.parent.mkdir(parents=True)
        with tfrecord.Writer(path) as writer:
            for image in range(4):
                label = image % len(CLASSES)
                source = f"{span}/{version}/{image}"
                sample = Sample(b"no pixels", label, CLASSES[label], source, split)
                writer.write(sample.serialize())
        written = writer.close()
        shards.append(Shard(f"{split}/records.gz", split, written.bytes, written.sha256, 4))
    manifest = Manifest(
        name="signs",
        span=span,
        version=version,
        class_names=CLASSES,
        counts=dict.fromkeys(features.SPLITS, dict.fromkeys(CLASSES, 2)),
        shards=tuple(shards),
        source="drawn for a test",
        is_synthetic=True,
        fingerprint="",
        settings={},
        tool_version="",
        created="",
        rejected={},
        ignored={},
        warnings=(),
    )
    (directory / features.MANIFEST).write_text(manifest.to_json())
    return directory


@pytest.fixture
def data(tmp_path: Path) -> dict[str, str]:
    """Spans whose order by number is not that of their names; the parameter that tells where."""
    root = tmp_path / "workspace" / "data" / "signs"
    for span, version in ((9, 5), (10, 1), (10, 2)):
        write_span(root, span, version)
    return {"input_base": str(root)}


def test_stock_example_gen_looks_for_a_folder_named_span(
    pipeline: Pipeline, data: dict[str, str]
) -> None:
    executor, executor_input, spec = pipeline.step("ImportExampleGen", data)
    del executor_input["outputs"]["artifacts"]["executor-logs"]
    (examples,) = executor_input["outputs"]["artifacts"]["examples"]["artifacts"]
    examples["uri"] = str(pipeline.launcher.local(examples["uri"]))
    args = arguments(executor, executor_input, spec)
    with pytest.raises(Exception, match=r"span-\{SPAN\}/v-\{VERSION\}/train"):
        stock.main(stock._parse_flags(["", *args]))


def test_the_newest_span_is_found_and_its_number_kept(
    pipeline: Pipeline, data: dict[str, str]
) -> None:
    examples = pipeline.run("ImportExampleGen", data)["examples"]
    assert examples["metadata"]["custom:span"] == 10
    assert examples["metadata"]["custom:version"] == 2
    assert examples["metadata"]["split_names"] == '["train", "eval", "test"]'
    assert "num_files:1" in examples["metadata"]["input_fingerprint"]
    folder = pipeline.local("ImportExampleGen", "examples") / "Split-test"
    assert sorted(one.source_id for one in read_samples(folder)) == [
        "10/2/0",
        "10/2/1",
        "10/2/2",
        "10/2/3",
    ]


def shorten(directory: Path) -> None:
    shard = directory / "eval" / "records.gz"
    shard.write_bytes(shard.read_bytes()[:-20])


def flip(directory: Path) -> None:
    shard = directory / "train" / "records.gz"
    content = bytearray(shard.read_bytes())
    content[90] ^= 1
    shard.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda data: shutil.rmtree(data.parents[1]),
            "there is no folder {base}: the data set must lie on the volume that the steps mount, "
            "see the parameter data_root",
        ),
        (
            lambda data: shutil.rmtree(data / "test"),
            "no complete span in {base}: Cannot find matching for split test based on "
            "span-{{SPAN}}/v-{{VERSION}}/test/*",
        ),
        (
            lambda data: (write_span(data.parents[1], 2, 0) / "test" / "records.gz").unlink(),
            "no complete span in {base}: Latest span should be the same for each split",
        ),
        (
            lambda data: (data / "manifest.json").unlink(),
            "there is no manifest.json in {base}/span-1/v-0. Remove that folder and ingest again.",
        ),
        (
            shorten,
            "{base}/span-1/v-0/eval/records.gz has 163 bytes instead of 183. Ingest the same "
            "source again, which repairs it, or copy the file here anew.",
        ),
        (
            flip,
            "{base}/span-1/v-0/train/records.gz differs from its checksum. Ingest the same "
            "source again, which repairs it, or copy the file here anew.",
        ),
    ],
)
def test_data_that_are_not_whole_are_told(
    pipeline: Pipeline,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    spoil: Callable[[Path], object],
    words: str,
) -> None:
    base = tmp_path / "signs"
    spoil(write_span(base, 1, 0))
    step = pipeline.step("ImportExampleGen", {"input_base": str(base)})
    assert entrypoint.main(arguments(*step)) == 1
    last = capfd.readouterr().err.splitlines()[-1]
    assert last == f"signs: ImportExampleGen failed: {words.format(base=base)}"


class Reader(tf.Module):
    """A model that reads its answer off the label, so that it is always right, or always wrong."""

    def __init__(self, off_by: int = 0) -> None:
        super().__init__()
        self.off_by = tf.constant(off_by, tf.int64)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=features.EXAMPLES_INPUT)])
    def answer(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        label = tf.io.parse_example(
            examples, {features.LABEL: tf.io.FixedLenFeature([1], tf.int64)}
        )[features.LABEL]
        answer = (label[:, 0] + self.off_by) % len(CLASSES)
        return {features.PROBABILITIES: tf.one_hot(answer, len(CLASSES)), features.LABEL: label}

    def save(self, folder: Path) -> None:
        signatures = {
            features.SERVING_DEFAULT: self.answer,
            features.TRANSFORM_FEATURES: self.answer,
        }
        tf.saved_model.save(self, str(folder), signatures=signatures)


@pytest.fixture
def trained(pipeline: Pipeline, data: dict[str, str]) -> Pipeline:
    """A pipeline that has its examples and a candidate, which is always right."""
    pipeline.run("ImportExampleGen", data)
    uri = "minio://mlpipeline/v2/artifacts/signs/run-1/Trainer/1f0e/model"
    Reader().save(pipeline.launcher.local(uri) / "Format-Serving")
    pipeline.produced["Trainer"] = {"model": pipeline.launcher.register("model", uri)}
    return pipeline


def test_nothing_pushed_is_no_baseline_and_the_verdict_is_kept(
    trained: Pipeline, tmp_path: Path
) -> None:
    serving = tmp_path / "workspace" / "serving" / "signs"
    trained.run("Baseline", {"serving_root": str(serving)})
    assert not trained.local("Baseline", "model").exists()

    executor, executor_input, spec = trained.step("Evaluator", {"min_accuracy": 1})
    with pytest.raises(Exception, match="SavedModel file does not exist"):
        run_half_adapted(trained, executor, executor_input, spec)

    blessing = trained.run("Evaluator", {"min_accuracy": 1})["blessing"]["metadata"]
    assert blessing["blessed"] == 1
    model = trained.produced["Trainer"]["model"]
    assert blessing["current_model"] == model["uri"]
    assert blessing["current_model_id"] == model["name"]
    assert "baseline_model" not in blessing
    assert (trained.local("Evaluator", "blessing") / "BLESSED").is_file()

    # Pusher takes both verdicts from the metadata as KFP keeps them.
    uri = "minio://mlpipeline/v2/artifacts/signs/run-1/ServingCheck/1f0e/blessing"
    trained.launcher.local(uri).mkdir(parents=True)
    (trained.launcher.local(uri) / "INFRA_BLESSED").touch()
    infra = trained.launcher.register("blessing", uri, blessed=1)
    trained.produced["ServingCheck"] = {"blessing": infra}
    destination = {"push_destination": json.dumps({"filesystem": {"base_directory": str(serving)}})}
    pushed = trained.run("Pusher", destination)["pushed_model"]
    (version,) = serving.iterdir()
    assert pushed["metadata"]["pushed"] == 1
    assert pushed["metadata"]["pushed_destination"] == str(version)
    assert (version / "saved_model.pb").is_file()

    # A second candidate, as good as the first, now has a baseline to beat.
    Reader(off_by=len(CLASSES)).save(trained.local("Trainer", "model") / "Format-Serving")
    baseline = trained.run("Baseline", {"serving_root": str(serving)})["model"]
    assert baseline["metadata"]["version"] == int(version.name)
    verdict = trained.run("Evaluator", {"min_accuracy": 0.9, "min_accuracy_change": 0.01})
    assert verdict["blessing"]["metadata"]["blessed"] == 0
    assert verdict["blessing"]["metadata"]["baseline_model"] == baseline["uri"]
    assert trained.run("Pusher", destination)["pushed_model"]["metadata"]["pushed"] == 0
    assert list(serving.iterdir()) == [version]


def run_half_adapted(
    pipeline: Pipeline, executor: str, executor_input: dict[str, Any], spec: dict[str, Any]
) -> None:
    """TFX's entrypoint with all that stops it mended, save that the baseline is an empty folder."""
    executor_input = json.loads(json.dumps(executor_input))
    del executor_input["outputs"]["artifacts"]["executor-logs"]
    del executor_input["inputs"]["parameterValues"]["image"]
    for part in ("inputs", "outputs"):
        for name, artifacts in executor_input[part]["artifacts"].items():
            for artifact in artifacts["artifacts"]:
                artifact["uri"] = str(pipeline.launcher.local(artifact["uri"]))
                if part == "inputs":
                    artifact["type"] = spec["artifacts"][name]["artifactType"]
    stock.main(stock._parse_flags(["", *arguments(executor, executor_input, spec)]))
