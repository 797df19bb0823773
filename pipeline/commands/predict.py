"""`signs predict`: asks a model server what is in images."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.commands.engine import EngineChoice
from pipeline.commands.options import (
    WORKSPACE,
    JsonOption,
    Question,
    WorkspaceOption,
    console,
    examples,
    print_json,
    spread,
)
from pipeline.commands.own_server import answering
from pipeline.showing.wording import percent
from signs.errors import UserError

if TYPE_CHECKING:
    from signs.client import Prediction, Unanswered

app = typer.Typer()


@app.command(
    epilog=examples(
        "signs predict workspace/examples/signs-synthetic/3.png",
        "signs predict photos/ --json",
        "signs predict photos/ --label stable --address http://127.0.0.1:8501",
        "signs predict --bulk photos.zip --out answers.parquet",
    )
)
@spread
def predict(
    context: typer.Context,
    question: Question,
    engine: EngineChoice,
    images: Annotated[
        list[str] | None, typer.Argument(help="Image files, or folders of them.")
    ] = None,
    bulk: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Ask about all of a folder, zip, .h5 file, table or TFRecords, of any size, "
            "without a server. What was killed goes on.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Of --bulk: the file of answers, .csv, .jsonl, .parquet, .tfrecord"
        ),
    ] = None,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Ask what is in images: a model server, or, where none runs, one that is started for this."""
    if bulk is not None or out is not None:
        from pipeline.commands.predict_bulk import predict_bulk

        if bulk is None or out is None or images:
            raise UserError("--bulk SOURCE and --out FILE go together, and with no other images")
        if was_given(context, "address") or question.tls:
            raise UserError("--bulk asks no server: leave out --address and the certificates")
        return predict_bulk(bulk, out, question, workspace, engine.beam_args(), as_json=as_json)
    if engine != EngineChoice():
        raise UserError("--engine and its options go with --bulk")
    if not images:
        raise UserError("no images: name files or folders, or a source with --bulk")
    from signs.client import Client, Prediction, Unanswered

    paths = [Path(image) for image in images]
    with contextlib.ExitStack() as leaving:
        if not was_given(context, "address") and not question.tls and any_image(paths):
            own = answering(question, workspace, console(stderr=True))
            question = leaving.enter_context(own)
        client = Client(
            question.address,
            model_name=question.model_name(workspace),
            version=question.version,
            label=question.label,
            tls=question.tls,
            metadata=question.headers,
            timeout_s=question.timeout,
        )
        answers = leaving.enter_context(client).predict_each(paths)
    passed_over = [a.source for a in answers if isinstance(a, Unanswered) and a.passed_over]
    missed = [a for a in answers if isinstance(a, Unanswered) and not a.passed_over]
    if as_json:
        print_json([as_dict(answer) for answer in answers if answer.source not in passed_over])
    else:
        render(console(), [answer for answer in answers if isinstance(answer, Prediction)])
    tell(console(stderr=True), missed, passed_over)
    return 1 if missed else 0


def was_given(context: typer.Context, option: str) -> bool:
    """Whether the user has written the option, be it with its default value."""
    source = context.get_parameter_source(option)
    return source is not None and source.name != "DEFAULT"


def any_image(paths: Sequence[Path]) -> bool:
    """Whether there is something to ask about; what is wrong with the others is told later."""
    from signs.images import Unanswered, read_each

    return any(not isinstance(each, Unanswered) for each in read_each(paths))


def as_dict(answer: "Prediction | Unanswered") -> dict[str, object]:
    """One answer of a model server, or why there is none."""
    from signs.client import Prediction

    if not isinstance(answer, Prediction):
        return {"source": answer.source, "error": answer.reason}
    return {
        "source": answer.source,
        "class_id": answer.class_id,
        "class_name": answer.class_name,
        "probability": answer.probability,
        "probabilities": list(answer.probabilities),
        "by_class": answer.by_class,
        "confidence": answer.confidence,
        "known": answer.known,
    }


def render(console: Console, predictions: Sequence["Prediction"]) -> None:
    """Prints one line for each image."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("image", overflow="fold")
    table.add_column("class", overflow="fold")
    table.add_column("probability", justify="right", no_wrap=True)
    for prediction in predictions:
        name, sure = prediction.class_name, prediction.confidence
        if prediction.known is False:  # a model that does not tell it has None
            name, sure = f"not sure, perhaps {name}", None
        elif sure is None:
            sure = prediction.probability
        table.add_row(Text(prediction.source), Text(name), percent(sure))
    console.print(table)


def tell(console: Console, missed: Sequence["Unanswered"], passed_over: Sequence[str]) -> None:
    """Prints a line for each image without an answer, and one for all that is no image."""
    for answer in missed:
        console.print(Text(f"not answered: {answer}"), soft_wrap=True)
    if passed_over:
        number = len(passed_over)
        what = "1 file that is no image" if number == 1 else f"{number} files that are no images"
        console.print(Text(f"passed over: {what}, such as {passed_over[0]}"), soft_wrap=True)
