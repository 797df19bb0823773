"""Examples in; statistics of their pictures out, and what is odd or has changed.

statistics/Split-train/FeatureStats.pb   TFDV's, a file for each split
anomalies/pictures.json                  distributions, anomalies, odd pictures
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx import types
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils
from tfx.utils import io_utils

from data.findings import Finding
from data.statistics import collect
from data.statistics.compare import MIN_PICTURES, Statistics, anomalies, describe, statistics_of
from data.statistics.odd import odd
from data.statistics.report import Anomaly, Example, Pictures
from signs.features import SPLIT, TRAIN

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
        patterns = [f"{artifact_utils.get_split_uri(examples, name)}/*" for name in names]
        with self._make_beam_pipeline() as pipeline:
            collect.write(pipeline, patterns, output.uri)
        table = collect.read(folder)
        for file in folder.glob(f"{collect.FILES}*"):
            file.unlink()
        by_split = {name: table.filter(pc.field(SPLIT) == name) for name in names}
        found = {name: statistics_of(rows) for name, rows in by_split.items() if rows.num_rows}
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
        previous = input_dict.get("previous")
        before = (
            (f"span {previous[0].span}", load(statistics_path(previous[0].uri)))
            if previous
            else None
        )
        pictures = report(table, by_split, found, schema, before)
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


def report(
    table: pa.Table,
    by_split: Mapping[str, pa.Table],
    statistics: Mapping[str, Statistics],
    schema: schema_pb2.Schema,
    before: tuple[str, Statistics] | None,
) -> Pictures:
    """What there is to tell of pictures.

    Args:
        table: Of all of them.
        by_split: The same by split.
        statistics: Theirs.
        schema: With comparators and domains.
        before: What to compare train with, and what it is called.
    """
    changed: list[Anomaly] = []
    too_few: list[str] = []
    pairs = [(name, TRAIN, statistics.get(TRAIN)) for name in statistics if name != TRAIN]
    for name, against, others in [*pairs, *([(TRAIN, *before)] if before else [])]:
        if others is None or name not in statistics:
            continue
        images = min(one.datasets[0].num_examples for one in (statistics[name], others))
        if images < MIN_PICTURES:
            too_few.append(
                f"{name} is not compared with {against}: {images:,} pictures are too few, "
                f"{MIN_PICTURES} are needed"
            )
            continue
        changed += anomalies(
            by_split[name],
            statistics[name],
            others,
            schema,
            kind="drift" if name == TRAIN else "skew",
            split=name,
            against=against,
        )
    counts, shown = odd(table, schema)
    return Pictures(
        anomalies=tuple(changed),
        odd_counts=counts,
        not_compared=tuple(too_few),
        findings=tuple(_findings(changed, counts, shown, table.num_rows)),
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
