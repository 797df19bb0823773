"""`signs compile`: reads what is asked, and hands it on. TFX is imported by the command alone."""

from pathlib import Path
from typing import Annotated

import typer

from kubeflow.object_store import IN_WORDS
from pipeline.commands.ingest import (
    AlsoTestOption,
    LayoutOption,
    NameOption,
    RejectedOption,
    SpansOption,
    SplitOption,
    YesOption,
    ZipEncodingOption,
    ask_if_meant,
)
from pipeline.commands.options import WORKSPACE, WorkspaceOption, console, examples

app = typer.Typer()


@app.command(
    "compile",
    epilog=examples(
        "signs compile --data signs --image ghcr.io/me/signs@sha256:...",
        "signs compile --data photos/ --cluster options.yaml --gpu 1 --tune 8",
        "signs submit pipeline.yaml --dry-run",
    ),
)
def compile_(
    data: Annotated[
        str,
        typer.Option(
            help="Images, as for `signs run`: synthetic, signs, or a path. They tell the data "
            "set's name and classes; a data set that was ingested is found again. Or the "
            "manifest.json of a span that was ingested elsewhere."
        ),
    ] = "synthetic",
    image: Annotated[
        str | None,
        typer.Option(help="Holds this checkout: REPOSITORY@sha256:DIGEST.", show_default=False),
    ] = None,
    name: NameOption = None,
    layout: LayoutOption = None,
    split: SplitOption = None,
    zip_encoding: ZipEncodingOption = None,
    also_test: AlsoTestOption = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Setting, such as train.epochs=30."),
    ] = None,
    warm_start: Annotated[
        bool,
        typer.Option("--warm-start", help="Start from the weights of the newest pushed model."),
    ] = False,
    tune: Annotated[
        int | None,
        typer.Option(
            min=0, max=1000, metavar="TRIALS", help="First search the recipe, as `signs run`."
        ),
    ] = None,
    pin_span: Annotated[
        bool,
        typer.Option(
            "--pin-span",
            help="Every run reads the span found now; by default the newest of its time.",
        ),
    ] = False,
    spans: SpansOption = "all",
    cluster: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="YAML: resources, retries, nodes, secrets; see kubeflow/README.md."
        ),
    ] = None,
    gpu: Annotated[
        int | None,
        typer.Option(min=0, max=64, metavar="COUNT", help="GPUs of each step that trains."),
    ] = None,
    pipeline_root: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help=f"Bucket for artifacts: {IN_WORDS}.",
        ),
    ] = None,
    allow_tag: Annotated[
        bool,
        typer.Option("--allow-tag", help="Take an image by its tag, though a tag can be moved."),
    ] = False,
    max_rejected: RejectedOption = 0.01,
    output: Annotated[Path, typer.Option(help="The file to write.")] = Path("pipeline.yaml"),
    yes: YesOption = False,
    workspace: WorkspaceOption = WORKSPACE,
) -> None:
    """Write the pipeline as Kubeflow Pipelines v2 takes it."""
    ask_if_meant(data, also_test, yes=yes)
    from data.sources.layouts.answers import Answers
    from kubeflow.compiling.options import load_options
    from kubeflow.compiling.package import compile_source
    from pipeline.environment import Workspace

    options = load_options(
        cluster,
        image=image,
        pipeline_root=pipeline_root,
        allow_tag=allow_tag or None,
        training=None if gpu is None else {"gpu": gpu},
    )
    chosen = ["warm_start=true"] if warm_start else []
    chosen += [] if tune is None else [f"tune.trials={tune}"]
    package = compile_source(
        data,
        Workspace(workspace),
        options,
        output,
        console(stderr=True),
        name=name,
        answers=Answers.parse(layout, split or (), zip_encoding),
        also_test=also_test or (),
        settings=[*chosen, *(settings or ())],
        max_rejected=max_rejected,
        pin_span=pin_span,
        spans=spans,
    )
    print(f"Wrote {package.output}: the pipeline {package.name}, for {options.image}")
    for here, there in package.folders.items():
        print(f"Before it runs, copy {here}/ to {there}/ on the claim {options.claim}.")
    print(f"Next: signs submit {package.output} --dry-run")
