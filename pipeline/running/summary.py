"""What came of a run: found by its child process, kept in its folder, told to the user.

results.collect -> RunResult -> result.json -> run -> RunSummary -> summary.json -> history
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, TypeAdapter

from data.findings import Finding
from data.leaks.report import Leaks
from data.statistics.report import Notes
from data.suspects.report import Suspects
from modules.evaluation.verdict import SimpleAnswers, Verdict
from pipeline.showing.events import State, Text
from signs import durable

RESULT = "result.json"
SUMMARY = "summary.json"
Status = Literal["running", "finished", "failed", "interrupted", "damaged"]


@dataclass(frozen=True)
class ComponentSummary:
    """How one component ended; `seconds` is None where it never began."""

    state: State
    seconds: float | None = None


@dataclass(frozen=True)
class Unmet:
    """A limit that the model did not meet: a row of the verdict that does not pass, in short.

    `value` is what was held against the limit: of an accuracy, the lower end of its interval;
    where `kind` is change, its difference from the last blessed model's; None where there was
    nothing to measure.
    """

    metric: str
    threshold: float
    value: float | None
    kind: Literal["absolute", "change"] = "absolute"
    slice: str | None = None  # None: all test images
    test_set: str | None = None  # the further test set; None: the `test` split


@dataclass(frozen=True)
class Query:
    """The pushed model as it answered over gRPC when the run was over."""

    images: int
    accuracy: float | None  # on them, in [0, 1]
    address: str
    version: int | None = None


@dataclass(frozen=True)
class Served:
    """The answers of a model server beside those of the trained network, on test images."""

    precision: Literal["float32", "bfloat16"]  # of what was served last, and is pushed if blessed
    images: int
    largest_difference: float | None  # between probabilities
    largest_confidence_difference: float | None
    changed_classes: int | None  # images that got another class
    changed_known: int | None  # images that are known to one and not to the other
    reason: Text  # the verdict in words
    without_bfloat16: Text | None = None  # why it is not bfloat16, where that was asked for first


@dataclass(frozen=True)
class Tuned:
    """The best hyperparameters that the Tuner found: the model was trained with them."""

    hyperparameters: dict[str, float]  # by their names in the recipe
    accuracy: float  # of that trial, on the eval split, in [0, 1]
    trials: int  # that succeeded


@dataclass(frozen=True)
class Weakest:
    """The class of which the smallest share of the test images is recognised, if not all are."""

    class_name: str
    accuracy: float  # within it, in [0, 1]
    images: int  # of it in the test split
    taken_for: str  # the class that it is most often taken for
    taken_for_images: int  # so many of them


@dataclass(frozen=True)
class WithoutTwins:
    """What the test images have shown of which no copy, exact or near, is trained on."""

    images: int
    accuracy: float  # on them, in [0, 1]
    accuracy_interval: tuple[float, float]  # 95 %, Wilson's


@dataclass(frozen=True)
class AlsoTested:
    """What a further test set has shown."""

    name: str
    images: int
    accuracy: float  # on them, in [0, 1]
    accuracy_interval: tuple[float, float]  # 95 %, Wilson's
    weakest: Weakest | None
    min_accuracy: float | None  # that must be proven; None: the set decides nothing
    metrics: dict[str, float | None] = field(default_factory=dict)  # as of the test split


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What a run that finished has found. What did not happen is None or empty."""

    accuracy: float | None = None  # on the test split, in [0, 1]
    accuracy_interval: tuple[float, float] | None = None  # 95 %, Wilson's
    weakest: Weakest | None = None
    simple_answers: SimpleAnswers | None = None
    leaks: Leaks | None = None  # what makes the accuracy look better than it is
    pictures: Notes | None = None  # what has changed in them, and which are odd
    suspects: Suspects | None = None  # labels that look wrong; None where nobody looked
    without_twins: WithoutTwins | None = None
    metrics: dict[str, float | None] = field(default_factory=dict)  # by class: `accuracy/{class}`
    also_tested: tuple[AlsoTested, ...] = ()  # on further test sets
    blessed: bool | None = None  # by the Evaluator; None where it did not get to say
    not_blessed_reasons: tuple[Unmet, ...] = ()
    verdict: Verdict | None = None  # all that was asked of the model, row by row
    infra_blessed: bool | None = None  # by the serving check
    served: Served | None = None  # what that check found; None where it did not get to ask
    pushed_version: int | None = None
    pushed_to: Text | None = None  # the base path that a model server polls
    reused_model: bool = False  # nothing was trained: an earlier run's model stands
    tuned: Tuned | None = None
    base_model: Text | None = None  # whose weights the training started from
    warm_start: Text | None = None  # which of them, in words
    # How sure the model's answers are, by name: see modules.calibration.
    calibration: dict[str, float] = field(default_factory=dict)
    # Blessed models that this one was not compared with, newest first, each with the reason.
    passed_over: tuple[str, ...] = ()
    report: Text | None = None  # the folder of what the run's page shows
    fit_s: float | None = None  # fitting the model, in this run or in the one that is reused
    peak_rss_mib: float | None = None
    query: Query | None = None

    def save(self, run_directory: Path) -> None:
        """Writes result.json, in the child process."""
        path = run_directory / RESULT
        path.write_bytes(TypeAdapter(RunResult).dump_json(self, indent=1))

    @classmethod
    def load(cls, run_directory: Path) -> "RunResult":
        """The result that `save` wrote."""
        return TypeAdapter(RunResult).validate_json((run_directory / RESULT).read_bytes())


@dataclass(frozen=True, kw_only=True)
class _Run:
    run_id: str
    pipeline: str
    status: Status
    started: AwareDatetime
    duration_s: float | None = None
    dataset: str | None = None
    span: int | None = None
    version: int | None = None
    spans: tuple[int, ...] = ()  # whose pictures were read, oldest first
    counts: dict[str, int] = field(default_factory=dict)  # images by split
    findings: tuple[Finding, ...] = ()  # what the data hide from the scores
    components: dict[str, ComponentSummary] = field(default_factory=dict)
    # By component: the largest memory of all the run's processes meanwhile.
    component_peak_mib: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunSummary(RunResult, _Run):  # in JSON, what run it is comes first
    """One run and its result. What is not known, or did not happen, is None or empty."""

    training_s: float | None = None  # the Trainer, of which `fit_s` is a part
    log: Text | None = None
    error: Text | None = None
    query_commands: tuple[str, ...] = ()  # to serve the pushed model and to ask it

    def to_json(self) -> str:
        """The summary as summary.json holds it and `--json` prints it."""
        return _json().dump_json(self, indent=2, fallback=lambda value: value.item()).decode()

    def save(self, run_directory: Path) -> None:
        """Writes summary.json into the run's folder, whole or not at all."""
        durable.write_text(run_directory / SUMMARY, self.to_json() + "\n")

    @classmethod
    def load(cls, run_directory: Path) -> "RunSummary":
        """The summary that `save` wrote.

        Raises:
            FileNotFoundError: there is none yet.
            OSError: it cannot be read.
            pydantic.ValidationError: it is damaged.
        """
        return _json().validate_json((run_directory / SUMMARY).read_bytes())


@cache
def _json() -> TypeAdapter[RunSummary]:
    return TypeAdapter(RunSummary)
