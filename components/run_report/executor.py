"""What the other components have found in; facts.json and model_card.html, the same on a page, out.

What may not be there (a baseline, suspects, statistics of pictures, a table of the verdict) is not
shown then.
"""

import itertools
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.evaluator import constants
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.evaluator.executor import further_evaluation
from components.leakage_guard.executor import GROUPS, load_leaks
from components.run_page import pictures, render
from components.run_page.facts import CARD, Answer, Facts, Group, Mosaic, Shown
from components.run_report import answers, beside, evaluated, machine, statistics
from components.serving_check.executor import RESULT_FILE
from data.leaks.report import Group as Copies
from data.leaks.report import Leaks, read_groups
from data.sample import Sample, read_samples
from data.statistics.report import read as read_pictures
from modules.evaluation.verdict import read as read_verdict
from modules.trainer import HISTORY
from signs import durable, features

_MOST_ASKED = 1000  # test images: of ResNet50 ten seconds
_MOST_GROUPS = 24  # of copies, shown side by side
_MOST_HEATED = 8
_MOST_SHOWN = 120  # answers with a picture


class Executor(BaseExecutor):
    """Gathers facts; what makes them are the other components."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the facts and the page."""
        self._log_startup(input_dict, output_dict, exec_properties)
        folder = Path(artifact_utils.get_single_uri(output_dict["report"]))
        folder.mkdir(parents=True, exist_ok=True)
        facts = gather(input_dict, json.loads(exec_properties["about"]))
        facts.save(folder)
        durable.write_text(folder / CARD, render.report(facts))


def gather(inputs: Mapping[str, list[types.Artifact]], about: Mapping[str, Any]) -> Facts:
    """Reads the artifacts.

    Args:
        inputs: the component's, by key.
        about: see `RunReport`.
    """
    begun = time.process_time()

    def place(key: str) -> Path:
        return Path(artifact_utils.get_single_uri(inputs[key]))

    def may_be(key: str) -> Path | None:
        return Path(inputs[key][0].uri) if inputs.get(key) else None

    config = about["config"]
    class_names = tuple(config["data"]["class_names"])
    compared = bool(inputs.get("baseline_model"))
    test = evaluated.read(str(place("evaluation")), features.TEST, class_names, compared=compared)
    further = [
        evaluated.read(
            further_evaluation(str(place("evaluation")), one["name"]),
            one["name"],
            class_names,
            compared=False,
        )
        for one in config["also_test"]
    ]
    blessing = inputs["model_blessing"][0]
    blessed = blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY) == 1
    verdict = read_verdict(place("model_blessing"))
    leaks, groups = _leaks(place("leaks"))
    suspects = beside.suspects(may_be("suspects"))
    found = read_pictures(place("picture_statistics"))
    odd = beside.odd(found)
    copies = [
        (_words(group), [one.source_id for one in group.pictures])
        for group in groups[:_MOST_GROUPS]
    ]
    wanted = {name for _, names in (*copies, *suspects, *odd) for name in names}

    splits = artifact_utils.decode_split_names(inputs["examples"][0].split_names)
    uris = {
        split: Path(artifact_utils.get_split_uri(inputs["examples"], split)) for split in splits
    }
    each = pictures.of_each_class(len(class_names), len(splits))
    sampled = {
        split: pictures.sample(read_samples(folder), wanted, each) for split, folder in uris.items()
    }
    by_id = {
        name: pictures.shown(one)
        for found in sampled.values()
        for name, one in found.wanted.items()
    }
    asked = list(itertools.islice(read_samples(uris[features.TEST]), _MOST_ASKED))
    history = json.loads((place("model_run") / HISTORY).read_text())
    return Facts(
        name=about["name"],
        class_names=class_names,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        blessed=blessed,
        verdict=verdict.rows if verdict else (),
        source=statistics.source(Path(about["data_root"]), inputs["examples"][0], config["data"]),
        counts={split: dict(sampled[split].counts) for split in splits},
        test=test,
        further=tuple(further),
        served=json.loads((place("infra_blessing") / RESULT_FILE).read_text()),
        mosaics=tuple(_mosaics(sampled, class_names)),
        features=statistics.features(place("statistics"), splits),
        anomalies=(
            *statistics.anomalies(place("anomalies"), splits),
            *(one.text for one in found.anomalies),
        ),
        findings=(*leaks.findings, *found.findings),
        copies=_groups(copies, by_id),
        copies_in_all=len(groups),
        suspects=_groups(suspects, by_id),
        odd=_groups(odd, by_id),
        pictures=beside.like(found),
        by_epoch=history["by_epoch"],
        calibration=history.get("calibration", {}),
        answers=tuple(
            _answers(
                asked,
                model=Path(path_utils.serving_model_path(str(place("model")))),
                baseline=may_be("baseline_model"),
            )
        ),
        baseline="compared" if compared else "none",
        trained_on=history.get("images", 0),
        fit_s=history.get("fit_s"),
        config=config,
        code=about["code"],
        versions=machine.versions(),
        machine=machine.description(),
        seconds=time.process_time() - begun,
    )


def _leaks(folder: Path) -> tuple[Leaks, list[Copies]]:
    """The numbers, and the groups: first those that span splits, which harm most."""
    groups = list(read_groups(folder / GROUPS))
    groups.sort(key=lambda group: len({one.split for one in group.pictures}) == 1)
    return load_leaks(str(folder)), groups


def _words(group: Copies) -> str:
    where = [split for split in features.SPLITS if split in {one.split for one in group.pictures}]
    kind = "Equal pixels" if group.kind == "exact" else "Nearly equal"
    classes = {one.class_name for one in group.pictures}
    conflict = f", under {len(classes)} classes" if len(classes) > 1 else ""
    return f"{kind}, in {' and '.join(where)}{conflict}"


def _groups(
    named: Iterable[tuple[str, Sequence[str]]], by_id: Mapping[str, Shown]
) -> tuple[Group, ...]:
    found = []
    for words, names in named:
        there = tuple(by_id[name] for name in names if name in by_id)
        if there:
            found.append(Group(words, there[:8]))
    return tuple(found)


def _mosaics(
    sampled: Mapping[str, pictures.Sampled], class_names: Sequence[str]
) -> Iterable[Mosaic]:
    for name in class_names:
        for split, found in sampled.items():
            if name in found.by_class:
                kept = found.by_class[name]
                yield pictures.mosaic(split, name, found.counts[name], kept)


def _answers(asked: Sequence[Sample], model: Path, baseline: Path | None) -> Iterable[Answer]:
    """What the models say of each image: wrong answers first, the surest before the others."""
    images = [one.image for one in asked]
    candidate = answers.Model(model)
    said = candidate.ask(images)
    other = None
    if baseline is not None:
        other = answers.Model(Path(path_utils.serving_model_path(str(baseline)))).ask(images)
    found = [
        Answer(
            source_id=one.source_id,
            class_name=one.class_name,
            answer=said.class_names[place],
            confidence=round(float(said.confidence[place]), 4),
            known=None if said.known is None else bool(said.known[place]),
            baseline=None if other is None else other.class_names[place],
        )
        for place, one in enumerate(asked)
    ]

    def order(place: int) -> tuple[bool, float]:
        # Of right answers, the least sure come first.
        one = found[place]
        return one.is_right, one.confidence if one.is_right else -one.confidence

    for rank, place in enumerate(sorted(range(len(found)), key=order)):
        one, image = found[place], images[place]
        is_heated = rank < _MOST_HEATED
        differs = one.baseline is not None and one.baseline != one.answer
        is_shown = is_heated or ((differs or not one.is_right) and rank < _MOST_SHOWN)
        yield replace(
            one,
            picture=pictures.thumbnail(image) if is_shown else "",
            heat=pictures.heated(image, candidate.heat(image)) if is_heated else "",
        )
