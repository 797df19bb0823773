"""What of a workspace goes, what stays, and that nothing else is touched."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2 as pb

from data.converting.convert import ingest
from pipeline.environment import Workspace
from pipeline.keeping import prune as module
from pipeline.keeping.prune import Item, Plan, PruneError, plan, prune
from serving.rollout import Rollout
from signs import durable
from signs.versions import complete_versions
from tests.data.images import class_tree, jpeg, write_tree
from tests.pipeline.keeping.workspaces import Made, run_id


@pytest.fixture(scope="module")
def four_runs(tmp_path_factory: pytest.TempPathFactory) -> Made:
    made = Made(tmp_path_factory.mktemp("four runs"))
    for number in (1, 2, 3, 4):
        made.add_run(number, blessed=number != 3)
    return made


@pytest.fixture
def made(four_runs: Made, tmp_path: Path) -> Made:
    """Four runs, of which the last but one was not blessed."""
    shutil.copytree(four_runs.root, tmp_path / "workspace")
    return Made(tmp_path / "workspace", models=dict(four_runs.models))


def names(items: Iterable[Item]) -> set[str]:
    return {item.path.name for item in items}


def spans(planned: Plan) -> set[str]:
    return {item.path.parent.name for item in planned.going("spans")}


def everything(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if ".lock" not in path.name}


def test_a_plan_changes_nothing(made: Made) -> None:
    before = everything(made.root)
    content = made.workspace.metadata.read_bytes()
    assert plan(made.workspace, 1).going()
    assert everything(made.root) == before
    assert made.workspace.metadata.read_bytes() == content


def test_the_last_runs_stay_whole(made: Made) -> None:
    planned = plan(made.workspace, 2)
    assert names(planned.going("versions")) == {"1"}  # of two that were pushed last, none
    assert names(planned.going("logs")) == {f"{run_id(number)}.log" for number in (1, 2)}
    assert spans(planned) == {"span-1"}
    assert planned.staying("artifacts")
    prune(made.workspace, planned)
    for number in (3, 4):
        assert made.folder(number, "Trainer", "model").is_dir()
    # Version 2 stays, and with it all that it was made from, though its run does not.
    assert made.folder(2, "SpanGen", "examples").is_dir()
    assert made.folder(2, "Transform", "transform_graph").is_dir()
    assert (made.workspace.data / "photos" / "span-2" / "v-1").is_dir()
    assert not (made.workspace.data / "photos" / "span-1").exists()
    assert [run.name for run in sorted((made.root / "runs" / "photos").iterdir())] == [
        run_id(number) for number in (1, 2, 3, 4)
    ]


def test_what_is_gone_is_told_to_the_metadata_first(made: Made) -> None:
    gone = made.folder(1, "Trainer", "model")
    prune(made.workspace, plan(made.workspace, 1))
    assert not gone.exists()
    assert made.state(gone) == pb.Artifact.DELETED
    assert made.state(made.folder(4, "Trainer", "model")) == pb.Artifact.LIVE
    assert plan(made.workspace, 1).going() == []


def test_the_lineage_of_a_version_ends_at_the_model_that_it_was_compared_with(made: Made) -> None:
    planned = plan(made.workspace, 1)
    going = {item.path for item in planned.going("artifacts")}
    # Run 4 has read the model of run 3, as its baseline: that belongs to the last run.
    assert made.folder(3, "Trainer", "model") not in going
    assert made.folder(3, "Transform", "transform_graph") in going


def test_labelled_versions_and_the_one_to_roll_back_to_stay(made: Made) -> None:
    rollout = Rollout(made.workspace.serving("photos"))
    for version in (1, 2):
        rollout.promote(version)
    planned = plan(made.workspace, 1)
    why = {item.path.name: item.why for item in planned.staying("versions")}
    assert why == {"1": "for a rollback", "2": "labelled stable", "4": "the newest"}
    assert made.folder(1, "Trainer", "model") not in {one.path for one in planned.going()}


def test_the_baseline_stays_where_its_version_is_gone(made: Made) -> None:
    shutil.rmtree(made.workspace.serving("photos"))
    made.add_run(5, blessed=False)
    made.add_run(6, blessed=False)
    staying = {item.path: item.why for item in plan(made.workspace, 1).staying("artifacts")}
    assert staying[made.folder(4, "Trainer", "model")] == "the baseline"
    assert staying[made.folder(4, "SpanGen", "examples")] == "the baseline"


def test_what_a_killed_training_has_left_goes_with_its_run(made: Made) -> None:
    old, new = made.fail(1), made.fail(4)
    going = {item.path for item in plan(made.workspace, 1).going()}
    assert old in going
    assert new not in going


def test_unfinished_trainings_of_the_last_runs_may_go_on(made: Made) -> None:
    root = made.workspace.artifacts / "photos" / "checkpoints"
    for name, time in (("0" * 16, 1_000_000_000), ("f" * 16, 4_000_000_000)):
        (root / name).mkdir(parents=True)
        os.utime(root / name, (time, time))
    planned = plan(made.workspace, 2)
    assert names(planned.going("unfinished trainings")) == {"0" * 16}
    assert names(planned.staying("unfinished trainings")) == {"f" * 16}


def test_strangers_stay_and_are_told(made: Made) -> None:
    root = made.root
    strangers = [
        root / "serving" / "photos" / "notes.txt",
        root / "data" / "photos" / "my pictures",
        root / "artifacts" / "photos" / "Trainer" / "model" / "999",
        root / "artifacts" / "photos" / "Analysis",
        root / "logs" / "mine.log",
    ]
    for path in strangers:
        path.mkdir()
    planned = plan(made.workspace, 1)
    assert set(planned.strangers) == set(strangers)
    prune(made.workspace, planned)
    assert all(path.is_dir() for path in strangers)


def test_no_link_is_followed(made: Made, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    for name in ("saved_model.pb", "v-1/data", "precious"):
        (outside / name).parent.mkdir(parents=True, exist_ok=True)
        (outside / name).touch()
    root = made.root
    model, other = (made.folder(number, "Trainer", "model") for number in (1, 2))
    (other / "link").symlink_to(outside)
    shutil.rmtree(model)
    for link in (
        root / "serving" / "photos" / "0",
        root / "serving" / "others",
        root / "data" / "photos" / "span-0",
        root / "data" / "others",
        root / "artifacts" / "others",
        root / "logs" / f"{run_id(0)}.log",
        model,
    ):
        link.symlink_to(outside)
    prune(made.workspace, plan(made.workspace, 1))
    assert len(list(outside.rglob("*"))) == 4
    assert model.is_symlink()
    assert not other.exists()


def test_a_folder_that_is_a_link_itself_is_refused(made: Made, tmp_path: Path) -> None:
    (made.root / "serving").rename(tmp_path / "elsewhere")
    (made.root / "serving").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PruneError, match="serving is a link: only what lies in it is pruned"):
        plan(made.workspace, 1)


def test_a_pruning_that_was_cut_off_is_repeated(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(path: Path) -> None:
        (path / "saved_model.pb").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module.shutil, "rmtree", cut_off)
        prune(made.workspace, plan(made.workspace, 1))
    assert complete_versions(made.workspace.serving("photos")).keys() == {2, 4}
    again = plan(made.workspace, 1)
    assert names(again.going("leftovers")) == {".pruned-1"}
    prune(made.workspace, again)
    assert plan(made.workspace, 1).going() == []
    assert not list(made.root.rglob(".pruned-*"))


def test_a_promotion_that_is_under_way_is_not_disturbed(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WAIT_S", 0.0)
    planned = plan(made.workspace, 1)
    with (
        durable.lock(made.workspace.serving("photos")),
        pytest.raises(PruneError, match="photos is in use, by a promotion"),
    ):
        prune(made.workspace, planned)
    assert made.workspace.serving("photos").joinpath("1").is_dir()


def test_a_workspace_of_older_code(tmp_path: Path) -> None:
    made = Made(tmp_path / "before", absolute=True)
    for number in (1, 2, 3):
        made.add_run(number)
    moved = Workspace(made.root.rename(tmp_path / "after"))
    planned = plan(moved, 1)
    assert names(planned.going("versions")) == {"1", "2"}
    staying = {item.path.relative_to(moved.root) for item in planned.staying("artifacts")}
    # Its own five, and the model that it was compared with.
    assert len(staying) == 6
    prune(moved, planned)
    assert {path for path in staying if not (moved.root / path).is_dir()} == set()


def test_an_empty_workspace(tmp_path: Path) -> None:
    assert plan(Workspace(tmp_path), 3) == Plan()
    assert list(tmp_path.iterdir()) == []


def test_a_claim_has_no_metadata_and_trainings_of_its_own(tmp_path: Path) -> None:
    """As the steps on a cluster leave it; the CronJob signs-prune is this command there."""
    root = tmp_path / "claim"
    photos = class_tree(tmp_path / "photos", per_class=2)
    for number in range(3):
        write_tree(photos, {f"cat/new-{number}.jpg": jpeg(90 + number)})
        ingest(photos, root / "data", full=True)
    old, going_on = (root / "checkpoints" / "signs" / (digit * 16) for digit in "0f")
    for training in (old, going_on):
        training.mkdir(parents=True)
        for path in (training / "log", training):
            path.touch()
            os.utime(path, (1_000_000_000, 1_000_000_000))
    (going_on / "log").write_text("epoch 7")
    planned = plan(Workspace(root), 2)
    assert spans(planned) == {"span-1"}
    why = [item.why for item in planned.staying("spans")]
    assert why == ["one of the last", "the newest"]
    assert [item.path for item in planned.going("unfinished trainings")] == [old]
    prune(Workspace(root), planned)
    assert going_on.is_dir()
    assert not old.exists()
    assert plan(Workspace(root), 2).going() == []


def test_spans_that_others_go_on_from_stay(tmp_path: Path) -> None:
    tree, workspace = class_tree(tmp_path / "photos", per_class=2), Workspace(tmp_path / "w")
    for number, full in enumerate((True, False, True, False)):
        write_tree(tree, {f"cat/new-{number}.jpg": jpeg(90 + number)})
        ingest(tree, workspace.data, full=full)
    planned = plan(workspace, keep=1)
    assert spans(planned) == {"span-1", "span-2"}
    whys = {item.path.parent.name: item.why for item in planned.staying("spans")}
    assert whys == {"span-3": "span 4 goes on from it", "span-4": "the newest"}
