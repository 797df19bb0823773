"""`signs monitor`: whether what a server is asked is still what its model was trained on."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.options import (
    MOST_REQUESTS,
    WORKSPACE,
    JsonOption,
    ModelOption,
    WorkspaceOption,
    base_path,
    console,
    examples,
    print_json,
    read_version,
)
from pipeline.showing.wording import percent, say

app = typer.Typer()


@app.command(
    epilog=examples(
        "signs monitor workspace/requests",
        "signs monitor workspace/requests --page monitor.html --max-not-sure 0.1",
    )
)
def monitor(
    log: Annotated[Path, typer.Argument(help="The request log: its folder, or one file.")],
    model: ModelOption = None,
    version: Annotated[
        int | None,
        typer.Option(
            parser=read_version,
            metavar="VERSION",
            help="Such as v3; by default the one that answered last.",
        ),
    ] = None,
    newest: Annotated[
        int,
        typer.Option(min=1, max=MOST_REQUESTS, help="So many requests, the newest of the log."),
    ] = 1000,
    max_not_sure: Annotated[
        float, typer.Option(min=0, max=1, help="Share of pictures that the model may not know.")
    ] = 0.2,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Mean confidence in the others.")
    ] = 0.8,
    max_embedding_distance: Annotated[
        float,
        typer.Option(min=0, max=1, help="From test pictures, as the network sees them."),
    ] = 0.3,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it as HTML too; with some of the pictures in it."),
    ] = None,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Compare what a server was asked with the training: exit code 1 where it is too different."""
    from serving.request_log import read_log
    from signs.errors import UserError
    from signs.tensorflow_notes import without_tensorflow_notes

    if page is not None and not page.absolute().parent.is_dir():
        raise UserError(f"--page {page}: there is no folder {page.absolute().parent}")
    base = base_path(workspace, model)
    with without_tensorflow_notes():
        from tfx.utils import io_utils

        from data.schema import schema_path
        from pipeline.monitoring.monitor import Limits, training_statistics
        from pipeline.monitoring.monitor import monitor as compare
        from pipeline.monitoring.page import render
        from pipeline.monitoring.requests import read_requests
        from pipeline.monitoring.sight import sight_of

    requests = read_requests(read_log(log), base.name, version, newest)
    if not requests.asked:
        of = f" of v{version}" if version is not None else ""
        raise UserError(f"{log} holds no Predict request with pictures to {base.name}{of}")
    version_folder = base / str(requests.version)
    training = training_statistics(version_folder)
    with without_tensorflow_notes():
        found = compare(
            requests,
            base.name,
            training,
            io_utils.SchemaReader().read(str(schema_path())),
            Limits(max_not_sure, min_confidence, max_embedding_distance),
            sight_of(version_folder),
        )
    if page is not None:
        page.touch(mode=0o600)
        page.chmod(0o600)  # as the log: nobody else may see what people have sent
        page.write_text(render(found, requests), encoding="utf-8")
    if as_json:
        print_json(asdict(found))
    else:
        out = console()
        say(
            out,
            f"{found.model} v{found.version}: {found.images:,} pictures, not sure "
            f"{percent(found.not_sure)}, confidence {percent(found.confidence)}; "
            f"{found.passed_over:,} records are passed over",
        )
        for one in found.distances:
            say(out, f"  {one.feature}: distance {one.value:.3f}, limit {one.limit:g}")
        for note in found.notes:
            say(out, f"Note: {note}")
        for reason in found.reasons:
            say(out, f"Too different: {reason}")
        if page is not None:
            say(out, f"Page: {page.absolute()}")
    return 1 if found.reasons else 0
