"""Examples in; which of them are copies and neighbours out, and on request Examples without them.

leaks/leaks.json     numbers and notes
leaks/groups.jsonl   the images of each picture that is there more than once
"""

import shutil
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import TypeAdapter
from tfx import types
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils

from data import tfrecord
from data.findings import Finding
from data.leaks import find
from data.leaks.report import Group, Leaks, count, groups, twin_kinds
from data.sample import Sample
from signs.features import EVAL, TEST, TRAIN

Policy: TypeAlias = Literal["report", "drop", "fail"]
LEAKS, GROUPS = "leaks.json", "groups.jsonl"
_COPIES = ("test_in_train", "test_near_train", "eval_in_train", "eval_near_train")


class DataLeakError(RuntimeError):
    """What is held out is, in some guise, trained on."""


class Executor(BaseBeamExecutor):
    """Runs the search of `data.leaks` on the splits of an artifact."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Finds, writes, and drops or fails if asked to.

        Raises:
            DataLeakError: the policy is "fail", and there is something.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = input_dict["examples"]
        [output] = output_dict["leaks"]
        folder = Path(output.uri)
        folder.mkdir(parents=True, exist_ok=True)
        splits = artifact_utils.decode_split_names(examples[0].split_names)
        output.split_names = examples[0].split_names
        uris = {split: artifact_utils.get_split_uri(examples, split) for split in splits}
        work = folder / "work"  # beside what is kept: engines' workers see it
        shutil.rmtree(work, ignore_errors=True)  # of an attempt that was killed
        work.mkdir()
        with self._make_beam_pipeline() as pipeline:
            find.write(pipeline, [f"{uri}/*" for uri in uris.values()], str(work))
        found = find.read(str(work))
        shutil.rmtree(work)
        leaks, grouped = count(found), [*groups(found)]
        if exec_properties["policy"] == "drop":
            dropped = to_drop(grouped)
            [clean] = output_dict["clean_examples"]
            clean.split_names, clean.span = examples[0].split_names, examples[0].span
            for split, uri in uris.items():
                _copy(Path(uri), Path(clean.uri) / f"Split-{split}", dropped)
            leaks, grouped = without(leaks, grouped, dropped)
        (folder / LEAKS).write_bytes(TypeAdapter(Leaks).dump_json(leaks, indent=1))
        with (folder / GROUPS).open("w", encoding="utf-8") as file:
            file.writelines(group.to_line() for group in grouped)
        if exec_properties["policy"] == "fail":
            _check(leaks)


def load_leaks(uri: str) -> Leaks:
    """The numbers in an artifact."""
    return TypeAdapter(Leaks).validate_json((Path(uri) / LEAKS).read_bytes())


def to_drop(groups: Collection[Group]) -> set[str]:
    """The source ids of the train and eval images of which a copy is held out from them."""
    return {*twin_kinds(groups, TRAIN, (EVAL, TEST)), *twin_kinds(groups, EVAL, (TEST,))}


def without(
    leaks: Leaks, groups: Iterable[Group], dropped: Collection[str]
) -> tuple[Leaks, list[Group]]:
    """What is left to tell once images are dropped; the numbers stay those of the source."""
    left = []
    for group in groups:
        pictures = tuple(one for one in group.pictures if one.source_id not in dropped)
        if len(pictures) > 1:
            is_exact = len({one.digest for one in pictures}) == 1
            left.append(Group("exact" if is_exact else "near", pictures))
    findings = tuple(one for one in leaks.findings if one.kind not in _COPIES)
    if dropped:
        text = f"{len(dropped):,} train and eval images are left out: copies of them are held out"
        findings = (Finding("dropped", len(dropped), text), *findings)
    return replace(leaks, dropped=len(dropped), findings=findings), left


def _check(leaks: Leaks) -> None:
    fatal = (*_COPIES, "two_classes")
    words = [finding.text for finding in leaks.findings if finding.kind in fatal]
    if words:
        raise DataLeakError(
            f"{'; '.join(words)}. Mend the data and ingest them again, or let `leaks` be drop or "
            "report (--set leaks=drop)"
        )


def _copy(source: Path, target: Path, dropped: Collection[str]) -> None:
    target.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        with tfrecord.Writer(target / path.name) as file:
            for record in tfrecord.read(path):
                if Sample.parse(record).source_id not in dropped:
                    file.write(record)
