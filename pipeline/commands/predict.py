"""`signs predict`: asks a model server what is in images."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

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
from pipeline.showing.wording import percent

if TYPE_CHECKING:
    from signs.client import Prediction

app = typer.Typer()


@app.command(
    epilog=examples(
        "signs predict hand.jpg",
        "signs predict photos/ --json",
        "signs predict hand.jpg --label stable --address http://127.0.0.1:8501",
    )
)
@spread
def predict(
    images: Annotated[list[str], typer.Argument(help="Image files, or folders of them.")],
    question: Question,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Ask a model server what is in images."""
    from signs.client import Client

    with Client(
        question.address,
        model_name=question.model_name(workspace),
        version=question.version,
        label=question.label,
        tls=question.tls,
        timeout_s=question.timeout,
    ) as client:
        predictions = client.predict([Path(image) for image in images])
    if as_json:
        print_json([as_dict(prediction) for prediction in predictions])
    else:
        render(console(), predictions)
    return 0


def as_dict(prediction: "Prediction") -> dict[str, object]:
    """One answer of a model server."""
    return {
        "source": prediction.source,
        "class_id": prediction.class_id,
        "class_name": prediction.class_name,
        "probability": prediction.probability,
        "probabilities": list(prediction.probabilities),
        "by_class": prediction.by_class,
    }


def render(console: Console, predictions: Sequence["Prediction"]) -> None:
    """Prints one line for each image."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("image", overflow="fold")
    table.add_column("class", overflow="fold")
    table.add_column("probability", justify="right", no_wrap=True)
    for prediction in predictions:
        table.add_row(
            Text(prediction.source), Text(prediction.class_name), percent(prediction.probability)
        )
    console.print(table)
