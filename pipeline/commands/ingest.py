"""`signs ingest`: from images to a span, and what it has in common with `signs run`."""

import dataclasses
import pwd
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from pipeline.commands.beam_options import check_beam_options
from pipeline.commands.engine import EngineChoice
from pipeline.commands.options import (
    LAST_SEED,
    PASS_ON,
    WORKSPACE,
    JsonOption,
    WorkspaceOption,
    console,
    examples,
    print_json,
    spread,
)
from signs.errors import UserError
from signs.features import FINDINGS, REJECTED

if TYPE_CHECKING:
    from data.converting.convert import Ingested

IMAGES_HELP = (
    "synthetic or synthetic:COUNT (drawn hands), signs (downloads the public zip), or a path: a "
    "folder with a folder for each class or split, a .zip of it, a .csv or .jsonl of path and "
    "label, an .h5 file. Or the address of one of these: s3://BUCKET/FOLDER, gs://BUCKET/FOLDER."
)

NameOption = Annotated[
    str | None, typer.Option(help="Name of the data set; by default the source's.")
]
LayoutOption = Annotated[
    Literal["classes", "splits"] | None,
    typer.Option(help="What the top folders are, where that is not clear."),
]
SplitOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=FOLDER",
        help="A folder of a split, as in train=seg_train. Or leak-free: divide all images anew, "
        "and keep copies and neighbours in a burst on one side.",
    ),
]
ZipEncodingOption = Annotated[
    str | None, typer.Option(help="Code page of the names in a zip, such as cp866, gbk or cp932.")
]
AlsoTestOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[NAME=]SOURCE",
        help="A further test set: images as for --data, whose classes are matched by name. The "
        "model is judged on it beside test.",
    ),
]
YesOption = Annotated[
    bool, typer.Option("--yes", help="Do not ask whether a whole disk or home folder is meant.")
]
RejectedOption = Annotated[
    float, typer.Option(min=0, max=1, help="Fraction of files that may be unusable.")
]
RunnerOption = Annotated[str | None, typer.Option(help="Beam runner, such as DataflowRunner.")]
SpansOption = Annotated[
    str,
    typer.Option(
        "--spans",
        metavar="SPANS",
        help="Whose images are read: all of the source's spans, last:8, or 3-9.",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--direct_num_workers", min=0, max=1000, help="Worker processes of Beam's direct runner."
    ),
]

app = typer.Typer()


@app.command(
    context_settings=PASS_ON,
    epilog=examples("signs ingest synthetic:5000", "signs ingest photos/ --max-rejected 0.05"),
)
@spread
def ingest(
    context: typer.Context,
    engine: EngineChoice,
    source: Annotated[str, typer.Argument(help=IMAGES_HELP)],
    name: NameOption = None,
    layout: LayoutOption = None,
    split: SplitOption = None,
    zip_encoding: ZipEncodingOption = None,
    max_rejected: RejectedOption = 0.01,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Write all images as one span, not only what is new since the newest."
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, max=LAST_SEED, help="Of splits, order and drawings.")
    ] = 0,
    runner: RunnerOption = None,
    direct_num_workers: WorkersOption = None,
    yes: YesOption = False,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Turn images into a span of TFRecords. Other options go to Beam."""
    ask_if_meant(source, yes=yes)
    arguments = beam_args(context, engine, runner, direct_num_workers)
    from data.converting.convert import ingest as convert
    from data.sources.layouts.answers import Answers
    from pipeline.environment import Workspace
    from pipeline.running.ingesting import render_ingested, showing

    with showing(Console(stderr=True)) as progress:
        ingested = convert(
            source,
            Workspace(workspace).data,
            name=name,
            max_rejected=max_rejected,
            beam_args=arguments,
            seed=seed,
            answers=Answers.parse(layout, split or (), zip_encoding),
            progress=progress,
            full=full,
        )
    if as_json:
        print_json(as_dict(ingested))
    else:
        render_ingested(console(), ingested)
    return 0


def ask_if_meant(source: str, also_test: Sequence[str] | None = None, *, yes: bool) -> None:
    """Asks before all of a disk or of somebody's home is read: it is rarely what was meant.

    Args:
        source: of images.
        also_test: further ones, as `--also-test` names them.
        yes: whether not to ask.

    Raises:
        UserError: it was not meant, or there is no terminal to ask on.
    """
    home = Path.home().resolve()
    homes = {home, *home.parents, *(Path(user.pw_dir).resolve() for user in pwd.getpwall())}
    for one in (source, *(each.partition("=")[2] or each for each in also_test or ())):
        # POSIX lets `//` be another root, which it is nowhere here.
        place = Path("/", *Path(one).expanduser().resolve().parts[1:])
        if yes or place not in homes or not place.is_dir():
            continue
        what = "a whole file system" if place == Path(place.anchor) else "a home folder"
        if not sys.stdin.isatty():
            raise UserError(
                f"{one} is {what}, all of which would be read: name the folder of the images in "
                "it, or add --yes"
            )
        if not typer.confirm(f"{one} is {what}. Read all of it?"):
            raise UserError("nothing was read: name the folder of the images")


def beam_args(
    context: typer.Context,
    engine: EngineChoice,
    runner: str | None,
    direct_num_workers: int | None,
) -> list[str]:
    """The options for Beam, checked."""
    portable = engine.beam_args()
    if portable and (runner is not None or direct_num_workers is not None):
        raise UserError("--engine portable takes no --runner and no --direct_num_workers")
    ours = [name for parameter in context.command.params for name in parameter.opts]
    arguments = list(context.args)
    if runner is not None:
        arguments.append(f"--runner={runner}")
    if direct_num_workers is not None:
        arguments.append(f"--direct_num_workers={direct_num_workers}")
        # Beam's default mode keeps all work in one process, whatever the number of workers.
        if direct_num_workers != 1 and not any("direct_running_mode" in a for a in arguments):
            arguments.append("--direct_running_mode=multi_processing")
    check_beam_options(arguments, ours)
    return [*portable, *arguments]


def as_dict(ingested: "Ingested") -> dict[str, object]:
    """The span that was made or found, and what of its source could not be used."""
    manifest, whole = ingested.manifest, ingested.window
    return {
        "name": ingested.name,
        "span": ingested.span,
        "version": ingested.version,
        "directory": str(ingested.directory),
        "reused": ingested.reused,
        "class_names": list(manifest.class_names),
        "counts": {split: dict(classes) for split, classes in manifest.counts.items()},
        "spans": list(whole.numbers),
        "all_counts": {split: dict(classes) for split, classes in whole.counts.items()},
        "changed": manifest.changed,
        "removed": manifest.removed,
        "rejected": dict(manifest.rejected),
        "rejected_list": str(ingested.directory / REJECTED),
        "ignored": dict(manifest.ignored),
        "warnings": [finding.text for finding in manifest.findings],
        "findings": [dataclasses.asdict(finding) for finding in manifest.findings],
        "findings_list": str(ingested.directory / FINDINGS),
        "repaired": list(ingested.repaired),
    }
