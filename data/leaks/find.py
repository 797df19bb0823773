"""Finds equal and similar images with Beam, on this machine or wherever its runner works.

    files -> look -> tables -> copies (equal digests) ----------------> lines
                            -> candidates of equal parts of hashes -> compare, by pixels -> lines
                            -> numbers of each split, of photographs -> lines

Each image is decoded once. What is known of it goes to the disk, and an element is the number of a
file or of a part: a runner holds nothing that grows with the images. A line is JSON:
    {"images": {"train": 864, "eval": 216, "test": 120}}
    {"exact": [picture, picture, ...]}      a picture: [digest, source_id, split, class_name]
    {"near": [picture, picture]}
    {"burst": [1200, 119]}                  photographs with a number; test images with a neighbour
"""

import bisect
import contextlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeAlias

import apache_beam as beam
import numpy as np

from data import IngestError
from data.beam import files_of, one_error, pipeline_of, records_of
from data.converting.room import is_full
from data.leaks import bursts
from data.leaks.fingerprint import Fingerprint, fingerprint
from data.leaks.nearness import Part, are_near
from data.leaks.report import Found, read_lines
from data.leaks.tables import NO_PHOTOGRAPH, Tables, first_of
from data.pictures import Picture
from data.sample import Sample
from signs.features import SPLITS

_LINES = "lines"  # what the files begin with that are read in the end
_COPIES, _PAIRS = "copies", "pairs"
_COPY_PARTS = 16  # of all digests
_MOST_PIECES = 64  # of a band of hashes: each step reads the keys of all images
_COMPARED = 256  # pairs at once: 8 MB
_Lines: TypeAlias = beam.PCollection[str]


def find(folders: Sequence[Path], beam_args: Sequence[str]) -> Found:
    """Looks for what images have in common.

    Args:
        folders: Of such files as `write` takes. What is worked on lies beside them, since workers
            see no other folder of this machine.
        beam_args: Options of Beam, such as those of `data.engine.engine.Engine`.

    Raises:
        IngestError: Beam refuses its options, or the disk is full.
    """
    place = folders[0].parent
    with tempfile.TemporaryDirectory(prefix="leaks-", dir=place) as work:
        try:
            with one_error(), pipeline_of(beam_args) as pipeline:
                write(pipeline, [f"{folder}/*" for folder in folders], work)
        except (OSError, RuntimeError) as err:
            if is_full(err):
                raise IngestError(
                    "the disk is full while images are compared, which takes 1.3 KB of each at "
                    f"{place.parent}. Make room, or choose another workspace."
                ) from err
            raise
        return read(work)


def write(pipeline: beam.Pipeline, patterns: Iterable[str], folder: str) -> None:
    """Adds the steps to a pipeline, which write tables and lines into a folder.

    Args:
        pipeline: Takes the steps.
        patterns: Of gzipped TFRecord files of what `data.sample.Sample.serialize` writes.
        folder: That every worker sees; it takes some 1.3 KB an image.

    Raises:
        OSError: There is no file of a pattern.
    """
    files = files_of([*patterns])
    tables = Tables(folder, len(files))
    parts = [*enumerate(Part.all(min(len(files), _MOST_PIECES)))]

    def step(
        name: str, do: Callable[..., Iterable[str]], items: Iterable[Any], *before: _Lines
    ) -> _Lines:
        """Does it with each item, once the step before has done all of its own."""
        count = beam.CombineGlobally(beam.combiners.CountCombineFn())
        done = [beam.pvalue.AsSingleton(lines | f"After {name}" >> count) for lines in before]
        return (
            pipeline
            | f"What to {name}" >> beam.Create([*items])
            | f"Spread {name}" >> beam.Reshuffle()
            | name >> beam.FlatMap(lambda item, *_: do(tables, item), *done)
        )

    looked = step("Look", _look, enumerate(files))
    copies = step("Copies", _copies, range(_COPY_PARTS), looked)
    paired = step("Candidates", _candidates, parts, copies)
    files_by_parts = [(file, len(parts)) for file in tables.files]
    compared = step("Compare", _compare, files_by_parts, paired)
    counted = step("Count", _count, [None], looked)
    lines = (copies, compared, counted) | "Lines" >> beam.Flatten()
    _ = lines | "Write" >> beam.io.WriteToText(f"{folder}/{_LINES}")


def read(folder: str) -> Found:
    """Reads what the steps of `write` have written."""
    files = sorted(Path(folder).glob(f"{_LINES}*"))
    return read_lines(line for file in files for line in file.read_text("utf-8").splitlines())


def _look(tables: Tables, numbered: tuple[int, str]) -> Iterator[str]:
    """Writes the tables of a file."""
    file, path = numbered
    tables.write(file, _prints(path))
    yield from ()


def _prints(path: str) -> Iterator[Fingerprint]:
    for record in records_of(path):
        # What an older release let in and does not decode, the Trainer names.
        with contextlib.suppress(OSError):
            yield fingerprint(Sample.parse(record))


def _count(tables: Tables, _: None) -> Iterator[str]:
    """Counts the images of each split, and neighbours in a burst."""
    all_splits, all_photographs = [], []
    for _numbers, keys in tables:
        all_splits.append(np.array(keys["split"]))
        all_photographs.append(np.array(keys["photograph"]))
    splits, photographs = np.concatenate(all_splits), np.concatenate(all_photographs)
    sizes = np.bincount(splits, minlength=len(SPLITS)).tolist()
    yield json.dumps({"images": dict(zip(SPLITS, sizes, strict=True))})
    is_numbered = photographs != NO_PHOTOGRAPH
    near = bursts.near_training(
        {split: photographs[is_numbered & (splits == index)] for index, split in enumerate(SPLITS)}
    )
    yield json.dumps({"burst": [int(is_numbered.sum()), near]})


def _copies(tables: Tables, part: int) -> Iterator[str]:
    """Groups what has equal digests; of each group, the first is compared with other pictures."""
    found = []
    for numbers, keys in tables:
        digests = np.array(keys["digest"])
        is_here = digests[:, 0] % _COPY_PARTS == part
        found.append((numbers[is_here], digests[is_here]))
    numbers, digests = map(np.concatenate, zip(*found, strict=True))
    order = np.lexsort([numbers, *digests.T])
    numbers, digests = numbers[order], digests[order]
    is_other = np.ones(len(numbers) + 1, bool)  # than the one before; behind the last there is one
    is_other[1:-1] = (digests[1:] != digests[:-1]).any(axis=1)
    starts = np.flatnonzero(is_other)
    tables.save(_COPIES, part, numbers[~is_other[:-1]])
    is_copied = np.diff(starts) > 1
    for start, end in zip(starts[:-1][is_copied], starts[1:][is_copied], strict=True):
        yield _line("exact", map(tables.picture, numbers[start:end].tolist()))


def _candidates(tables: Tables, numbered: tuple[int, Part]) -> Iterator[str]:
    """Writes which pairs are to be compared, in the order of their first."""
    number, part = numbered
    copies = np.concatenate([tables.saved(_COPIES, each) for each in range(_COPY_PARTS)])
    rows = []
    for numbers, keys in tables:
        of_file = part.rows(numbers, np.array(keys["hashes"]))
        rows.append(of_file[~np.isin(of_file["number"], copies)])
    tables.save(_PAIRS, number, part.candidates(np.concatenate(rows)))
    yield from ()


def _compare(tables: Tables, file_and_parts: tuple[int, int]) -> Iterator[str]:
    """Compares the pairs whose first is in a file, each once, whatever parts it is in."""
    file, parts = file_and_parts
    found = []
    for part in range(parts):
        pairs = tables.saved(_PAIRS, part).reshape(-1, 2)
        start, end = (
            bisect.bisect_left(pairs, first_of(each), key=itemgetter(0))
            for each in (file, file + 1)
        )
        found.append(pairs[start:end])
    pairs = np.unique(np.concatenate(found), axis=0)
    pairs = pairs[np.argsort(pairs[:, 1])]  # those of a file after each other
    for start in range(0, len(pairs), _COMPARED):
        some = pairs[start : start + _COMPARED]
        for pair in some[are_near(*map(tables.smalls, some.T))].tolist():
            yield _line("near", map(tables.picture, pair))


def _line(kind: str, pictures: Iterable[Picture]) -> str:
    in_order = sorted(pictures, key=lambda picture: picture.source_id)
    return json.dumps({kind: [astuple(one) for one in in_order]}, ensure_ascii=False)
