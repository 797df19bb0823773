"""`signs predict --bulk`: answers for a whole source, into a file."""

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.commands.options import Question, base_path, console, print_json
from pipeline.commands.own_server import asked_version
from pipeline.environment import Workspace
from pipeline.showing.wording import say, tell
from signs.errors import UserError
from signs.heavy_imports import heavy_imports
from signs.tensorflow_notes import without_tensorflow_notes
from signs.versions import version_name

if TYPE_CHECKING:
    from pipeline.bulk.answers import Predicted


def predict_bulk(
    source: str,
    out: Path,
    question: Question,
    workspace: Path,
    beam_args: Sequence[str] = (),
    *,
    as_json: bool,
) -> int:
    """Asks a version of the workspace about all pictures of a source.

    `beam_args` are an engine's; without any this process does the work.

    Returns:
        The exit code: 1 where a picture has no answer; the file says why.
    """
    if not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.absolute().parent}")
    from data.sources import open_pictures
    from pipeline.bulk.files import writer_of
    from pipeline.running.ingesting import showing

    writer_of(out)
    base = base_path(workspace, question.model)
    number, folder = asked_version(base, question)
    open_pictures(source).close()  # a mistake in it is told before TensorFlow is imported
    told = console(stderr=True)
    with without_tensorflow_notes(), heavy_imports():
        from modules.exported import ExportedModelError, class_names_of
        from pipeline.bulk.machine import this_machine
        from pipeline.bulk.predict import predict
        from trust.signature import copy_verified

        machine = this_machine()
    version = f"{base.name} {version_name(number)}"
    tell(told, f"Asking {version} about {source}, on {machine.name}")
    if machine.note:
        tell(told, machine.note)
    with contextlib.ExitStack() as leaving:
        if (key := Workspace(workspace).public_key).exists():
            # What is verified is what is loaded, whatever becomes of the version meanwhile. Workers
            # elsewhere see what is beside the answers.
            beside = out.absolute().parent if beam_args else None
            private = leaving.enter_context(
                tempfile.TemporaryDirectory(prefix=".signs-verified-", dir=beside)
            )
            copy_verified(folder, Path(private, folder.name), key)
            folder = Path(private, folder.name)
        try:
            class_names = class_names_of(folder)
        except ExportedModelError as err:
            raise UserError(f"{version} {err}") from err
        report = leaving.enter_context(showing(told))
        predicted = predict(source, out, folder, class_names, machine, report, beam_args)
    if as_json:
        print_json({"model": base.name, "version": number, **as_dict(predicted)})
    else:
        render(console(), predicted)
    for answer in predicted.missed:
        told.print(Text(f"not answered: {answer.source}: {answer.error}"), soft_wrap=True)
    if (more := predicted.unanswered - len(predicted.missed)) > 0:
        say(told, f"not answered: {more:,} more, in {out}")
    return 1 if predicted.unanswered else 0


def as_dict(predicted: "Predicted") -> dict[str, object]:
    """The numbers of a file of answers."""
    return {
        "out": str(predicted.out),
        "pictures": predicted.pictures,
        "classes": dict(sorted(predicted.classes.items())),
        "unknown": predicted.unknown,
        "unanswered": predicted.unanswered,
        "passed_over": predicted.passed_over,
        "reused": predicted.reused,
    }


def render(console: Console, predicted: "Predicted") -> None:
    """Prints how many pictures there are of each class, and where the answers are."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("class", overflow="fold")
    table.add_column("images", justify="right")
    for name, count in sorted(predicted.classes.items()):
        table.add_row(Text(name), f"{count:,}")
    console.print(table)
    notes = {
        "unlike those it was trained on": predicted.unknown,
        "not answered": predicted.unanswered,
        "no images, passed over": predicted.passed_over,
        "answered before, by a run that was cut off": predicted.reused,
    }
    for words, count in notes.items():
        if count:
            say(console, f"{count:,} {words}")
    say(console, f"Answers: {predicted.out.absolute()}")
