"""The newest pushed version is the baseline, unless it is the candidate itself."""

from pathlib import Path

from tfx.types.standard_artifacts import Model

from components.newest_pushed.executor import Executor, newest


def saved_model(folder: Path, weights: bytes) -> Path:
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(weights)
    return folder


def artifact(folder: Path) -> Model:
    folder.mkdir(parents=True, exist_ok=True)
    model = Model()
    model.uri = str(folder)
    return model


def find(base: Path, output: Path, candidate: Path | None = None) -> Model:
    inputs = {"candidate": [artifact(candidate)]} if candidate else {}
    model = artifact(output)
    Executor().Do(inputs, {"model": [model]}, {"serving_root": str(base)})
    return model


def test_newest_by_number_not_by_name(tmp_path: Path) -> None:
    for version in ("9", "10", ".pushing-11", "12.tmp"):
        saved_model(tmp_path / version, version.encode())
    (tmp_path / "13").mkdir()  # holds no model
    assert newest(tmp_path) == tmp_path / "10"


def test_nothing_pushed_is_an_empty_model(tmp_path: Path) -> None:
    model = find(tmp_path / "never", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert not model.has_custom_property("version")


def test_model_lies_where_evaluator_and_trainer_look(tmp_path: Path) -> None:
    saved_model(tmp_path / "serving" / "7", b"weights")
    model = find(tmp_path / "serving", tmp_path / "out")
    found = tmp_path / "out" / "Format-Serving"
    assert (found / "variables" / "variables.index").read_bytes() == b"weights"
    assert model.get_int_custom_property("version") == 7


def test_candidate_that_was_pushed_before_is_passed_over(tmp_path: Path) -> None:
    saved_model(tmp_path / "serving" / "1", b"old")
    saved_model(tmp_path / "serving" / "2", b"new")
    saved_model(tmp_path / "candidate" / "Format-Serving", b"new")
    model = find(tmp_path / "serving", tmp_path / "out", tmp_path / "candidate")
    assert model.get_int_custom_property("version") == 1


def test_only_the_candidate_was_pushed(tmp_path: Path) -> None:
    saved_model(tmp_path / "serving" / "2", b"new")
    saved_model(tmp_path / "candidate" / "Format-Serving", b"new")
    find(tmp_path / "serving", tmp_path / "out", tmp_path / "candidate")
    assert list((tmp_path / "out").iterdir()) == []
