"""The file of answers, in the form that its name asks for.

.csv      source, class_id, class_name, probability, confidence, known, error, p_NAME for each class
.jsonl    a line for each picture, with the keys of `signs predict --json` but `by_class`
.parquet  the columns of the lines; `class_names` is in the schema's metadata, as JSON
.tfrecord a tf.train.Example for each picture, with the features of the columns

A picture without an answer has `source` and `error`, and nothing else.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from pipeline.bulk.answers import Answer
from signs import protos, records
from signs.errors import UserError

_ROW_GROUP = 10_000  # rows that Parquet holds in memory
_COLUMNS = ("source", "class_id", "class_name", "probability", "confidence", "known", "error")

Write = Callable[[Path, Iterable[Answer], Sequence[str]], None]


def writer_of(out: Path) -> Write:
    """How to write a file of that name: with the answers of all pictures and the class names.

    Raises:
        UserError: nobody knows that kind of file.
    """
    write = _WRITERS.get(out.suffix.lower())
    if write is None:
        raise UserError(f"--out must end in {', '.join(_WRITERS)}. Received: {out.name}")
    return write


def as_line(answer: Answer) -> dict[str, object]:
    """The keys of an answer that have a value."""
    if answer.error is not None:
        return {"source": answer.source, "error": answer.error}
    line = answer.values()
    del line["error"], line["passed_over"]
    return line


def _csv(path: Path, answers: Iterable[Answer], class_names: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_COLUMNS, *(f"p_{name}" for name in class_names)])
        for answer in answers:
            values = [getattr(answer, name) for name in _COLUMNS]
            writer.writerow([*values, *(answer.probabilities or [None] * len(class_names))])


def _jsonl(path: Path, answers: Iterable[Answer], class_names: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(
            json.dumps(as_line(answer), ensure_ascii=False) + "\n" for answer in answers
        )


def _parquet(path: Path, answers: Iterable[Answer], class_names: Sequence[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            pa.field("source", pa.string(), nullable=False),
            pa.field("class_id", pa.int64()),
            pa.field("class_name", pa.string()),
            pa.field("probability", pa.float32()),
            pa.field("confidence", pa.float32()),
            pa.field("known", pa.bool_()),
            pa.field("probabilities", pa.list_(pa.float32())),
            pa.field("error", pa.string()),
        ],
        metadata={"class_names": json.dumps(list(class_names))},
    )
    rows = iter(answers)
    with pq.ParquetWriter(path, schema) as writer:
        while group := list(islice(rows, _ROW_GROUP)):
            columns = {name: [getattr(one, name) for one in group] for name in schema.names}
            writer.write_table(pa.table(columns, schema=schema))


def _tfrecord(path: Path, answers: Iterable[Answer], class_names: Sequence[str]) -> None:
    with path.open("wb") as file:
        file.writelines(records.encode(_example(answer)) for answer in answers)


def _example(answer: Answer) -> bytes:
    example = protos.Example()
    feature = example.features.feature
    for name, value in as_line(answer).items():
        for one in _each(value):
            if isinstance(one, str):
                feature[name].bytes_list.value.append(one.encode())
            elif isinstance(one, float):
                feature[name].float_list.value.append(one)
            elif isinstance(one, int):  # a bool is one
                feature[name].int64_list.value.append(one)
    return bytes(example.SerializeToString(deterministic=True))


def _each(value: object) -> Iterator[object]:
    if isinstance(value, tuple):
        yield from value
    elif value is not None:
        yield value


_WRITERS: dict[str, Write] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
    ".tfrecord": _tfrecord,
}
