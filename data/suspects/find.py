"""Finds labels that look wrong, by how alike pictures are and confident learning (cleanlab).

    samples -> descriptors (in a file) -> portions -> probabilities -> cleanlab -> Suspects

Time and memory grow with the number of pictures, not with its square: at most 3,000 of them judge
one another, which a hash of their names has put together.
"""

import contextlib
import hashlib
import math
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.leaks.report import Group
from data.sample import read_samples
from data.suspects.descriptor import BY_SHAPE_AND_COLOUR, Descriptor
from data.suspects.judgement import probabilities, similarity
from data.suspects.report import Suspect, Suspects

_PORTION = 3000  # pictures
_MOST = 1000  # suspects that are told


@dataclass
class _Pictures:
    ids: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)


def find(
    folders: Iterable[Path],
    groups: Iterable[Group],
    descriptor: Descriptor = BY_SHAPE_AND_COLOUR,
) -> Suspects:
    """Looks at all labels.

    Args:
        folders: Of the splits, see `data.sample.read_samples`.
        groups: Of copies among their pictures, which do not judge one another.
        descriptor: How pictures are compared.
    """
    pictures = _Pictures()
    with tempfile.TemporaryFile() as file:
        for folder in folders:
            for sample in read_samples(folder):
                # What an older release let in and does not decode, the Trainer names.
                with contextlib.suppress(OSError):
                    file.write(descriptor.describe(sample.image).tobytes())
                    pictures.ids.append(sample.source_id)
                    pictures.splits.append(sample.split)
                    pictures.labels.append(sample.class_name)
        file.flush()
        if not pictures.ids:
            return Suspects(images=0, agreement=1.0, by=descriptor.name, found=0, suspects=())
        described = np.memmap(file, np.float32, "r").reshape(-1, descriptor.size)
        return _judged(pictures, descriptor, described, _group_of(pictures.ids, groups))


def _judged(
    pictures: _Pictures, descriptor: Descriptor, described: np.ndarray, copies: np.ndarray
) -> Suspects:
    count = len(pictures.ids)
    order = sorted(range(count), key=lambda index: _place(pictures.ids[index]))
    agree, found = 0, []
    for members in np.array_split(np.array(order), math.ceil(count / _PORTION)):
        alike = similarity(described[members], descriptor.parts)
        right, suspects = _portion(pictures, members, alike, copies[members])
        agree += right
        found += suspects
    found.sort(key=lambda one: (one.quality, one.id))
    return Suspects(count, agree / count, descriptor.name, len(found), tuple(found[:_MOST]))


def _portion(
    pictures: _Pictures, members: np.ndarray, alike: np.ndarray, copies: np.ndarray
) -> tuple[int, list[Suspect]]:
    """Returns how many labels are what the others say, and the labels that are not."""
    # Here, because it takes two seconds to import.
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    names, labels = np.unique([pictures.labels[index] for index in members], return_inverse=True)
    if len(names) < 2:
        return len(members), []
    said = probabilities(alike, labels, copies.tolist())
    margin = "normalized_margin"
    quality = get_label_quality_scores(labels, said, method=margin)
    differing, confident = (
        find_label_issues(labels, said, filter_by=rule, n_jobs=1)
        for rule in ("predicted_neq_given", "confident_learning")
    )
    suspects = []
    for row in np.flatnonzero(differing):
        suggested = int(said[row].argmax())
        others = np.flatnonzero(labels == suggested)
        suspects.append(
            Suspect(
                id=pictures.ids[members[row]],
                split=pictures.splits[members[row]],
                label=str(names[labels[row]]),
                suggested=str(names[suggested]),
                probability=float(said[row, suggested]),
                label_probability=float(said[row, labels[row]]),
                quality=float(quality[row]),
                confident=bool(confident[row]),
                neighbour=pictures.ids[members[others[alike[row, others].argmax()]]],
            )
        )
    return len(members) - len(suspects), suspects


def _group_of(ids: list[str], groups: Iterable[Group]) -> np.ndarray:
    """Returns a number for each picture, the same for copies: int64 [n]."""
    index_of = {source_id: index for index, source_id in enumerate(ids)}
    numbers = np.arange(len(ids))
    for group in groups:
        members = [index_of[one.source_id] for one in group.pictures if one.source_id in index_of]
        numbers[members] = min(members, default=0)
    return numbers


def _place(source_id: str) -> bytes:
    return hashlib.blake2b(source_id.encode(), digest_size=8).digest()
