"""Which model a candidate must beat."""

import pytest
from tfx.types.standard_artifacts import Model, ModelBlessing

from components.baseline import LatestBlessedOther


def model(id: int) -> Model:
    artifact = Model()
    artifact.id = id
    return artifact


def blessing(id: int, of_model: int, blessed: int = 1) -> ModelBlessing:
    artifact = ModelBlessing()
    artifact.id = id
    artifact.set_int_custom_property("current_model_id", of_model)
    artifact.set_int_custom_property("blessed", blessed)
    return artifact


@pytest.mark.parametrize(
    ("candidate", "models", "blessings", "expected"),
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
    ],
)
def test_baseline(
    candidate: int,
    models: list[int],
    blessings: list[tuple[int, int, int]],
    expected: int | None,
) -> None:
    resolved = LatestBlessedOther().resolve_artifacts(
        None,
        {
            "candidate": [model(candidate)],
            "model": [model(id) for id in models],
            "model_blessing": [blessing(*one) for one in blessings],
        },
    )
    assert [artifact.id for artifact in resolved["model"]] == ([expected] if expected else [])
    assert len(resolved["model_blessing"]) == len(resolved["model"])
