"""Which model a candidate must beat."""

import logging
from pathlib import Path

import ml_metadata as mlmd
import pytest
from tfx.types.standard_artifacts import Examples, Model, ModelBlessing

from components.baseline import LatestBlessed
from tests.components.models import save_model

CLASSES = ("b", "c")
# By id: what each model knows. The files of 9 are gone.
KNOWN = {1: CLASSES, 2: CLASSES, 3: CLASSES, 4: ("a", "b", "c"), 5: ("x", "y"), 6: ("c", "b")}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for id, names in KNOWN.items():
        save_model(root / str(id) / "Format-Serving", names)
    return root


def model(id: int, root: Path) -> Model:
    artifact = Model()
    artifact.id = id
    artifact.uri = str(root / str(id))
    return artifact


def blessing(id: int, of_model: int, blessed: int = 1) -> ModelBlessing:
    artifact = ModelBlessing()
    artifact.id = id
    artifact.set_int_custom_property("current_model_id", of_model)
    artifact.set_int_custom_property("blessed", blessed)
    return artifact


@pytest.mark.parametrize(
    ("candidate", "known", "blessings", "expected"),
    [
        pytest.param(1, [1], [], None, id="the first model has nothing to beat"),
        pytest.param(2, [1, 2], [(10, 1, 1)], 1, id="the blessed one"),
        pytest.param(2, [1, 2], [(10, 1, 0)], None, id="one that was refused is none"),
        pytest.param(1, [1], [(10, 1, 1)], None, id="never itself, as when nothing has changed"),
        pytest.param(3, [1, 2, 3], [(10, 1, 1), (11, 2, 1)], 2, id="the latest of two"),
        pytest.param(2, [1, 2], [(10, 1, 1), (11, 2, 1)], 1, id="itself blessed: the one before"),
        pytest.param(
            3,
            [1, 2, 3],
            [(10, 2, 1), (11, 1, 1)],
            1,
            id="the latest blessing, not the newest model",
        ),
        pytest.param(2, [2], [(10, 1, 1)], None, id="a blessing whose model is gone"),
        pytest.param(2, [1, 4, 2], [(10, 1, 1), (11, 4, 1)], 1, id="the newest of these classes"),
        pytest.param(2, [1, 9, 2], [(10, 1, 1), (11, 9, 1)], 1, id="the newest that is there"),
    ],
)
def test_baseline(
    models: Path,
    candidate: int,
    known: list[int],
    blessings: list[tuple[int, int, int]],
    expected: int | None,
) -> None:
    resolved = LatestBlessed(CLASSES).resolve_artifacts(
        None,
        {
            "candidate": [model(candidate, models)],
            "model": [model(id, models) for id in known],
            "model_blessing": [blessing(*one) for one in blessings],
        },
    )
    assert [artifact.id for artifact in resolved["model"]] == ([expected] if expected else [])
    assert len(resolved["model_blessing"]) == len(resolved["model"])


def test_each_that_is_passed_over_is_told_once(
    models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blessed = [4, 5, 6, 9]
    inputs = {
        "candidate": [model(1, models)],
        "model": [model(id, models) for id in blessed],
        "model_blessing": [blessing(10 + index, id) for index, id in enumerate([4, *blessed])],
    }
    with caplog.at_level(logging.INFO, "components.baseline"):
        assert LatestBlessed(CLASSES).resolve_artifacts(None, inputs)["model"] == []
    assert caplog.messages == [
        "model 9 has lost its files",
        "model 6 has the same classes in another order",
        "model 5 knows other classes: x, y",
        "model 4 knows other classes: a, b, c",
    ]


def test_a_warm_start_takes_any_classes_but_no_lost_files(models: Path) -> None:
    inputs = {
        "model": [model(id, models) for id in (1, 4, 9)],
        "model_blessing": [blessing(10, 1), blessing(11, 4), blessing(12, 9)],
    }
    [found] = LatestBlessed().resolve_artifacts(None, inputs)["model"]
    assert found.id == 4


def test_a_model_of_the_very_same_images_is_no_start_where_that_is_not_wanted(
    models: Path,
) -> None:
    config = mlmd.proto.ConnectionConfig()
    config.fake_database.SetInParent()
    store = mlmd.MetadataStore(config)
    kind = store.put_artifact_type(mlmd.proto.ArtifactType(name="any"))
    did = store.put_execution_type(mlmd.proto.ExecutionType(name="Trainer"))
    ids = store.put_artifacts([mlmd.proto.Artifact(type_id=kind) for _ in range(6)])
    assert ids == [1, 2, 3, 4, 5, 6]  # 1, 2 and 3 are the models
    for examples, trained in ((5, 1), (6, 2), (6, 3)):
        [execution] = store.put_executions([mlmd.proto.Execution(type_id=did)])
        read, made = mlmd.proto.Event.INPUT, mlmd.proto.Event.OUTPUT
        store.put_events(
            [
                mlmd.proto.Event(artifact_id=artifact, execution_id=execution, type=way)
                for artifact, way in ((examples, read), (trained, made))
            ]
        )
    examples = Examples()
    examples.id = 6
    inputs = {
        "model": [model(id, models) for id in (1, 2, 3)],
        "model_blessing": [blessing(10, 1), blessing(11, 2), blessing(12, 3)],
    }
    [again] = LatestBlessed().resolve_artifacts(store, inputs)["model"]
    [other] = LatestBlessed().resolve_artifacts(store, {**inputs, "examples": [examples]})["model"]
    assert (again.id, other.id) == (3, 1)
