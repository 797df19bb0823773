"""Finds equal and similar images with Beam, on this machine or wherever its runner works.

    files -> digests, hashes -> equal digests ---------------------> those images -> lines
                                one of each -> parts -> candidates -> those images -> lines
             numbers -> neighbours in a burst -------------------------------------> lines

No image is held against all others, and none is kept: a runner holds a string of 64 and one of 340
bytes an image. Only images that may be copies are read a second time. A line is JSON:
    {"images": {"train": 864, "eval": 216, "test": 120}}
    {"exact": [picture, picture, ...]}      a picture: [digest, source_id, split, class_name]
    {"near": [picture, picture]}
    {"burst": [1200, 119]}                  photographs with a number; test images with a neighbour
"""

import contextlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any, TypeAlias

import apache_beam as beam
import numpy as np

from data.beam import files_of, pipeline_of, records_of
from data.leaks import bursts
from data.leaks.fingerprint import fingerprint
from data.leaks.nearness import are_near, candidates, rows_by_part
from data.leaks.report import Found, read_lines
from data.pictures import Picture
from data.sample import Sample

LINES = "lines"  # what files begin with that `write` leaves
_BURST = "burst"
_SIZES, _NUMBERS, _COPIES = "sizes", "numbers", "copies"
_PART_BITS = 4  # the first of a digest: few groups to keep, each of few long strings
_ROW = np.dtype([("digest", ">u8", 2), ("number", ">u8"), ("hashes", ">u8", 5)])
_PLACE_BITS = 32  # of an image's number: its place in its file; the others are the file's number
# Two numbers of images that are to be compared; twice the first of a group of equal ones.
_Key: TypeAlias = tuple[int, int]
# An image, and what is compared of it.
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

    Raises:
        OSError: There is no file of a pattern.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        super().__init__()
        self._files = [*enumerate(files_of([*patterns]))]

    def expand(self, root: beam.Pipeline) -> beam.PCollection[str]:
        """Adds the steps."""
        files = root | "Files" >> beam.Create(self._files).with_output_types(tuple[int, str])
        looked = (
            files
            | "Spread" >> beam.Reshuffle()
            | "Look" >> beam.FlatMapTuple(_look).with_outputs(_SIZES, _NUMBERS, main="digests")
        )
        equal = (
            looked.digests
            | "By digest" >> beam.GroupByKey()
            | "Equal" >> beam.FlatMapTuple(_equal).with_outputs(_COPIES, main="parts")
        )
        alike = equal.parts | "By part" >> beam.GroupByKey()
        return (
            _compared(files, equal[_COPIES], alike),
            looked[_NUMBERS] | "Of one camera" >> beam.GroupByKey() | "Bursts" >> beam.Map(_burst),
            looked[_SIZES]
            | "Count" >> beam.CombinePerKey(sum)
            | "Sizes" >> beam.MapTuple(lambda split, count: json.dumps({"images": {split: count}})),
        ) | "Lines" >> beam.Flatten()


def _compared(
    files: beam.PCollection[tuple[int, str]],
    copies: beam.PCollection[tuple[int, _Key]],
    alike: beam.PCollection[tuple[int, Iterable[bytes]]],
) -> beam.PCollection[str]:
    """Reads again what may be the same."""
    pairs = (
        alike
        | "Candidates" >> beam.FlatMapTuple(_candidates).with_output_types(_Key)
        | "Once" >> beam.Distinct()
        | "Both" >> beam.FlatMap(lambda pair: [(number, pair) for number in pair])
    )
    wanted = (copies, pairs) | beam.Flatten() | "Where" >> beam.MapTuple(_where)
    return (
        {"path": files, "wanted": wanted}
        | "In its file" >> beam.CoGroupByKey()
        | "Read again" >> beam.FlatMapTuple(_read).with_output_types(tuple[_Key, Any])
        | "Together" >> beam.GroupByKey()
        | "Compare" >> beam.FlatMapTuple(_same)
    )


def _look(file: int, path: str) -> Iterator[Any]:
    """The rows of a file's images by the first bits of their digests, its sizes and numbers."""
    found = bytearray()
    sizes: Counter[str] = Counter()
    numbers: dict[str, list[int]] = {}
    for place, record in enumerate(records_of(path)):
        sample = Sample.parse(record)
        # What an older release let in and does not decode, the Trainer names.
        with contextlib.suppress(OSError):
            one = fingerprint(sample)
            found += bytes.fromhex(one.picture.digest)
            found += (file << _PLACE_BITS | place).to_bytes(8, "big") + one.hashes
            sizes[sample.split] += 1
            photograph = bursts.number_of(sample.source_id)
            if photograph is not None:
                numbers.setdefault(sample.split, []).append(photograph)
    table = np.frombuffer(bytes(found), _ROW)
    part_of = table["digest"][:, 0] >> np.uint64(64 - _PART_BITS)
    for part in np.unique(part_of).tolist():
        yield part, table[part_of == part].tobytes()
    yield from (beam.pvalue.TaggedOutput(_SIZES, size) for size in sizes.items())
    for split, of_split in numbers.items():
        yield beam.pvalue.TaggedOutput(_NUMBERS, (_BURST, (split, of_split)))


def _equal(part: int, strings: Iterable[bytes]) -> Iterator[Any]:
    """Those of equal digests; of each digest, one image is compared with the others."""
    table = np.frombuffer(b"".join(strings), _ROW)
    table = table[np.lexsort([table["number"], *table["digest"].T[::-1]])]
    is_first = np.ones(len(table), bool)
    is_first[1:] = (table["digest"][1:] != table["digest"][:-1]).any(axis=1)
    group_of = np.cumsum(is_first) - 1
    is_copy = (np.bincount(group_of) > 1)[group_of]
    firsts = table["number"][is_first][group_of]
    same = np.stack([table["number"], firsts], axis=1)[is_copy].tolist()
    for number, first in same:
        yield beam.pvalue.TaggedOutput(_COPIES, (number, (first, first)))
    yield from rows_by_part(table["number"][is_first], table["hashes"][is_first])


def _candidates(part: int, strings: Iterable[bytes]) -> Iterator[_Key]:
    return candidates(part, b"".join(strings))


def _where(number: int, key: _Key) -> tuple[int, tuple[int, _Key]]:
    """The number of an image's file; its place there, and what it is wanted for."""
    return number >> _PLACE_BITS, (number % 2**_PLACE_BITS, key)


def _read(file: int, joined: Mapping[str, list]) -> Iterator[tuple[_Key, _Small]]:
    wanted: dict[int, list[_Key]] = {}
    for place, key in joined["wanted"]:
        wanted.setdefault(place, []).append(key)
    for place, record in enumerate(records_of(joined["path"][0]) if wanted else ()):
        if place in wanted:
            one = fingerprint(Sample.parse(record))
            for key in wanted[place]:
                yield key, (one.picture, one.small)


def _same(key: _Key, found: Iterable[_Small]) -> Iterator[str]:
    images = sorted(found, key=lambda image: image[0].source_id)
    pictures, smalls = zip(*images, strict=True)
    if key[0] == key[1]:
        yield _line("exact", pictures)
    elif are_near(*smalls):
        yield _line("near", pictures)


def _burst(photographs: tuple[str, Iterable[tuple[str, Sequence[int]]]]) -> str:
    numbered = [(split, number) for split, numbers in photographs[1] for number in numbers]
    return json.dumps({_BURST: [len(numbered), bursts.near_training(numbered)]})


def _line(kind: str, pictures: Iterable[Picture]) -> str:
    return json.dumps({kind: [astuple(picture) for picture in pictures]}, ensure_ascii=False)
