"""What of ExecutorOutput reaches KFP: nothing local, and nothing that its metadata cannot hold."""

import json
from pathlib import Path

import pytest

from kubeflow.step.executor_output import publish
from signs import durable


def written(folder: Path, metadata: dict[str, object]) -> Path:
    artifact = {"name": "7", "uri": "/minio/b/Evaluator/1/blessing", "metadata": metadata}
    path = folder / "written.json"
    path.write_text(
        json.dumps(
            {
                "artifacts": {"blessing": {"artifacts": [artifact]}},
                "parameterValues": {"count": 3, "name": "x"},
            }
        )
    )
    return path


def test_nothing_local_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIGNS_MOUNTS", raising=False)
    metadata = {
        "blessed": 1,
        "current_model": "/minio/b/Trainer/1/model",
        "pushed_destination": "/workspace/serving/signs/17",
        "nothing": None,
    }
    target = tmp_path / "new" / "output_metadata.json"
    publish(written(tmp_path, metadata), target)
    assert json.loads(target.read_text()) == {
        "artifacts": {
            "blessing": {
                "artifacts": [
                    {
                        "name": "7",
                        "uri": "minio://b/Evaluator/1/blessing",
                        "metadata": {
                            "blessed": 1.0,
                            "current_model": "minio://b/Trainer/1/model",
                            "pushed_destination": "/workspace/serving/signs/17",
                        },
                    }
                ]
            }
        },
        "parameterValues": {"count": 3.0, "name": "x"},
    }
    assert [file.name for file in target.parent.iterdir()] == ["output_metadata.json"]


def test_it_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(built: Path, target: Path) -> None:
        assert not target.exists()
        raise OSError(28, "No space left on device")

    source = written(tmp_path, {})
    monkeypatch.setattr(durable, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        publish(source, tmp_path / "output_metadata.json")
    assert list(tmp_path.iterdir()) == [source]
