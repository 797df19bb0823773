"""Facts as RunReport finds them, of any number of classes; pictures are drawn."""

import random
from dataclasses import replace

import numpy as np
from PIL import Image

from components.run_page.facts import (
    Answer,
    Evaluated,
    Facts,
    Feature,
    Group,
    Mosaic,
    Run,
    Shown,
    Slice,
    Source,
    Step,
)
from components.run_page.pictures import data_uri
from data.findings import Finding
from data.statistics.shares import Shares
from modules.evaluation import NO_TWIN, TWIN
from modules.evaluation.verdict import Row
from pipeline.config import Data, default_config

SPLITS = ("train", "eval", "test")


def picture(seed: int, width: int = 40, height: int = 40) -> str:
    noise = np.random.default_rng(seed).integers(90, 170, [height, width, 3])
    return data_uri(Image.fromarray(noise.astype(np.uint8)))


def make_facts(classes: int = 3, of_each: int = 20, wrong: int = 2, seed: int = 0) -> Facts:
    """A run with a few wrong answers; where one is wrong, the baseline is right, and otherwise."""
    names = tuple(f"class {number:02}" for number in range(classes))
    draw = random.Random(seed)
    images = classes * of_each
    mistakes = set(draw.sample(range(images), wrong))
    answers = []
    for number in range(images):
        right = names[number % classes]
        other = names[(number + 1) % classes]
        is_wrong = number in mistakes
        answers.append(
            Answer(
                source_id=f"photos/test/{number:04}.jpg",
                class_name=right,
                answer=other if is_wrong else right,
                confidence=round(draw.uniform(0.5, 1), 3),
                known=number % 9 > 0,
                baseline=right if number % 7 else other,
                picture=picture(number) if is_wrong or number < 12 else "",
                heat=picture(number + 1) if is_wrong or number < 10 else "",
            )
        )
    answers.sort(key=lambda one: one.is_right)
    confusion = np.zeros([classes, classes], int)
    for one in answers:
        confusion[names.index(one.class_name), names.index(one.answer)] += 1
    share = (images - wrong) / images
    test = Evaluated(
        "test",
        images,
        share,
        share - 0.05,
        min(1.0, share + 0.02),
        slices=(
            *(Slice("class_name", name, of_each, 0.9, 0.7, 0.97) for name in names),
            Slice(TWIN, NO_TWIN, images - 5, share - 0.01, share - 0.06, share),
        ),
        confusion=tuple(tuple(map(int, row)) for row in confusion),
    )
    shown = [Shown(f"photos/{n}.jpg", "train", names[0], picture(n)) for n in range(3)]
    config = default_config(
        Data("photos", 2, names, {"train": images * 3, "eval": images, "test": images})
    )
    return Facts(
        name="photos",
        class_names=names,
        made="2026-11-27T10:15:00+00:00",
        blessed=True,
        verdict=(
            Row("accuracy", "test", share, share - 0.05, 1.0, 0.8, True, images, ""),
            Row("accuracy", "class 01", 0.4, 0.2, 0.6, 0.5, False, of_each, "too often class 02"),
            Row("calibration error", "test", None, None, None, 0.1, False, 0, "nothing to measure"),
        ),
        source=Source("folder photos", 2, 1, "ab" * 32, "cd" * 32, "2026-11-27T10:00:00+00:00"),
        counts={split: dict.fromkeys(names, of_each) for split in SPLITS},
        test=test,
        further=(replace(test, name="other hands"),),
        served={"reason": "served as trained"},
        mosaics=tuple(
            Mosaic(split, name, of_each, 5, picture(n, 200, 40), 200, 40)
            for n, name in enumerate(names)
            for split in SPLITS
        ),
        features={"train": (Feature("label", "int", images, 0, None, "0 to 2"),)},
        findings=(Finding("test_in_train", 12, "12 of 60 test images are train images, too"),),
        copies=(Group("Equal pixels, in train and test", tuple(shown)),),
        copies_in_all=3,
        suspects=(Group("Labelled 1, perhaps 2, 93 %", tuple(shown[:2])),),
        odd=(Group("Dark (1)", tuple(shown[:1])),),
        pictures={
            "brightness": Shares(
                ("0.1", "0.3", "0.5", "0.7"), dict.fromkeys(SPLITS, (0.2, 0.7, 0.1)), is_number=True
            ),
            "format": Shares(("JPEG", "PNG"), dict.fromkeys(SPLITS, (0.9, 0.1)), is_number=False),
        },
        by_epoch={
            "accuracy": [0.2, 0.5, 0.8],
            "loss": [2.0, 1.1, 0.4],
            "val_accuracy": [0.2, 0.4, 0.7],
            "val_loss": [2.0, 1.3, 0.8],
        },
        calibration={"known_refused": 0.04, "unknown_answered": 0.1, "calibration_error": 0.02},
        answers=tuple(answers),
        baseline="compared",
        trained_on=images * 4,
        fit_s=12.5,
        config=config.to_dict(),
        code="ef" * 32,
        versions={"Python": "3.11.7", "tensorflow": "2.21.0"},
        machine={"processor": "a processor", "cores": "2"},
        seconds=3.2,
    )


RUN = Run(
    run_id="20261127-101500-ab12",
    status="finished",
    started="2026-11-27 10:15:00 UTC",
    duration="8 min 14 s",
    pushed="v3 in serving/photos/3",
    command="signs run --data photos/ --set train.epochs=3",
    settings={"train.epochs": "3"},
    steps=(
        Step("Trainer", "done", 90.5, 2900.5, ("#3 examples",), ("#7 model", "#8 model_run")),
        Step("Pusher", "done", 0.1),
    ),
    peak_mib=2900.5,
    queried="served, 60 images: 96.7 % right",
)
