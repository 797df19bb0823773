"""What `signs ingest` and `signs predict` found, as tables for people and as plain data."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.running.wording import percent
from signs.features import REJECTED, SPLITS

if TYPE_CHECKING:
    from data.convert import Ingested
    from signs.client import Prediction


def ingested_as_dict(ingested: "Ingested") -> dict[str, Any]:
    """The span that was made or found, and what of its source could not be used."""
    manifest = ingested.manifest
    return {
        "name": ingested.name,
        "span": ingested.span,
        "version": ingested.version,
        "directory": str(ingested.directory),
        "reused": ingested.reused,
        "class_names": list(manifest.class_names),
        "counts": {split: dict(classes) for split, classes in manifest.counts.items()},
        "rejected": dict(manifest.rejected),
        "rejected_list": str(ingested.directory / REJECTED),
        "ignored": dict(manifest.ignored),
        "warnings": list(manifest.warnings),
    }


def render_ingested(console: Console, ingested: "Ingested") -> None:
    """Prints the images by class and split, and what was rejected with its reasons."""
    manifest = ingested.manifest
    state = "was there already" if ingested.reused else "ingested"
    _say(console, f"{ingested.name}: span {ingested.span}, version {ingested.version}, {state}")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("class", overflow="fold")
    for split in SPLITS:
        table.add_column(split, justify="right")
    for name in manifest.class_names:
        counts = [f"{manifest.counts[split][name]:,}" for split in SPLITS]
        table.add_row(Text(name), *counts)
    sizes = [f"{sum(manifest.counts[split].values()):,}" for split in SPLITS]
    table.add_row("all", *sizes, style="bold")
    console.print(table)
    rejected = sum(manifest.rejected.values())
    _say(console, f"Rejected: {rejected:,}{_reasons(manifest.rejected)}")
    if rejected:
        _say(console, f"  each of them: {ingested.directory / REJECTED}")
    if manifest.ignored:
        _say(console, f"Ignored:  {sum(manifest.ignored.values()):,}{_reasons(manifest.ignored)}")
    for warning in manifest.warnings:
        _say(console, f"Note:     {warning}")
    _say(console, f"Stored:   {ingested.directory}")


def prediction_as_dict(prediction: "Prediction") -> dict[str, Any]:
    """One answer of a model server."""
    return {
        "source": prediction.source,
        "class_id": prediction.class_id,
        "class_name": prediction.class_name,
        "probability": prediction.probability,
        "probabilities": list(prediction.probabilities),
        "by_class": prediction.by_class,
    }


def render_predictions(console: Console, predictions: Sequence["Prediction"]) -> None:
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


def _reasons(counts: Any) -> str:
    words = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
    return f" ({words})" if words else ""


def _say(console: Console, words: str) -> None:
    console.print(words, markup=False, highlight=False, emoji=False, soft_wrap=True)
