"""Finds equal and similar images with Beam, on this machine or wherever its runner works.

    Examples -> fingerprints -> groups of equal ones ------------------------> lines
                                one of each -> bands -> candidates -> pixels -> lines
                numbers -> neighbours in a burst ----------------------------> lines

No image is held against all others, and none is kept: a fingerprint takes 1.3 KB. A line is JSON:
    {"images": {"train": 864, "eval": 216, "test": 120}}
    {"exact": [picture, picture, ...]}      a picture: [digest, source_id, split, class_name]
    {"near": [picture, picture]}
    {"burst": [1200, 119]}                  photographs with a number; test images with a neighbour
"""

import contextlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from operator import attrgetter
from pathlib import Path
from typing import TypeAlias

import apache_beam as beam

from data.beam import pipeline_of
from data.leaks import bursts
from data.leaks.fingerprint import Fingerprint, fingerprint
from data.leaks.nearness import are_near, candidates, rows_by_band
from data.leaks.report import Found, read_lines
from data.pictures import Picture
from data.sample import Sample

LINES = "lines"  # what files begin with that `write` leaves
_BURST = "burst"
# A picture and what is compared of it, for a join.
_Small: TypeAlias = tuple[Picture, bytes]


def find(patterns: Iterable[str], beam_args: Sequence[str]) -> Found:
    """Looks for what images have in common.

    Args:
        patterns: As `Find` takes them.
        beam_args: Options of Beam, such as those of `data.engine.engine.Engine`.

    Raises:
        IngestError: Beam refuses its options.
    """
    with tempfile.TemporaryDirectory() as folder:
        with pipeline_of(beam_args) as pipeline:
            write(pipeline, patterns, folder)
        return read(folder)


def write(pipeline: beam.Pipeline, patterns: Iterable[str], folder: str) -> None:
    """Adds the steps to a pipeline, and what writes the lines into a folder."""
    _ = pipeline | Find(patterns) | "Write" >> beam.io.WriteToText(f"{folder}/{LINES}")


def read(folder: str) -> Found:
    """Reads what the steps of `write` have written."""
    files = sorted(Path(folder).glob(f"{LINES}*"))
    return read_lines(line for file in files for line in file.read_text("utf-8").splitlines())


class Find(beam.PTransform):
    """Reads the examples of all splits and gives the lines of what they have in common.

    Args:
        patterns: Of gzipped TFRecord files of what `data.sample.Sample.serialize` writes.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        super().__init__()
        self._patterns = tuple(patterns)

    def expand(self, root: beam.Pipeline) -> beam.PCollection[str]:
        """Adds the steps."""
        found = [
            root | f"Read {pattern}" >> beam.io.ReadFromTFRecord(pattern)
            for pattern in self._patterns
        ]
        fingerprints = (
            found
            | beam.Flatten(pipeline=root.pipeline)
            | "Fingerprint" >> beam.FlatMap(_fingerprint)
        )
        pictures = fingerprints | "Pictures" >> beam.Map(attrgetter("picture"))
        groups = fingerprints | "By pixels" >> beam.Map(_by_digest) | "Equal" >> beam.GroupByKey()
        exact = groups | "Copies" >> beam.FlatMap(_copies)
        near = _near(groups | "One of each" >> beam.Map(_one))
        burst = (
            pictures
            | "Number" >> beam.FlatMap(_numbered)
            | "Of one camera" >> beam.GroupByKey()
            | "Bursts" >> beam.Map(_burst)
        )
        images = (
            pictures
            | "Split" >> beam.Map(attrgetter("split"))
            | "Count" >> beam.combiners.Count.PerElement()
            | "Sizes" >> beam.MapTuple(lambda split, count: json.dumps({"images": {split: count}}))
        )
        return (exact, near, burst, images) | "Lines" >> beam.Flatten()


def _near(one_of_each: beam.PCollection[Fingerprint]) -> beam.PCollection[str]:
    small = one_of_each | "Small" >> beam.Map(_small)
    pairs = (
        one_of_each
        | "Bands" >> beam.FlatMap(_rows).with_output_types(tuple[int, bytes])
        | "Bucket" >> beam.GroupByKey()
        | "Candidates" >> beam.FlatMap(_candidates).with_output_types(tuple[str, str])
        | "Once" >> beam.Distinct()
    )
    half = (
        {"pair": pairs, "small": small}
        | "First of the pair" >> beam.CoGroupByKey()
        | "To the second" >> beam.FlatMap(_to_second)
    )
    return (
        {"first": half, "small": small}
        | "Second of the pair" >> beam.CoGroupByKey()
        | "Compare" >> beam.FlatMap(_compared)
    )


def _one(group: tuple[str, Iterable[Fingerprint]]) -> Fingerprint:
    """The fingerprint that stands for a group of equal images of any size."""
    return min(group[1], key=_source_id)


def _copies(group: tuple[str, Iterable[Fingerprint]]) -> Iterator[str]:
    pictures = [one.picture for one in sorted(group[1], key=_source_id)]
    if len(pictures) > 1:
        yield _line("exact", pictures)


def _source_id(one: Fingerprint) -> str:
    return one.picture.source_id


def _fingerprint(serialized: bytes) -> Iterator[Fingerprint]:
    # What an older release let in and does not decode, the Trainer names.
    with contextlib.suppress(OSError):
        yield fingerprint(Sample.parse(serialized))


def _by_digest(one: Fingerprint) -> tuple[str, Fingerprint]:
    return one.picture.digest, one


def _small(one: Fingerprint) -> tuple[str, _Small]:
    return one.picture.digest, (one.picture, one.small)


def _rows(one: Fingerprint) -> Iterator[tuple[int, bytes]]:
    return rows_by_band(one.picture.digest, one.hashes)


def _candidates(bucket: tuple[int, Iterable[bytes]]) -> Iterator[tuple[str, str]]:
    return candidates(bucket[1])


def _to_second(joined: tuple[str, Mapping[str, list]]) -> Iterator[tuple[str, _Small]]:
    _, found = joined
    return ((second, found["small"][0]) for second in found["pair"])


def _compared(joined: tuple[str, Mapping[str, list]]) -> Iterator[str]:
    _, found = joined
    for picture, small in found["first"]:
        other, other_small = found["small"][0]
        if are_near(small, other_small):
            yield _line("near", sorted([picture, other], key=attrgetter("source_id")))


def _numbered(picture: Picture) -> Iterator[tuple[str, tuple[str, int]]]:
    number = bursts.number_of(picture.source_id)
    if number is not None:
        yield _BURST, (picture.split, number)


def _burst(photographs: tuple[str, Iterable[tuple[str, int]]]) -> str:
    numbered = [*photographs[1]]
    return json.dumps({_BURST: [len(numbered), bursts.near_training(numbered)]})


def _line(kind: str, pictures: Iterable[Picture]) -> str:
    return json.dumps({kind: [astuple(picture) for picture in pictures]}, ensure_ascii=False)
