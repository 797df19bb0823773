"""Examples in; statistics of their pictures out, and what is odd or has changed.

statistics/Split-train/FeatureStats.pb   TFDV's, a file for each split
anomalies/pictures.json                  distributions, anomalies, odd pictures
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx import types
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils
from tfx.utils import io_utils

from data.beam import files_of
from data.findings import Finding
from data.statistics import collect
from data.statistics.collect import Rows
from data.statistics.compare import MIN_PICTURES, Statistics, anomalies, describe, statistics_of
from data.statistics.odd import odd
from data.statistics.report import Anomaly, Example, Pictures
from data.window.gather import of_newest_span
from signs.features import TRAIN

Policy: TypeAlias = Literal["report", "fail"]
OF_PICTURES = "of_pictures"  # property of the statistics: StatisticsGen's are of the same type
_ODD = {
    "dark": "dark",
    "bright": "nearly white",
    "blurred": "blurred",
    "low_information": "nearly of one shade",
    "odd": "unlike all the others",
}
_SHOWN = 3


class Drift(NamedTuple):
    """Train pictures beside those of earlier spans."""

    pictures: Rows
    statistics: Statistics
    against: str  # what the others are called
    others: Statistics


class PictureAnomalyError(RuntimeError):
    """The pictures are not what they were."""


class Executor(BaseBeamExecutor):
    """Measures the splits of an artifact."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Measures, compares, writes, and fails if asked to.

        Raises:
            PictureAnomalyError: the policy is "fail", and there is an anomaly.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = input_dict["examples"]
        [statistics], [output] = output_dict["statistics"], output_dict["anomalies"]
        names = artifact_utils.decode_split_names(examples[0].split_names)
        folder = Path(output.uri)
        folder.mkdir(parents=True, exist_ok=True)
        uris = {name: artifact_utils.get_split_uri(examples, name) for name in names}
        files = {name: files_of([f"{uri}/*"]) for name, uri in uris.items()}
        work = folder / "work"  # beside what is kept: engines' workers see it
        shutil.rmtree(work, ignore_errors=True)  # of an attempt that was killed
        work.mkdir()
        with self._make_beam_pipeline() as pipeline:
            collect.write(pipeline, chain(*files.values()), str(work))
        rows = Rows(str(work), tuple(chain(*files.values())))
        by_split = {name: replace(rows, files=tuple(some)) for name, some in files.items()}
        found = {name: statistics_of(some) for name, some in by_split.items() if some.images}
        for artifact in (statistics, output):
            artifact.split_names, artifact.span = examples[0].split_names, examples[0].span
        statistics.set_int_custom_property(OF_PICTURES, 1)
        for name, one in found.items():
            path = statistics_path(statistics.uri, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(one.SerializeToString(deterministic=True))
        schema = io_utils.SchemaReader().read(
            io_utils.get_only_uri_in_dir(artifact_utils.get_single_uri(input_dict["schema"]))
        )
        drift = None
        if TRAIN in found:
            drift = _within(by_split[TRAIN], of_newest_span(Path(uris[TRAIN])))
            if drift is None and (previous := input_dict.get("previous")):
                before = load(statistics_path(previous[0].uri))
                against = f"span {previous[0].span}"
                drift = Drift(by_split[TRAIN], found[TRAIN], against, before)
        pictures = report(rows, by_split, found, schema, drift)
        shutil.rmtree(work)
        pictures.write(folder)
        if exec_properties["policy"] == "fail" and pictures.anomalies:
            raise PictureAnomalyError(
                f"{'; '.join(one.text for one in pictures.anomalies[:_SHOWN])}. Mend the data and "
                "ingest them again, change data/schema/schema.pbtxt if they are right, or let "
                "`pictures` be report (--set pictures=report)"
            )


def statistics_path(uri: str, split: str = TRAIN) -> Path:
    """Where an artifact has the statistics of a split."""
    return Path(uri, f"Split-{split}", "FeatureStats.pb")  # as StatisticsGen has it


def load(path: Path) -> Statistics:
    """Statistics that are kept."""
    return statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())


def _within(train: Rows, newest: Iterable[Path]) -> Drift | None:
    """What the newest of several spans has brought, beside what was there; None of a single one."""
    names = {path.name for path in newest}
    has_come = {file: Path(file).name in names for file in train.files}
    new = replace(train, files=tuple(file for file in train.files if has_come[file]))
    old = replace(train, files=tuple(file for file in train.files if not has_come[file]))
    if not (new.images and old.images):
        return None
    return Drift(new, statistics_of(new), "the spans before", statistics_of(old))


def report(
    rows: Rows,
    by_split: Mapping[str, Rows],
    statistics: Mapping[str, Statistics],
    schema: schema_pb2.Schema,
    drift: Drift | None,
) -> Pictures:
    """What there is to tell of pictures.

    Args:
        rows: Of all of them.
        by_split: The same by split.
        statistics: Theirs.
        schema: With comparators and domains.
        drift: What has come, and what it is compared with.
    """
    changed: list[Anomaly] = []
    too_few: list[str] = []
    pairs = [
        (name, by_split[name], one, TRAIN, statistics[TRAIN])
        for name, one in statistics.items()
        if name != TRAIN and TRAIN in statistics
    ]
    for name, looked_at, own, against, others in [*pairs, *([(TRAIN, *drift)] if drift else [])]:
        images = min(one.datasets[0].num_examples for one in (own, others))
        if images < MIN_PICTURES:
            too_few.append(
                f"{name} is not compared with {against}: {images:,} pictures are too few, "
                f"{MIN_PICTURES} are needed"
            )
            continue
        changed += anomalies(
            looked_at,
            own,
            others,
            schema,
            kind="drift" if name == TRAIN else "skew",
            split=name,
            against=against,
        )
    counts, shown = odd(rows, schema)
    return Pictures(
        anomalies=tuple(changed),
        odd_counts=counts,
        not_compared=tuple(too_few),
        findings=tuple(_findings(changed, counts, shown, rows.images)),
        splits={name: describe(one) for name, one in statistics.items()},
        odd=shown,
    )


def _findings(
    changed: list[Anomaly],
    counts: Mapping[str, int],
    shown: Mapping[str, tuple[Example, ...]],
    images: int,
) -> Iterator[Finding]:
    for one in changed:
        yield Finding(f"picture_{one.kind}", 1, one.text)
    for kind, words in _ODD.items():
        if counts.get(kind):
            examples = tuple(
                f"{one.id}: {one.feature} {one.value:.2g}" for one in shown[kind][:_SHOWN]
            )
            are = "is" if counts[kind] == 1 else "are"
            text = f"{counts[kind]:,} of {images:,} pictures {are} {words}"
            yield Finding(f"picture_{kind}", counts[kind], text, examples)
