"""The splits of the recipe's benchmark: what is held out was not, in any guise, trained on."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import recipe
from benchmarks.recipe import (
    Others,
    Photographs,
    main,
    read_others,
    read_photographs,
    recipe_with,
    run_trial,
    split_photographs,
)
from benchmarks.recipe_table import table
from modules.training.recipe import Recipe

FOLDS = [f"fold-{number}" for number in range(1, 6)]


def made_up(copies: dict[int, int]) -> Photographs:
    """Sixty photographs of two classes, numbered in one row; `copies` are equal to others."""
    pixels = np.arange(60, dtype=np.uint8)[:, None, None, None] * np.ones((1, 16, 16, 3), np.uint8)
    for copy, original in copies.items():
        pixels[copy] = pixels[original]
    is_test = np.arange(60) % 10 == 9
    is_eval = np.arange(60) % 10 == 4
    return Photographs(
        pixels,
        np.arange(60) // 30,
        1000 + np.arange(60),
        {"train": ~is_test & ~is_eval, "eval": is_eval, "test": is_test},
    )


def test_choices_and_reports_have_the_splits_of_the_data():
    photographs = made_up({})
    train, held = split_photographs(photographs, "eval")
    assert (len(train), held.tolist()) == (48, [4, 14, 24, 34, 44, 54])
    train, held = split_photographs(photographs, "test")
    assert (len(train), held.tolist()) == (54, [9, 19, 29, 39, 49, 59])


def test_folds_hold_out_every_known_photograph_once():
    photographs = made_up({})
    held = np.concatenate([split_photographs(photographs, fold)[1] for fold in FOLDS])
    assert sorted(held) == [number for number in range(60) if number % 10 != 9]


def test_a_fold_is_a_stretch_of_each_class_with_a_gap_around():
    train, held = split_photographs(made_up({}), "fold-1")
    assert held.tolist() == [0, 1, 2, 3, 4, 5, 30, 31, 32, 33, 34, 35]
    # Ten numbers on either side are left out, of the other class too.
    assert train.tolist() == [16, 17, 18] + [number for number in range(46, 59) if number != 49]


def test_copies_of_what_is_held_out_are_left_out():
    train, held = split_photographs(made_up({50: 2}), "fold-1")
    assert 2 in held
    assert 50 not in train


def test_folds_of_the_real_photographs_do_not_leak(signs_data, tmp_path):
    photographs = read_photographs(str(signs_data / "64x64_SIGNS.zip"), tmp_path)
    twins, numbers = photographs.twins(), photographs.numbers
    train, test = split_photographs(photographs, "test")
    assert (len(train), len(test)) == (1080, 120)
    assert (~np.isin(twins[test], twins[train])).sum() == 108  # measured by others as well
    all_held = []
    for fold in FOLDS:
        train, held = split_photographs(photographs, fold)
        assert len(train) > 700
        assert not np.isin(twins[train], twins[held]).any()
        assert np.abs(numbers[train][:, None] - numbers[held][None]).min() > 10
        assert not photographs.is_in["test"][np.concatenate([train, held])].any()
        all_held += held.tolist()
    assert len(set(all_held)) == len(all_held) == 1080


def test_settings_have_the_names_of_the_command_line():
    assert recipe_with(["epochs=3", "augmentation.mirror=false"]).epochs == 3
    assert recipe_with([]) == Recipe()


@pytest.mark.parametrize("course", [False, True])
def test_a_study_goes_on_where_it_stopped(tmp_path, monkeypatch, course):
    calls = []
    monkeypatch.setattr(recipe, "read_photographs", lambda *_: calls.append(1) or made_up({}))
    small = ["blocks=[1]", "width=4", "epochs=2", "batch_size=8", "sizes=[[1.0,1.0]]"]
    arguments = ["--data", "any", "--out", str(tmp_path / "out"), "--watch", "--set", *small]
    if course:
        arguments.append("--course")
    main([*arguments, "--split", "eval"])
    main([*arguments, "--split", "eval", "test"])
    assert len(calls) == 2
    lines = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [line["split"] for line in lines] == ["eval", "test"]
    assert all(len(line["accuracy_by_epoch"]) == 2 for line in lines)
    assert [line["of"] for line in lines] == [6, 6]
    main([*arguments, "--split", "eval", "test"])
    assert len(calls) == 2
    assert len((tmp_path / "out").read_text().splitlines()) == 2


@pytest.mark.real_data
@pytest.mark.slow
def test_the_command_of_the_docs_runs(signs_data, tmp_path):
    small = ["blocks=[1]", "width=4", "epochs=1", "sizes=[[1.0,1.0]]", "drawn=0"]
    command = [
        "benchmarks/recipe.py",
        "--data",
        str(signs_data / "64x64_SIGNS.zip"),
        "--split",
        "fold-1",
    ]
    out = tmp_path / "out"
    subprocess.run(
        [sys.executable, *command, "--set", *small, "--out", str(out)],
        cwd=Path(recipe.__file__).parents[1],
        check=True,
        capture_output=True,
        timeout=300,
    )
    assert json.loads(out.read_text())["of"] == 216


def test_further_pictures_are_predicted_and_those_of_no_class_may_be_refused(tmp_path):
    for class_name, grey in (("0", 10), ("1", 50), ("thumb", 200)):
        folder = tmp_path / "images" / class_name
        folder.mkdir(parents=True)
        for number in range(3):
            image = Image.new("RGB", (16, 16), (grey + number,) * 3)
            image.save(folder / f"{number}.png")
    others = read_others(str(tmp_path / "images"), tmp_path / "workspace")
    assert others.pixels.shape == (9, 64, 64, 3)
    assert sorted(others.labels.tolist()) == [0] * 3 + [1] * 3 + [6] * 3
    others = Others(others.pixels[:, ::4, ::4], others.labels)
    small = ["blocks=[1]", "width=4", "epochs=1", "batch_size=8", "sizes=[[1.0,1.0]]"]
    found = run_trial(made_up({}), "eval", recipe_with(small), others=others)["also"]
    assert (found["of"], found["no_sign"]) == (6, 3)
    assert found["accuracy"] == found["right"] / 6
    assert 0 <= found["no_sign_refused"] <= 1
    assert 0 <= found["calibration_error"] <= 1
    assert set(found["calibration"]) >= {"temperature", "threshold"}


def test_the_table_pools_seeds_and_folds():
    result = {"right_without_twin": 8, "of_without_twin": 8, "images_seen": 1234}
    rows = table(
        [
            {**result, "name": "a", "split": "test", "right": 9, "of": 10, "accuracy": 0.9},
            {**result, "name": "a", "split": "test", "right": 7, "of": 10, "accuracy": 0.7},
            {**result, "name": "a", "split": "fold-1", "right": 10, "of": 10, "accuracy": 1.0},
        ]
    ).splitlines()
    assert rows[2:] == [
        "| a | test | 2 | 0.8000 (16 of 20) | 0.584-0.919 | 0.7000 | 1.0000 | 1,234 |",
        "| a | fold | 1 | 1.0000 (10 of 10) | 0.722-1.000 | 1.0000 | 1.0000 | 1,234 |",
    ]
