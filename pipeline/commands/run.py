"""`signs run`: from images to a served and queried model, and what that came to."""

import shlex
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.commands.engine import EngineChoice
from pipeline.commands.ingest import (
    IMAGES_HELP,
    AlsoTestOption,
    LayoutOption,
    NameOption,
    RejectedOption,
    RunnerOption,
    SpansOption,
    SplitOption,
    WorkersOption,
    YesOption,
    ZipEncodingOption,
    ask_if_meant,
    beam_args,
)
from pipeline.commands.options import (
    MOST_SECONDS,
    PASS_ON,
    WORKSPACE,
    JsonOption,
    WorkspaceOption,
    console,
    examples,
    spread,
    typed,
)
from pipeline.commands.runs import in_a_word
from pipeline.showing.verdict import verdict_lines
from pipeline.showing.wording import duration, percent, say, shorten
from signs import features
from signs.command import INTERRUPTED
from signs.errors import UserError
from signs.versions import version_name

if TYPE_CHECKING:
    from modules.evaluation.verdict import SimpleAnswers
    from pipeline.running.summary import (
        AlsoTested,
        RunSummary,
        Served,
        Tuned,
        Unmet,
        Weakest,
        WithoutTwins,
    )

_DRAWN = "synthetic"

app = typer.Typer()


@app.command(
    context_settings=PASS_ON,
    epilog=examples(
        "signs run",
        "signs run --data 64x64_SIGNS.zip --set train.epochs=60",
        "signs run --data signs --tune 8",
        "signs run --data signs --also-test photos/",
        "signs run --data photos/ --workspace /big/disk --json",
        "signs run --watch photos/ --spans last:8",
        "signs run --on kubeflow-local",
    ),
)
@spread
def run(
    context: typer.Context,
    engine: EngineChoice,
    data: Annotated[str, typer.Option(help=IMAGES_HELP)] = _DRAWN,
    name: NameOption = None,
    layout: LayoutOption = None,
    split: SplitOption = None,
    zip_encoding: ZipEncodingOption = None,
    also_test: AlsoTestOption = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Setting, such as train.epochs=30."),
    ] = None,
    schema: Annotated[
        Literal["curated", "infer"],
        typer.Option(help="curated: the repository's; infer: from the data, to explore it."),
    ] = "curated",
    warm_start: Annotated[
        bool,
        typer.Option(
            "--warm-start",
            help="Start from the weights of the last blessed model. Each one that is blessed since "
            "is a new start: then the model is trained again though nothing else has changed.",
        ),
    ] = False,
    tune: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=1000,
            metavar="TRIALS",
            help="First search learning rate, weight decay and augmentation in so many short "
            "trainings (of tune.epochs), and train with the best.",
        ),
    ] = None,
    on: Annotated[
        Literal["local", "kubeflow-local"],
        typer.Option(
            help="kubeflow-local: compiled for Kubeflow, and run by a stand-in for the cluster on "
            "this machine. For development and CI."
        ),
    ] = "local",
    spans: SpansOption = "all",
    watch: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="In place of --data: run again and again, whenever images have arrived there, "
            "each time from the last blessed model. A path as for --data, or a data set's folder "
            "in the workspace, whose spans others write.",
        ),
    ] = None,
    interval: Annotated[
        float,
        typer.Option(min=0.1, max=MOST_SECONDS, metavar="SECONDS", help="Between --watch's looks."),
    ] = 30.0,
    max_rejected: RejectedOption = 0.01,
    runner: RunnerOption = None,
    direct_num_workers: WorkersOption = None,
    yes: YesOption = False,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Run it all: ingest, train, evaluate, push, serve, query. Other options go to Beam."""
    ask_if_meant(watch or data, also_test, yes=yes)
    arguments = beam_args(context, engine, runner, direct_num_workers)
    if on != "local" and engine.engine != "local":
        raise UserError("--engine portable goes with --on local: steps in pods choose their own")
    from data.sources.layouts.answers import Answers
    from pipeline.environment import Workspace
    from pipeline.running.run import run as run_pipeline

    chosen = [] if schema == "curated" else [f"schema={schema}"]
    chosen += ["warm_start=true"] if warm_start or watch else []
    chosen += ["warm_start_again=false"] if watch else []
    chosen += [] if tune is None else [f"tune.trials={tune}"]

    def once(source: str, *, unless_known: bool = False) -> "RunSummary":
        return run_pipeline(
            source,
            Workspace(workspace),
            console(stderr=as_json),
            name=name,
            answers=Answers.parse(layout, split or (), zip_encoding),
            also_test=also_test or (),
            settings=[*chosen, *(settings or ())],
            spans=spans,
            max_rejected=max_rejected,
            beam_args=arguments,
            on=on,
            resume=typed(shlex.join(["signs", *sys.argv[1:]])),
            unless_known=unless_known,
        )

    def show(summary: "RunSummary") -> None:
        if as_json:
            print(summary.to_json(), flush=True)
        elif summary.status == "finished":
            render_summary(console(), summary)

    if watch is not None:
        _check_watch(watch, data, on)
        from pipeline.running.watch import watch as watch_source

        return watch_source(
            watch,
            Workspace(workspace),
            console(stderr=as_json),
            partial(once, watch, unless_known=True),
            interval_s=interval,
            show=show,
        )
    summary = once(data)
    show(summary)
    if summary.status == "interrupted":
        return INTERRUPTED
    return int(summary.status != "finished")


def _check_watch(source: str, data: str, on: str) -> None:
    if data != _DRAWN:
        raise UserError("--watch names the source itself: leave out --data")
    if source == "signs" or source.partition(":")[0] == _DRAWN:
        raise UserError(f"--watch {source}: nothing arrives there; it takes a path")
    if on != "local":
        raise UserError("--watch is for this machine: on Kubeflow, `signs submit --every 6h`")


def render_summary(console: Console, run: "RunSummary") -> None:
    """Prints what a run came to: accuracy, blessing, where it was pushed, how to query it."""
    lines: list[tuple[str, str]] = []
    if run.accuracy is not None:
        images = run.counts.get(features.TEST)
        sure = "" if run.accuracy_interval is None else f" ({_interval(run.accuracy_interval)})"
        lines.append(("accuracy", f"{percent(run.accuracy)} on {_images(images)}{sure}"))
    if run.without_twins is not None and run.without_twins.images != images:
        lines.append(("", _without(run.without_twins)))
    if run.weakest is not None:
        lines.append(("weakest", _weakest(run.weakest)))
    if run.simple_answers is not None:
        lines.append(("beside it", _simple(run.simple_answers)))
    lines += [line for one in run.also_tested for line in _also(one)]
    if run.calibration:
        lines.append(("not sure", _not_sure(run.calibration)))
    lines += [("note" if not i else "", one.text) for i, one in enumerate(run.findings)]
    if run.suspects is not None:
        lines += [("labels" if not i else "", one) for i, one in enumerate(run.suspects.in_words())]
    if run.blessed is not None:
        lines.append(("blessed", "yes" if run.blessed else "no"))
        if run.verdict is None:
            lines += [("", _in_words(unmet)) for unmet in run.not_blessed_reasons]
        else:
            lines += [("", line) for line in verdict_lines(run.verdict)]
    if run.passed_over:
        lines += [
            ("not with" if not i else "", why) for i, why in enumerate(shorten(run.passed_over))
        ]
    if run.infra_blessed is False:
        lines.append(("served", "no: the model server's answers are not the trained model's"))
    elif run.infra_blessed and run.served is not None:
        lines.append(("served", _served(run.served)))
    if run.pushed_version is not None:
        lines.append(
            (
                "pushed",
                f"{version_name(run.pushed_version)} to {run.pushed_to}/{run.pushed_version}",
            )
        )
    elif run.status == "finished":
        lines.append(("pushed", "no: what was served before still is"))
    if run.query is not None:
        lines.append(
            (
                "queried",
                f"{_images(run.query.images)} over gRPC, accuracy {percent(run.query.accuracy)}",
            )
        )
    if run.tuned is not None:
        lines.append(("tuned", _best(run.tuned)))
    if "WarmStart" in run.components and run.status == "finished":
        lines.append(("started", run.warm_start or _start(run.base_model)))
    if run.error is not None:
        lines.append(("error", run.error))
    if run.report is not None:
        lines.append(("report", f"signs report {run.run_id}"))
    if run.log is not None:
        lines.append(("log", run.log))
    result, style = in_a_word(run)
    took = "" if run.duration_s is None else f" in {duration(run.duration_s)}"
    model = ", with an earlier run's model" if run.reused_model else ""
    head = f"{run.pipeline}  {run.run_id}  "
    console.print(
        Text.assemble((head, "bold"), (result, f"bold {style}"), took + model), soft_wrap=True
    )
    for name, words in lines:
        # Never wrapped: paths and commands are there to be copied.
        console.print(Text.assemble((f"  {name:10}", "dim"), words), soft_wrap=True)
    if run.query_commands:
        say(console, f"Try it:  {typed(run.query_commands[-1])}")


def render_steps(console: Console, run: "RunSummary") -> None:
    """Prints what each step of a run took."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("step", "", "time", "memory"):
        table.add_column(name, justify="right" if name in ("time", "memory") else "left")
    for name, step in run.components.items():
        mib = run.component_peak_mib.get(name)
        table.add_row(
            Text(name),
            step.state,
            "-" if step.seconds is None else duration(step.seconds),
            "-" if mib is None else f"{mib:,.0f} MiB",
        )
    console.print(table)


def _images(count: int | None) -> str:
    return "the test images" if count is None else f"{count:,} test images"


def _interval(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"95 % interval: {100 * low:.1f} to {percent(high)}"


def _without(found: "WithoutTwins") -> str:
    return (
        f"{percent(found.accuracy)} on the {found.images:,} of which no copy is trained on "
        f"({_interval(found.accuracy_interval)})"
    )


def _weakest(weakest: "Weakest") -> str:
    return (
        f"{weakest.class_name}: {percent(weakest.accuracy)} of {weakest.images:,}; "
        f"most often taken for {weakest.taken_for} ({weakest.taken_for_images:,})"
    )


def _also(found: "AlsoTested") -> Iterator[tuple[str, str]]:
    decides = "measured only"
    if found.min_accuracy is not None:
        decides = f"at least {percent(found.min_accuracy)} must be proven"
    yield (
        "also on",
        f"{found.name}: {percent(found.accuracy)} on {found.images:,} images "
        f"({_interval(found.accuracy_interval)}); {decides}",
    )
    if found.weakest is not None:
        yield "", f"weakest {_weakest(found.weakest)}"


def _not_sure(found: Mapping[str, float]) -> str:
    refused, answered = found["known_refused"], found["unknown_answered"]
    return (
        f"below {found['threshold']:.2f}: {percent(refused)} of known pictures, "
        f"{percent(1 - answered)} of unknown ones"
    )


def _served(found: "Served") -> str:
    known = ""
    if found.changed_known:
        known = f", {found.changed_known} of {found.images:,} change between sure and not sure"
    return (
        f"in {found.precision}: probabilities within {found.largest_difference:.1e} of the trained "
        f"network's{known}"
    )


def _simple(found: "SimpleAnswers") -> str:
    return (
        f"{percent(found.majority)} always the same class, "
        f"{percent(found.nearest_neighbour)} the nearest training image"
    )


def _best(tuned: "Tuned") -> str:
    values = ", ".join(f"{name} {value:.3g}" for name, value in tuned.hyperparameters.items())
    of = "the only trial" if tuned.trials == 1 else f"the best of {tuned.trials} trials"
    return f"{values} ({of}: {percent(tuned.accuracy)} on the eval images)"


def _start(base_model: str | None) -> str:
    if base_model is None:
        return "from random weights: no model was blessed before"
    return f"from the weights of {base_model}"


def _in_words(unmet: "Unmet") -> str:
    where = unmet.slice or f"all {unmet.test_set or 'test'} images"
    if unmet.value is None:
        return f"{unmet.metric} of {where} could not be computed (threshold {unmet.threshold:g})"
    if unmet.kind == "change":
        return (
            f"{unmet.metric} of {where} changed by {unmet.value:+.4f} from the last blessed model: "
            f"at least {unmet.threshold:g} is needed"
        )
    return f"{unmet.metric} of {where} is {unmet.value:.4f}: at least {unmet.threshold:g} is needed"
