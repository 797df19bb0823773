"""What the stand-in would leave out of a pipeline is refused by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeflow.compiling.compiler import compile_pipeline
from kubeflow.compiling.options import ClusterOptions, Toleration, TrainingOptions
from kubeflow.compiling.pipeline_file import read_pipeline
from kubeflow.standin.limits import LimitError, check_limits
from pipeline.config import Data, default_config, override
from signs import features
from tests.kubeflow.standin.tiny import step, write

PLATFORM = {
    "pvcMount": [{"constant": "mine", "mountPath": "/data"}],
    "secretAsEnv": [{"secretName": "keys", "keyToEnv": []}],
    "nodeSelector": {"labels": {"a": "b"}},
}
STEPS = {
    "Z": step("true", outputs=("model",), retries=3, cache=True),
    "B": step("true", inputs={"it": ("Z", "model")}, platform=PLATFORM),
    "A": step("true", after=("B",), parameters={"n": 1}, from_pipeline={"m": "count"}),
}
Document = dict[str, Any]


def changed(folder: Path, change: Callable[[Document, Document], object]) -> Path:
    """A file with the three steps whose two documents `change` has edited."""
    path = write(folder / "pipeline.yaml", STEPS, parameters={"count": 3})
    documents = list(yaml.safe_load_all(path.read_text()))
    change(*documents)
    path.write_text(yaml.safe_dump_all(documents))
    return path


def test_all_that_signs_compile_writes_is_run(tmp_path: Path) -> None:
    check_limits(read_pipeline(changed(tmp_path, lambda one, two: None)))
    data = Data("signs", None, ("zero", "one"), dict.fromkeys(features.SPLITS, 4))
    config = override(default_config(data), ["warm_start=true", "tune.trials=2", "schema=infer"])
    options = ClusterOptions(
        image=f"signs@sha256:{'0' * 64}",
        training=TrainingOptions(
            gpu=1, node_selector={"pool": "gpu"}, tolerations=(Toleration("a", value="b"),)
        ),
        secret="keys",
        image_pull_secrets=("registry",),
        run_as_user=1000,
        run_as_group=1000,
    )
    path = tmp_path / "signs.yaml"
    path.write_text(compile_pipeline(config, options))
    check_limits(read_pipeline(path))


def _task(one: Document, name: str) -> Document:
    return one["root"]["dag"]["tasks"][name]


def _container(one: Document, name: str) -> Document:
    return one["deploymentSpec"]["executors"][f"{name}_executor"]["container"]


def _platform(two: Document) -> Document:
    return two["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["B_executor"]


@pytest.mark.parametrize(
    ("change", "beyond"),
    [
        (lambda one, two: _task(one, "A").update(triggerPolicy={"condition": "true"}),
         ["A: triggerPolicy"]),
        (lambda one, two: _task(one, "A").update(
            triggerPolicy={"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}),
         ["A: triggerPolicy"]),
        (lambda one, two: _task(one, "A").update(parameterIterator={"itemInput": "x"}),
         ["A: parameterIterator"]),
        (lambda one, two: _task(one, "Z")["cachingOptions"].update(cacheKey="x"), ["Z: cacheKey"]),
        (lambda one, two: _task(one, "A")["inputs"]["parameters"].update(
            n={"taskOutputParameter": {"producerTask": "B", "outputParameterKey": "x"}}),
         ["A: taskOutputParameter"]),
        (lambda one, two: one["components"]["Z"]["outputDefinitions"].update(
            parameters={"x": {"parameterType": "STRING"}}),
         ["Z: parameters"]),
        (lambda one, two: one["components"].update(A={"dag": {"tasks": {}}}), ["A: dag"]),
        (lambda one, two: one["deploymentSpec"]["executors"].update(
            A_executor={"importer": {"artifactUri": {"constant": "gs://b/x"}}}),
         ["A: importer"]),
        (lambda one, two: _container(one, "A").update(env=[{"name": "A", "value": "b"}]),
         ["A: env"]),
        (lambda one, two: _container(one, "A").update(args=['{"IfPresent": {}}']),
         ["A: an argument that depends on whether an input is present"]),
        (lambda one, two: _platform(two).update(
            secretAsVolume=[{"secretName": "x", "optional": True}], configMapAsEnv=[{}]),
         ["B: configMapAsEnv", "B: optional"]),
        (lambda one, two: _platform(two)["pvcMount"][0].update(subPath="x"), ["B: subPath"]),
        (lambda one, two: _platform(two).update(
            pvcMount=[{"componentInputParameter": "count", "mountPath": "/x"}]),
         ["B: componentInputParameter", "B: pvcMount without constant"]),
        (lambda one, two: _platform(two).update(
            secretAsEnv=[{"secretNameParameter": {"componentInputParameter": "count"}}]),
         ["B: secretAsEnv without secretName"]),
    ],
)  # fmt: skip
def test_what_a_cluster_runs_and_the_stand_in_does_not(
    tmp_path: Path, change: Callable[[Document, Document], object], beyond: list[str]
) -> None:
    path = changed(tmp_path, change)
    with pytest.raises(LimitError) as caught:
        check_limits(read_pipeline(path))
    first, *lines = str(caught.value).splitlines()
    assert first == f"{path}: the stand-in does not run what a cluster may:"
    assert sorted(line.strip() for line in lines) == beyond
