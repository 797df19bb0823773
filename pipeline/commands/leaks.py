"""`signs leaks`: which images of a data set make a score look better than it is."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipeline.commands.engine import EngineChoice
from pipeline.commands.ingest import (
    IMAGES_HELP,
    LayoutOption,
    NameOption,
    RejectedOption,
    RunnerOption,
    SplitOption,
    WorkersOption,
    YesOption,
    ZipEncodingOption,
    ask_if_meant,
    beam_args,
)
from pipeline.commands.options import (
    PASS_ON,
    WORKSPACE,
    JsonOption,
    WorkspaceOption,
    console,
    examples,
    print_json,
    spread,
)
from pipeline.showing.wording import say
from signs.errors import UserError

if TYPE_CHECKING:
    from data.leaks.report import Leaks

_ROWS = {
    "test images with a twin in train or eval": "test_images_with_twin_in_train",
    "eval images with a twin in train": "eval_images_with_twin_in_train",
    "pairs within train and eval": "duplicate_pairs_within_train",
    "pairs within test": "duplicate_pairs_within_test",
}

app = typer.Typer()


@app.command(
    context_settings=PASS_ON,
    epilog=examples("signs leaks --data photos/", "signs leaks --data signs --out groups.jsonl"),
)
@spread
def leaks(
    context: typer.Context,
    engine: EngineChoice,
    data: Annotated[str, typer.Option(help=IMAGES_HELP)] = "synthetic",
    name: NameOption = None,
    layout: LayoutOption = None,
    split: SplitOption = None,
    zip_encoding: ZipEncodingOption = None,
    max_rejected: RejectedOption = 0.01,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the groups of copies there, a line of JSON each."),
    ] = None,
    runner: RunnerOption = None,
    direct_num_workers: WorkersOption = None,
    yes: YesOption = False,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Find copies and burst neighbours, across and within splits. Other options go to Beam."""
    ask_if_meant(data, yes=yes)
    arguments = beam_args(context, engine, runner, direct_num_workers)
    from data.converting.convert import ingest
    from data.leaks.find import find
    from data.leaks.report import count, groups
    from data.sources.layouts.answers import Answers
    from pipeline.environment import Workspace
    from pipeline.running.ingesting import showing
    from signs import durable

    if out is not None and not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.absolute().parent}")
    with showing(Console(stderr=True)) as progress:
        ingested = ingest(
            data,
            Workspace(workspace).data,
            name=name,
            max_rejected=max_rejected,
            beam_args=arguments,
            answers=Answers.parse(layout, split or (), zip_encoding),
            progress=progress,
        )
    with ingested.folders() as folders:
        found = find(folders, arguments)
    counted = count(found)
    if out is not None:
        durable.write_text(out, "".join(group.to_line() for group in groups(found)))
    span = {"name": ingested.name, "span": ingested.span, "version": ingested.version}
    if as_json:
        print_json({**span, **asdict(counted)})
    else:
        say(console(), f"{ingested.name}: span {ingested.span}, version {ingested.version}")
        render_leaks(console(), counted)
        if out is not None:
            say(console(), f"Groups: {out.absolute()}")
    return 0


def render_leaks(console: Console, leaks: "Leaks") -> None:
    """Prints the numbers as a table, and below it what they mean."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("copies")
    table.add_column("exact", justify="right")
    table.add_column("near", justify="right")
    for words, key in _ROWS.items():
        table.add_row(words, f"{getattr(leaks.exact, key):,}", f"{getattr(leaks.near, key):,}")
    conflicts = leaks.label_conflicts
    table.add_row("pictures under two classes", f"{conflicts.exact:,}", f"{conflicts.near:,}")
    console.print(table)
    for finding in leaks.findings:
        say(console, f"Note:   {finding.text}")
        for example in finding.examples:
            say(console, f"          {example}")
    if not leaks.findings:
        say(console, "No image that is held out is among those that are trained on.")
