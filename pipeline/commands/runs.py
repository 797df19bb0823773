"""`signs runs`: past runs, a line each, or one of them."""

import json
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
    WorkspaceOption,
    console,
    examples,
    print_json,
)
from pipeline.showing.wording import clock, percent, say
from signs.versions import version_name

if TYPE_CHECKING:
    from pipeline.running.summary import RunSummary, Status

_ALSO_WIDTH = 32  # of further test sets, at most; the summary and --json have all

app = typer.Typer()


@app.command(epilog=examples("signs runs", "signs runs 20261127-094536", "signs runs --json"))
def runs(
    run: Annotated[
        str | None, typer.Argument(help="Show this one; a part of its name will do.")
    ] = None,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """List past runs: accuracy, blessing, duration, pushed version; or show one of them."""
    from pipeline.running.history import find_run, load_runs

    if run is not None:
        from pipeline.commands.run import render_steps, render_summary

        one = find_run(workspace, run)
        if as_json:
            print(one.to_json())
        else:
            render_summary(console(), one)
            render_steps(console(), one)
        return 0
    past = load_runs(workspace)
    if as_json:
        print_json([json.loads(run.to_json()) for run in past])
    else:
        render_runs(console(), past, workspace)
    return 0


def render_runs(console: Console, runs: Sequence["RunSummary"], workspace: Path) -> None:
    """Prints a table of the runs, one line each, and below it what is wrong with damaged ones."""
    if not runs:
        say(console, f"No runs in {workspace} yet. Start one with:  signs run")
        return
    roomy = console.width >= 110  # else the run's name tells when it began
    name_width = max(len(run.run_id) for run in runs)
    pushed = [_pushed(run) for run in runs]
    pushed_width = max(6, *map(len, pushed))
    # The data's name gives way, down to a few letters: no other column can lose any.
    other_width = name_width + 11 + 8 + 7 + pushed_width + 5 + (17 if roomy else 0)
    also = [_also(run) for run in runs] if console.width >= 140 else []
    if any(also):
        also_width = min(_ALSO_WIDTH, max(map(len, also)))
        other_width += also_width + 1
    data_width = max(8, console.width - other_width)
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    if roomy:
        table.add_column("when", no_wrap=True)
    table.add_column("run", no_wrap=True)
    table.add_column("data", no_wrap=True, overflow="ellipsis", max_width=data_width)
    table.add_column("result", no_wrap=True, min_width=11)
    table.add_column("accuracy", no_wrap=True, justify="right")
    if any(also):
        table.add_column("also on", no_wrap=True, overflow="ellipsis", width=also_width)
    table.add_column("time", no_wrap=True, min_width=7, justify="right")
    table.add_column("pushed", no_wrap=True, min_width=6, justify="right")
    for index, (run, version) in enumerate(zip(runs, pushed, strict=True)):
        result, style = in_a_word(run)
        when = [run.started.astimezone().strftime("%Y-%m-%d %H:%M")] if roomy else []
        table.add_row(
            *map(Text, when),
            Text(run.run_id),
            Text(_data(run)),
            Text(result, style),
            Text(percent(run.accuracy)),
            *([Text(also[index])] if any(also) else []),
            Text("-" if run.duration_s is None else clock(run.duration_s)),
            Text(version),
        )
    console.print(table)
    for run in runs:
        if run.status == "damaged":
            say(console, f"{run.run_id}: {run.error}")


def in_a_word(run: "RunSummary") -> tuple[str, str]:
    """One or two words for how the run ended, and their colour."""
    if run.status == "finished" and run.blessed is not None:
        blessed = run.blessed and run.infra_blessed is not False
        return ("blessed", "green") if blessed else ("not blessed", "yellow")
    styles: dict[Status, str] = {"running": "cyan", "finished": "green", "interrupted": "yellow"}
    return run.status, styles.get(run.status, "red")


def _pushed(run: "RunSummary") -> str:
    return "-" if run.pushed_version is None else version_name(run.pushed_version)


def _also(run: "RunSummary") -> str:
    return ", ".join(f"{one.name} {percent(one.accuracy)}" for one in run.also_tested)


def _data(run: "RunSummary") -> str:
    span = "" if run.span is None else f" {run.span}"
    version = "" if run.version is None else f".{run.version}"
    return f"{run.dataset or run.pipeline}{span}{version}"
