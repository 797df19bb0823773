"""Both ways from a version, by what ML Metadata say."""

import json

import pytest

from pipeline.keeping.ancestry import Material, ancestry
from signs.errors import UserError
from tests.pipeline.keeping.workspaces import Made, run_id
from trust.provenance import STATEMENT


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Three runs; each model is compared with the one before, and the second is not blessed."""
    made = Made(tmp_path_factory.mktemp("three runs"))
    for number in (1, 2, 3):
        made.add_run(number, blessed=number != 2)
    return made


def test_what_a_version_was_made_from(made: Made) -> None:
    found = ancestry(made.workspace, "photos", 3)
    assert found.run == run_id(3)
    assert [(one.component, one.type, one.run) for one in found.made_from] == [
        ("Evaluator", "ModelBlessing", run_id(3)),
        ("Trainer", "Model", run_id(3)),
        ("Transform", "TransformGraph", run_id(3)),
        ("SpanGen", "Examples", run_id(3)),
    ]
    model = found.made_from[1]
    assert made.root / model.path == made.folder(3, "Trainer", "model")
    assert (model.id, found.materials, found.made_from_it) == (made.models[3], (), ())


def test_what_was_made_from_a_version(made: Made) -> None:
    [later] = ancestry(made.workspace, "photos", 1).made_from_it
    assert (later.way, later.run, later.versions) == ("compared with it", run_id(2), ())
    assert later.id == made.models[2]


def test_a_training_that_began_with_it_counts_more_than_a_comparison(tmp_path) -> None:
    made = Made(tmp_path / "workspace")
    made.add_run(1)
    made.add_run(2)
    [trained] = [
        event.execution_id
        for event in made.store.get_events_by_artifact_ids([made.models[2]])
        if event.type == event.OUTPUT
    ]
    [event] = [
        event
        for event in made.store.get_events_by_artifact_ids([made.models[1]])
        if event.path.steps[0].key == "baseline_model"
    ]
    event.execution_id = trained
    event.path.steps[0].key = "base_model"
    made.store.put_events([event])
    [later] = ancestry(made.workspace, "photos", 1).made_from_it
    assert (later.way, later.versions) == ("trained on from it", (2,))


def test_the_statement_tells_of_data_and_code(made: Made) -> None:
    path = made.workspace.serving("photos") / "1" / STATEMENT
    path.parent.mkdir()
    materials = [
        {
            "name": "span",
            "digest": {"sha256": "ab"},
            "annotations": {"source": "zip hands.zip"},
        },
        {"name": "photos/span-newest/v-newest/manifest.json"},
    ]
    statement = {"predicate": {"buildDefinition": {"resolvedDependencies": materials}}}
    path.write_text(json.dumps(statement))
    found = ancestry(made.workspace, "photos", 1)
    assert found.materials == (
        Material("span", "ab", "zip hands.zip"),
        Material("photos/span-newest/v-newest/manifest.json", ""),
    )
    path.write_text('{"predicate": []}')
    assert ancestry(made.workspace, "photos", 1).materials == ()


def test_a_version_that_nobody_pushed_is_no_version(made: Made) -> None:
    with pytest.raises(UserError, match=r"know no photos v2; they know v1, v3"):
        ancestry(made.workspace, "photos", 2)
