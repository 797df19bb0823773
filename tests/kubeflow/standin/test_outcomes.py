"""A run's record, told as TFX's artifacts."""

from pathlib import Path

from kubeflow.standin.outcomes import outcomes_of
from kubeflow.standin.records import Artifact, Execution, RunRecord
from kubeflow.standin.store import Store
from pipeline.environment import Workspace

ROOT = "minio://mlpipeline/v2/artifacts/signs/run"


def made(task: str, key: str, kind: str, **metadata: object) -> Execution:
    artifacts = {
        key: Artifact(7, f"{ROOT}/{task}/{key}", f"tfx.{kind}", metadata),
        "executor-logs": Artifact(8, f"{ROOT}/{task}/executor-logs-0", "system.Artifact"),
    }
    return Execution(task, "COMPLETE", started=10.0, ended=12.5, artifacts=artifacts)


def test_artifacts_lie_in_the_store_with_their_properties(tmp_path: Path) -> None:
    store = Store(tmp_path / "kubeflow" / "store")
    (tmp_path / "file").write_text("x")
    store.upload(tmp_path / "file", f"{ROOT}/Trainer/model/saved_model.pb")
    record = RunRecord("run", "signs", ROOT, "", {})
    record.executions = {
        "Trainer": made("Trainer", "model", "Model", device="cpu", steps=3, rate=0.5),
        "Baseline": made("Baseline", "model", "Model"),
        "SpanGen": made("SpanGen", "examples", "Examples", split_names='["a"]'),
        "Pusher": made("Pusher", "pushed_model", "PushedModel", pushed=0),
        "Later": Execution("Later", "CANCELED"),
    }
    record.executions["Trainer"].state = "CACHED"

    outcomes = outcomes_of(record, Workspace(tmp_path))

    assert set(outcomes) == {"Trainer", "Baseline", "SpanGen", "Pusher"}
    trainer = outcomes["Trainer"]
    assert (trainer.reused, trainer.seconds, set(trainer.outputs)) == (True, 2.5, {"model"})
    [model] = trainer.outputs["model"]
    assert (model.id, model.type_name) == (7, "Model")
    assert (Path(model.uri) / "saved_model.pb").read_text() == "x"
    assert model.get_string_custom_property("device") == "cpu"
    assert model.get_int_custom_property("steps") == 3
    assert model.get_float_custom_property("rate") == 0.5
    assert outcomes["SpanGen"].outputs["examples"][0].split_names == '["a"]'
    # No model is no baseline; what was not pushed is told all the same.
    assert outcomes["Baseline"].outputs == {}
    assert outcomes["Pusher"].outputs["pushed_model"][0].get_int_custom_property("pushed") == 0
