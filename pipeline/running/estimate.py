"""How long a run will take: as long as earlier runs of the workspace, else as its plan lets expect.

runs/<pipeline>/<run id>/ (events, configuration, result) and the configuration -> Forecast
"""

import contextlib
import itertools
import os
from pathlib import Path

from pydantic import ValidationError

from drawing import shows_signs
from pipeline.config import PipelineConfig
from pipeline.running.child import IMPORTING, QUERYING, Job
from pipeline.running.summary import RunSummary
from pipeline.showing.events import EVENTS, EventReader
from pipeline.showing.forecast import Forecast
from pipeline.showing.run_state import RunState
from pipeline.showing.wording import about
from signs import features

# Measured on two slow cores, with ResNet50 and a few hundred test images.
_STEPS = {
    IMPORTING: 9.0,
    "CuratedSchema": 0.3,
    "SpanGen": 0.5,
    "LeakageGuard": 4.0,
    "SuspectLabels": 5.0,
    "StatisticsGen": 7.0,
    "EarlierSpan": 0.1,
    "PictureStatistics": 2.0,
    "ExampleValidator": 0.2,
    "Transform": 3.0,
    "Tuner": 0.0,
    "Trainer": 0.0,
    "AlsoTest": 3.0,
    "Baseline": 0.1,
    "Evaluator": 10.0,
    "ServingCheck": 9.0,
    "RunReport": 6.0,
    "Pusher": 0.3,
    QUERYING: 8.0,
}
_REUSED = (IMPORTING, "Pusher", QUERYING)  # what a run does that finds all its results again
_LEAKS_IMAGE_S = 0.0015  # to compare an image with all others: docs/scaling.md
_EXPORT_S = 12.0
_FURTHER_IMAGE_S = 0.01  # to evaluate ResNet50 on an image of a further test set
# To train ResNet50 on an image of 64 x 64 pixels, on two cores with bfloat16. Without: 1.5 times.
_IMAGE_S = 0.009
_TRACE_S = 20.0  # ResNet50's graph, once for each size of image
_LOOKED_AT = 5  # so many earlier runs


def forecast(config: PipelineConfig, runs: Path) -> Forecast:
    """What to expect of a run.

    Args:
        config: what it computes.
        runs: folder of the earlier runs of the same pipeline, which may be missing.
    """
    seconds = {**_STEPS, "Trainer": _training_s(config) + _EXPORT_S}
    seconds["LeakageGuard"] += _LEAKS_IMAGE_S * sum(config.data.counts.values())
    further = sum(one.images for one in config.also_test)
    seconds["Evaluator"] += _FURTHER_IMAGE_S * further
    if config.tune.trials:
        share = config.tune.epochs / config.train.epochs
        seconds["Tuner"] = config.tune.trials * share * _training_s(config)
    after_training = _EXPORT_S
    for folder in sorted(runs.glob("[0-9]*"))[-_LOOKED_AT:]:
        with contextlib.suppress(OSError, ValidationError, ZeroDivisionError):
            earlier, result = Job.load(folder).config, RunSummary.load(folder)
            state = RunState()
            state.apply(EventReader(folder / EVENTS).read())
            measured = {
                step.name: step.seconds
                for step in state.steps.values()
                if step.state == "done" and step.seconds is not None
            }
            trainer = measured.pop("Trainer", None)
            measured.pop("Tuner", None)  # of other trials
            seconds |= measured
            if trainer is not None and result.fit_s is not None:
                after_training = max(0.0, trainer - result.fit_s)
                scale = _training_s(config) / _training_s(earlier)
                seconds["Trainer"] = result.fit_s * scale + after_training
    if not config.also_test:
        del seconds["AlsoTest"]
    if not config.suspects:
        del seconds["SuspectLabels"]
    return Forecast(seconds, after_training)


def in_words(config: PipelineConfig, expected: Forecast, runs: Path) -> str:
    """What a run will do, and how long that will take, in a sentence."""
    counts, train = config.data.counts, config.train
    is_resnet50 = (train.blocks, train.width) == ((3, 4, 6, 3), 64)
    search = f"search the recipe in {config.tune.trials} trials, " if config.tune.trials else ""
    further = sum(one.images for one in config.also_test)
    others = f" and {_in_count(further, 'other')}" if further else ""
    time = f"{about(expected.total)} on {_in_count(_cores(), 'core')}"
    if finished_before(config, runs):
        again = sum(expected.seconds[name] for name in _REUSED)
        time += f", or {about(again)} if no code has changed since the last run"
    return (
        f"Now: check the images, {search}train {'ResNet50' if is_resnet50 else 'a network'} "
        f"({_in_count(train.epochs, 'epoch')} of {_in_count(_trained_on(config), 'image')}), judge "
        f"it on {_in_count(counts[features.TEST], 'test image')}{others}, try it as a server, "
        f"push it, ask it: {time}."
    )


def _training_s(config: PipelineConfig) -> float:
    """The time of the training itself, on this machine's cores."""
    train = config.train
    network = train.width / 64 * sum(train.blocks) / 16 + 0.05
    sizes = train.size_of_epochs(config.image_size)
    images = sum(0.3 + 0.7 * (size / 64) ** 2 for size in sizes) * _trained_on(config)
    if shows_signs(config.data.class_names):
        images *= 1 + train.drawn
    traces = len(list(itertools.groupby(sizes)))
    return (images * _IMAGE_S + traces * _TRACE_S) * network * 2 / _cores()


def _trained_on(config: PipelineConfig) -> int:
    return sum(config.data.counts[split] for split in config.train.splits)


def finished_before(config: PipelineConfig, runs: Path) -> Path | None:
    """The folder of the last run, if it computed the same, and finished."""
    # Two that began in the same second are told apart by when they were written.
    found = sorted(runs.glob("[0-9]*"), key=lambda run: (run.name[:-5], run.stat().st_mtime_ns))
    for folder in found[-1:]:
        with contextlib.suppress(OSError, ValidationError):
            if Job.load(folder).config == config and RunSummary.load(folder).status == "finished":
                return folder
    return None


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _in_count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
