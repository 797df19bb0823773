"""`signs suspects`: which labels of a data set look wrong."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.commands.ingest import (
    IMAGES_HELP,
    LayoutOption,
    NameOption,
    RejectedOption,
    SplitOption,
    YesOption,
    ZipEncodingOption,
    ask_if_meant,
)
from pipeline.commands.options import (
    WORKSPACE,
    JsonOption,
    WorkspaceOption,
    console,
    examples,
    print_json,
)
from pipeline.showing.wording import say
from signs.errors import UserError

if TYPE_CHECKING:
    from data.suspects.descriptor import Descriptor
    from data.suspects.report import Suspects

_SHOWN = 25

app = typer.Typer()


@app.command(
    epilog=examples("signs suspects --data photos/", "signs suspects --data signs --out check.csv"),
)
def suspects(
    data: Annotated[str, typer.Option(help=IMAGES_HELP)] = "synthetic",
    name: NameOption = None,
    layout: LayoutOption = None,
    split: SplitOption = None,
    zip_encoding: ZipEncodingOption = None,
    max_rejected: RejectedOption = 0.01,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a table (CSV) there for `signs relabel`."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="A version that a run pushed, such as workspace/serving/signs/1: compare pictures "
            "by what its network sees; by default by shape and colour.",
        ),
    ] = None,
    yes: YesOption = False,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Find labels that look wrong, the most suspicious first."""
    ask_if_meant(data, yes=yes)
    from data.converting.convert import ingest
    from data.leaks.find import find as find_leaks
    from data.leaks.report import groups
    from data.sources.layouts.answers import Answers
    from data.suspects.find import find
    from pipeline.environment import Workspace
    from pipeline.running.ingesting import showing
    from signs import durable

    descriptor = _descriptor(model)
    if out is not None and not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.absolute().parent}")
    with showing(Console(stderr=True)) as progress:
        ingested = ingest(
            data,
            Workspace(workspace).data,
            name=name,
            max_rejected=max_rejected,
            answers=Answers.parse(layout, split or (), zip_encoding),
            progress=progress,
        )
    with ingested.folders() as folders:
        leaks = find_leaks(folders, ())
        found = find(folders, groups(leaks), descriptor)
    if out is not None:
        source = str(Path(data).expanduser().absolute()) if Path(data).exists() else data
        durable.write_text(out, found.table(source))
    if as_json:
        span = {"name": ingested.name, "span": ingested.span, "version": ingested.version}
        print_json({**span, **asdict(found)})
        return 0
    say(console(), f"{ingested.name}: span {ingested.span}, version {ingested.version}")
    render_suspects(console(), found)
    if out is not None:
        say(console(), f"Table:  {out.absolute()}")
        say(console(), f"  fill in `corrected` where a label is wrong, then: signs relabel {out}")
    return 0


def _descriptor(model: Path | None) -> "Descriptor":
    from data.suspects.descriptor import BY_SHAPE_AND_COLOUR, Descriptor

    if model is None:
        return BY_SHAPE_AND_COLOUR
    from signs.tensorflow_notes import without_tensorflow_notes

    with without_tensorflow_notes():
        from modules.embedding import Embedding

        embedding = Embedding(model)
    return Descriptor("what the network sees", embedding, ((embedding.size, 1.0),))


def render_suspects(console: Console, found: "Suspects") -> None:
    """Prints the first suspects as a table, and what there is to tell of all."""
    if found.suspects:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column("picture", overflow="fold")
        table.add_column("label", overflow="fold")
        table.add_column("looks like", overflow="fold")
        table.add_column("most like", overflow="fold")
        for one in found.suspects[:_SHOWN]:
            sure = " (sure)" if one.confident else ""
            looks = f"{one.suggested}, {one.probability:.0%}{sure}"
            table.add_row(*map(Text, (one.id, one.label, looks, one.neighbour)))
        console.print(table)
    if found.found > _SHOWN:
        say(console, f"and {found.found - _SHOWN:,} more (--json, --out)")
    for sentence in found.in_words():
        say(console, f"Note:   {sentence}")
