"""The newest pushed version of these classes is the baseline, unless it is the candidate itself."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from tfx.types.standard_artifacts import Model

from components.newest_pushed.executor import Executor, newest
from tests.components.models import save_model

CLASSES = ("cat", "dog")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of two kinds of classes, to be copied."""
    root = tmp_path_factory.mktemp("saved")
    save_model(root / "cat dog", CLASSES)
    save_model(root / "cat dog emu", (*CLASSES, "emu"))
    return root


@pytest.fixture
def base(saved: Path, tmp_path: Path) -> Path:
    """A serving folder; each model in it has a file that tells it from the others."""
    base = tmp_path / "serving"
    for version, names in ((7, "cat dog"), (9, "cat dog"), (10, "cat dog emu")):
        shutil.copytree(saved / names, base / str(version))
        (base / str(version) / "assets" / str(version)).touch()
    (base / "13").mkdir()  # holds no model
    (base / ".pushing-11").mkdir()
    return base


def artifact(folder: Path) -> Model:
    folder.mkdir(parents=True, exist_ok=True)
    model = Model()
    model.uri = str(folder)
    return model


def find(
    base: Path,
    output: Path,
    candidate: Path | None = None,
    class_names: Sequence[str] | None = None,
) -> Model:
    inputs = {"candidate": [artifact(candidate)]} if candidate else {}
    model = artifact(output)
    names = None if class_names is None else json.dumps(class_names)
    Executor().Do(inputs, {"model": [model]}, {"serving_root": str(base), "class_names": names})
    return model


def test_newest_by_number_not_by_name(base: Path) -> None:
    assert newest(base) == (base / "10", [])


def test_the_newest_of_the_same_classes(base: Path) -> None:
    assert newest(base, class_names=CLASSES) == (
        base / "9",
        ["v10 knows other classes: cat, dog, emu"],
    )


def test_one_whose_files_are_gone_is_passed_over(base: Path) -> None:
    shutil.rmtree(base / "9" / "variables")
    found, passed_over = newest(base, class_names=CLASSES)
    assert found == base / "7"
    assert passed_over[1:] == ["v9 has lost its files"]


def test_nothing_pushed_is_an_empty_model(tmp_path: Path) -> None:
    model = find(tmp_path / "never", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert not model.has_custom_property("version")


def test_model_lies_where_evaluator_and_trainer_look(base: Path, tmp_path: Path) -> None:
    model = find(base, tmp_path / "out", class_names=CLASSES)
    assert (tmp_path / "out" / "Format-Serving" / "assets" / "9").is_file()
    assert model.get_int_custom_property("version") == 9
    assert model.get_int_custom_property("newest_pushed") == 13  # as Pusher counts
    said = json.loads(model.get_string_custom_property("passed_over"))
    assert said == ["v10 knows other classes: cat, dog, emu"]


def test_candidate_that_was_pushed_before_is_passed_over(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base / "9", tmp_path / "candidate" / "Format-Serving")
    model = find(base, tmp_path / "out", tmp_path / "candidate", CLASSES)
    assert model.get_int_custom_property("version") == 7


def test_what_was_pushed_of_a_candidate_in_another_precision_is_passed_over(
    base: Path, tmp_path: Path
) -> None:
    candidate = Path(shutil.copytree(base / "9", tmp_path / "candidate"))
    (base / "9" / "saved_model.pb").touch()
    (candidate / "assets" / "9").write_text("in float32")
    for folder in (candidate, base / "9", base / "7"):
        (folder / "assets.extra").mkdir()
        (folder / "assets.extra" / "trained.keras").write_text(f"weights {folder == base / '7'}")
    assert newest(base, candidate, CLASSES)[0] == base / "7"


def test_only_others_were_pushed(base: Path, tmp_path: Path) -> None:
    model = find(base, tmp_path / "out", class_names=("x", "y"))
    assert list((tmp_path / "out").iterdir()) == []
    assert len(json.loads(model.get_string_custom_property("passed_over"))) == 3
