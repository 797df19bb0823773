"""Asks a version about all pictures of a source, through Beam's RunInference.

Part -> read: batches of pictures -> RunInference -> answers-00000.jsonl, in FILE.parts/ -> FILE

Batches do not cross parts, so that a part has the same answers whoever computes it and whenever.
Beam runs in this process, in a thread a core where it has no GPU, each with its own batch; or on
an engine (`data.engine`), whose workers must see source, model and FILE.parts/ where they are.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import apache_beam as beam
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference

from data.beam import pipeline_of, raised
from data.processes import watched
from data.sources import open_pictures
from data.sources.source import Item, Progress, Rejection, Source, file_sha256
from pipeline.bulk.answers import Answer, Predicted
from pipeline.bulk.files import writer_of
from pipeline.bulk.handler import Picture, ServedModelHandler
from pipeline.bulk.listing import Listing, Part, list_source, read_part
from pipeline.bulk.machine import Machine
from signs import durable
from signs.errors import NotAnImageError, UserError
from signs.image_bytes import canonical_bytes
from signs.images import SUFFIXES

_JOB, _PROGRESS = "job.json", "progress"
# Of a picture: its part, its row there, and how many rows the part has.
_Place = tuple[int, int, int]
Report = Callable[[Progress], None]


def predict(
    spec: str,
    out: Path,
    version: Path,
    class_names: Sequence[str],
    machine: Machine,
    report: Report,
    beam_args: Sequence[str] = (),
) -> Predicted:
    """Writes a file of answers.

    Args:
        spec: what `data.sources.open_pictures` takes.
        out: the file; its suffix says of which kind.
        version: folder of the model.
        class_names: of the model, in label order.
        machine: what to compute on.
        report: called now and then with what is being done.
        beam_args: of an engine; without any Beam works in this process.

    Raises:
        UserError: the source or the model cannot be used, the file cannot be written, or another
            process is at it.
    """
    write = writer_of(out)
    folder = out.with_name(f"{out.name}.parts")
    try:
        folder.mkdir(exist_ok=True)
        with durable.lock(folder, timeout_s=0):
            opened = open_pictures(spec)
            with closing(opened):
                listing = list_source(opened, spec, folder)
                job = {
                    "source": listing.fingerprint,
                    "model": digest_of(version),
                    "batch": machine.batch,
                }
                reused = _begin(folder, job, listing.parts)
                left = [part for part in listing.parts if part.number not in reused]
                done = sum(part.lines for part in listing.parts if part.number in reused)
                (folder / _PROGRESS).write_bytes(bytes(done))

                def count(done: int, total: int | None) -> None:
                    report(Progress(f"Asking on {machine.name}", done, total, "images"))

                with watched(folder / _PROGRESS, listing.pictures, count):
                    if left:
                        _run(opened, folder, left, version, machine, beam_args)
            predicted = Predicted(out, reused=done)
            aside = folder / out.name
            write(aside, predicted.counting(_answers(folder, listing)), class_names)
            durable.replace(aside, out)
            shutil.rmtree(folder)
    except durable.LockedError as err:
        raise UserError(f"another process is writing {out}") from err
    except OSError as err:
        raise UserError(f"{out} cannot be written: {err.strerror or err}") from err
    return predicted


def digest_of(version: Path) -> str:
    """SHA-256 of what computes: the files of a version that a model server reads."""
    digest = hashlib.sha256()
    for file in sorted(version.glob("saved_model.pb*")) + sorted(version.glob("variables/*")):
        digest.update(f"{file.name}\0{file_sha256(file)}\n".encode())
    return digest.hexdigest()


def _begin(folder: Path, job: dict[str, object], parts: Sequence[Part]) -> set[int]:
    """The parts that are done; those of another source or model are removed."""
    told = json.dumps(job)
    there = folder / _JOB
    if not there.exists() or there.read_text() != told:
        for old in folder.glob("answers-*.jsonl"):
            old.unlink()
        durable.write_text(there, told)
    return {part.number for part in parts if answers_path(folder, part.number).exists()}


def _run(
    source: Source,
    folder: Path,
    parts: Sequence[Part],
    version: Path,
    machine: Machine,
    beam_args: Sequence[str],
) -> None:
    handler = KeyedModelHandler(ServedModelHandler(version, machine.threads)).with_no_batching()
    workers = min(machine.workers, len(parts))
    threads = [f"--direct_num_workers={workers}", "--direct_running_mode=multi_threading"]
    pipeline = pipeline_of(beam_args or (threads if workers > 1 else []))
    _ = (
        pipeline
        | "Parts" >> beam.Create(parts)
        | "Spread" >> beam.Reshuffle()
        | "Read" >> beam.ParDo(_Read(source, folder, machine.batch))
        | "Ask" >> RunInference(handler)
        | "Write" >> beam.ParDo(_Write(folder))
    )
    with _one_error():
        pipeline.run().wait_until_finish()


def answers_path(folder: Path, part: int) -> Path:
    """Where the answers of a part are, once all of it is done."""
    return folder / f"answers-{part:05d}.jsonl"


class _Read(beam.DoFn):
    """Reads the pictures of a part.

    Args:
        source: they lie in.
        folder: with the list of them.
        batch: pictures that are asked about at once; what cannot be read goes along.
    """

    def __init__(self, source: Source, folder: Path, batch: int) -> None:
        self._source, self._folder, self._batch = source, folder, batch

    def process(self, part: Part) -> Iterator[list[tuple[_Place, Picture]]]:
        """Yields batches, and with each picture its place."""
        batch: list[tuple[_Place, Picture]] = []
        readable = 0
        for row, item in enumerate(read_part(self._folder, part)):
            picture = _read(self._source, item)
            batch.append(((part.number, row, part.lines), picture))
            readable += picture.image is not None
            if readable == self._batch:
                yield batch
                batch, readable = [], 0
        if batch:
            yield batch


def _read(source: Source, item: Item | Rejection) -> Picture:
    if isinstance(item, Rejection):
        return Picture(item.source_id, None, item.reason)
    try:
        return Picture(item.source_id, canonical_bytes(source.read(item)))
    except NotAnImageError as err:
        is_called_so = Path(item.source_id).suffix.lower() in SUFFIXES
        return Picture(item.source_id, None, str(err), passed_over=not is_called_so)
    except UserError as err:
        return Picture(item.source_id, None, str(err))


class _Write(beam.DoFn):
    """Writes a part's answers when all of them are there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts: dict[int, dict[int, Answer]] = {}

    def process(self, answered: tuple[_Place, Answer]) -> None:
        """Takes an answer."""
        (number, row, lines), answer = answered
        part = self._parts.setdefault(number, {})
        part[row] = answer
        if len(part) == lines:
            del self._parts[number]
            text = "".join(part[row].to_line() for row in range(lines))
            durable.write_text(answers_path(self._folder, number), text)
            with (self._folder / _PROGRESS).open("ab", buffering=0) as file:
                file.write(bytes(lines))


def _answers(folder: Path, listing: Listing) -> Iterator[Answer]:
    for part in listing.parts:
        with answers_path(folder, part.number).open(encoding="utf-8") as file:
            for line in file:
                yield Answer.from_line(line)


@contextmanager
def _one_error() -> Iterator[None]:
    """Makes one line of what a step raises."""
    # Beam tells of a failure several times over, and warns in the root's name.
    loggers = [logging.getLogger(name) for name in (None, "apache_beam")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    except Exception as err:
        words = raised(str(err) or type(err).__name__)
        raise UserError(f"no answers: {words}. What is answered is kept") from err
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
