"""The pipeline's own executors, with what the compiler makes and the launcher hands them."""

import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as stock

from signs import features
from tests.kubeflow.step.launcher import Pipeline, arguments
from tests.kubeflow.step.spans import CLASSES


class Reader(tf.Module):
    """A model that reads its answer off the label, so that it is always right, or always wrong."""

    def __init__(self, off_by: int = 0) -> None:
        super().__init__()
        self.off_by = tf.constant(off_by, tf.int64)
        self.names = tf.constant(CLASSES)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=features.EXAMPLES_INPUT)])
    def answer(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        label = tf.io.parse_example(
            examples, {features.LABEL: tf.io.FixedLenFeature([1], tf.int64)}
        )[features.LABEL]
        answer = (label[:, 0] + self.off_by) % len(CLASSES)
        return {
            features.PROBABILITIES: tf.one_hot(answer, len(CLASSES)),
            features.LABEL: label,
            features.PREDICTED_CLASS_NAME: tf.gather(self.names, answer),
        }

    def save(self, folder: Path) -> None:
        signatures = {
            features.SERVING_DEFAULT: self.answer,
            features.TRANSFORM_FEATURES: self.answer,
        }
        tf.saved_model.save(self, str(folder), signatures=signatures)


@pytest.fixture
def trained(pipeline: Pipeline, data: dict[str, str]) -> Pipeline:
    """A pipeline that has its examples and a candidate, which is always right."""
    pipeline.run("SpanGen", data)
    uri = "minio://mlpipeline/v2/artifacts/signs/run-1/Trainer/1f0e/model"
    Reader().save(pipeline.launcher.local(uri) / "Format-Serving")
    pipeline.produced["Trainer"] = {"model": pipeline.launcher.register("model", uri)}
    for step, output in (("LeakageGuard", "leaks"), ("RunReport", "report")):
        uri = f"minio://mlpipeline/v2/artifacts/signs/run-1/{step}/1f0e/{output}"
        pipeline.launcher.local(uri).mkdir(parents=True)
        (pipeline.launcher.local(uri) / "groups.jsonl").touch()  # no copies were found
        pipeline.produced[step] = {output: pipeline.launcher.register(output, uri)}
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
