"""KFP's own backend and the stand-in: the same pipelines, the same things handed over.

What KFP's newest driver and launcher hand over is recorded in backend/observed.json, and the
stand-in is held against it. Where Go is, an older KFP is built and asked itself: the newest that
Go's module proxy has with a checksum.
"""

import json
from pathlib import Path

import pytest
import yaml

from kubeflow.compiling.compiler import compile_pipeline
from kubeflow.compiling.options import ClusterOptions
from pipeline.config import Data, PipelineConfig
from signs import features
from tests.kubeflow.backend import observe
from tests.kubeflow.backend.backend import Backend, RefusedError, compile_workflow
from tests.kubeflow.backend.standin import Standin

OBSERVED = json.loads(observe.OBSERVED.read_text())
EXAMPLE = observe.FOLDER / "example.yaml"
WRITE = observe.FOLDER / "write.yaml"
IMAGE = "ghcr.io/signs/pipeline@sha256:" + "0" * 64
STATES = {"COMPLETE": "Succeeded", "CACHED": "Cached"}


def test_steps_are_handed_what_kfp_hands_them(standin: Standin) -> None:
    for number, run in enumerate(OBSERVED["example"]["runs"]):
        executions = standin.run(EXAMPLE, number)
        assert {name: STATES[each.state] for name, each in executions.items()} == run["steps"]
        assert standin.seen() == run["seen"]
    assert observe.stored(standin.store) == OBSERVED["example"]["store"]


def test_what_steps_hand_back_is_taken_or_refused_as_kfp_does(standin: Standin) -> None:
    for number, (name, text) in enumerate(observe.WRITTEN.items()):
        end = OBSERVED["written"][name]
        execution = standin.run(WRITE, number, written=text)["Write"]
        assert (execution.state == "COMPLETE") == (end == "accepted"), (name, execution.errors)


@pytest.fixture(scope="session")
def signs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = Data("signs", None, ("zero", "one"), dict.fromkeys(features.SPLITS, 4))
    path = tmp_path_factory.mktemp("signs") / "pipeline.yaml"
    path.write_text(compile_pipeline(PipelineConfig(data), ClusterOptions(image=IMAGE)))
    return path


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kfp_takes_the_signs_pipeline(programs: Path, signs: Path) -> None:
    workflow = compile_workflow(programs / "compiler", signs, {"train_steps": 3}, observe.ROOT)
    (root,) = (each for each in workflow["spec"]["templates"] if each["name"] == "root")
    tasks = {task["name"]: task.get("depends", "") for task in root["dag"]["tasks"]}
    assert tasks["Pusher-driver"] == (
        "Evaluator.Succeeded && RunReport.Succeeded && ServingCheck.Succeeded && Trainer.Succeeded"
    )
    spec = next(yaml.safe_load_all(signs.read_text()))
    assert set(tasks) == {
        f"{name}{suffix}" for name in spec["root"]["dag"]["tasks"] for suffix in ("", "-driver")
    }


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("schemaVersion: 2.1.0", "schemaVersion: 2.0.0", "KFP only supports schema version 2.1.0"),
        ("maxRetryCount", "maxRetries", "no pipeline spec is provided"),
        ("    container:\n", "    resolver:\n", "non-container and non-importer executor"),
    ],
)
def test_kfp_refuses(
    programs: Path, signs: Path, tmp_path: Path, old: str, new: str, error: str
) -> None:
    changed = tmp_path / "pipeline.yaml"
    changed.write_text(signs.read_text().replace(old, new))
    with pytest.raises(RefusedError, match=error):
        compile_workflow(programs / "compiler", changed, {}, observe.ROOT)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_an_older_launcher_takes_and_refuses_the_same(backend: Backend) -> None:
    ends = observe.observe_written(backend)
    differing = {
        name
        for name, end in OBSERVED["written"].items()
        if (end == "accepted") != (ends[name] == "accepted")
    }
    assert differing == {"empty custom path"}  # a field that KFP before 2.15 lacks


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_steps_of_the_signs_pipeline_are_handed_what_kfp_hands_them(
    backend: Backend, standin: Standin, signs: Path, tmp_path: Path
) -> None:
    spec = next(yaml.safe_load_all(signs.read_text()))
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump(observe.recording(spec, "/seen")))
    folders = [tmp_path / "seen-kfp", tmp_path / "seen-standin"]
    folders[1].mkdir()
    backend.run(backend.compile(path, {}, observe.ROOT), "signs")
    standin.run(path, 1)
    handed = []
    for folder in folders:
        records = {file.stem: json.loads(file.read_text()) for file in folder.iterdir()}
        handed.append(
            {
                label: (
                    record["words"],
                    record["executor_input"]["inputs"].get("parameterValues"),
                    sorted(record["executor_input"]["inputs"].get("artifacts", {})),
                    # KFP before 2.5 publishes no logs.
                    sorted({*record["executor_input"]["outputs"]["artifacts"]} - {"executor-logs"}),
                )
                for label, record in records.items()
            }
        )
    assert len(handed[0]) == len(spec["deploymentSpec"]["executors"])
    assert handed[0] == handed[1]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_launcher_runs_a_step_of_the_signs_pipeline(
    backend: Backend, signs: Path, tmp_path: Path
) -> None:
    spec = next(yaml.safe_load_all(signs.read_text()))
    tasks = spec["root"]["dag"]["tasks"]
    spec["root"]["dag"]["tasks"] = {"CuratedSchema": tasks["CuratedSchema"]}
    step = tmp_path / "step.yaml"
    step.write_text(yaml.safe_dump(spec))
    (attempt,) = backend.run(backend.compile(step, {}, observe.ROOT), "step").of("CuratedSchema")
    assert attempt.status == 0, attempt.log.read_text()
    (schema,) = backend.store.rglob("schema.pbtxt")
    assert "image_domain" in schema.read_text()
