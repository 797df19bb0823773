"""The page of a run: what RunReport found, and what is known once the run is over.

facts.json, summary.json, job.json, ML Metadata -> runs/<pipeline>/<run id>/report.html
"""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from components.run_page import render
from components.run_page.facts import Facts, FactsError, Run, Step
from pipeline.config import PipelineConfig, default_config
from pipeline.environment import Workspace
from pipeline.keeping.lineage import Lineage, Made
from pipeline.running.child import Job
from pipeline.running.history import find_run, load_runs
from pipeline.running.summary import RunSummary
from pipeline.showing.wording import duration, percent
from signs import durable
from signs.errors import UserError
from signs.versions import version_name

if TYPE_CHECKING:
    from components.run_page.comparison import Comparison

PAGE = "report.html"
_TENSORBOARD = "tensorboard"


def write_report(workspace: Workspace, run: RunSummary) -> Path:
    """Writes the page of a run into the run's folder.

    Raises:
        UserError: the run has none: it did not come so far, is of an earlier release, or what it
            found is gone.
    """
    facts = facts_of(run)
    page = workspace.run_directory(run.pipeline, run.run_id) / PAGE
    durable.write_text(page, render.report(facts, about(workspace, run, facts)))
    return page


def write_comparison(
    workspace: Workspace, first: RunSummary, second: RunSummary, found: "Comparison"
) -> Path:
    """Writes the page of two runs beside each other into the folder of the second."""
    from components.run_page import comparison  # imports SciPy

    page = workspace.run_directory(second.pipeline, second.run_id) / f"beside-{first.run_id}.html"
    durable.write_text(page, comparison.page(found, facts_of(first), facts_of(second)))
    return page.absolute()


def newest_with_report(workspace: Path) -> RunSummary:
    """The newest run that has come to its report; without any the newest run, which tells why."""
    newest = find_run(workspace, None)
    return next((run for run in load_runs(workspace) if run.report is not None), newest)


def facts_of(run: RunSummary) -> Facts:
    """What RunReport found in a run.

    Raises:
        FactsError: nothing is there.
    """
    if run.report is None:
        why = "is of an earlier release" if run.status == "finished" else f"is {run.status}"
        raise FactsError(f"{run.run_id} has no report, as it {why}")
    if not Path(run.report).is_dir():
        raise FactsError(f"the report of {run.run_id} is gone: {run.report} was pruned or deleted")
    return Facts.load(Path(run.report))


def about(workspace: Workspace, run: RunSummary, facts: Facts) -> Run:
    """What the component could not know: how the run ended, and what came of it."""
    directory = workspace.run_directory(run.pipeline, run.run_id)
    command = ""
    with contextlib.suppress(OSError, ValidationError):
        command = Job.load(directory).command
    pushed = ""
    if run.pushed_version is not None:
        where = f"serving/{run.pipeline}/{run.pushed_version}"
        pushed = f"{version_name(run.pushed_version)} in {where}"
    queried = ""
    if run.query is not None and run.query.accuracy is not None:
        queried = f"served, {run.query.images:,} images: {percent(run.query.accuracy)} right"
    return Run(
        run_id=run.run_id,
        status=run.status,
        started=run.started.strftime("%Y-%m-%d %H:%M:%S %Z"),
        duration="" if run.duration_s is None else duration(run.duration_s),
        pushed=pushed,
        command=command,
        settings=settings_beside_defaults(facts),
        steps=tuple(_steps(workspace, run)),
        peak_mib=run.peak_rss_mib,
        queried=queried,
    )


def settings_beside_defaults(facts: Facts) -> dict[str, str]:
    """The settings that are not what the data set is run with unless told otherwise."""
    try:
        config = PipelineConfig.from_dict(facts.config)
    except UserError:  # of another release
        return {}
    usual = render.flat(default_config(config.data, config.also_test).to_dict())
    chosen = render.flat(config.to_dict())
    return {name: value for name, value in chosen.items() if usual.get(name) != value}


def link_tensorboard(run_directory: Path) -> None:
    """Links the logs of the run's training from its folder: TensorBoard names runs by folders."""
    link = run_directory / _TENSORBOARD
    with contextlib.suppress(OSError, ValidationError, UserError):
        run = RunSummary.load(run_directory)
        workspace = Workspace(run_directory.parents[2])
        for did in Lineage(workspace).steps_of(run.run_id):
            if did.component == "Trainer":
                made = Lineage(workspace).artifacts
                [logs] = [made[one].path for one in did.made if made[one].type == "ModelRun"]
                # A relative link: the workspace may be moved.
                link.symlink_to(Path("../../..") / logs / _TENSORBOARD, target_is_directory=True)


def _steps(workspace: Workspace, run: RunSummary) -> list[Step]:
    lineage = Lineage(workspace)
    did = {one.component: one for one in lineage.steps_of(run.run_id)}

    def words(ids: tuple[int, ...]) -> tuple[str, ...]:
        return tuple(_in_words(lineage.artifacts[one]) for one in ids if one in lineage.artifacts)

    return [
        Step(
            name,
            one.state,
            one.seconds,
            run.component_peak_mib.get(name),
            words(did[name].read) if name in did else (),
            words(did[name].made) if name in did else (),
        )
        for name, one in run.components.items()
    ]


def _in_words(made: Made) -> str:
    return f"#{made.id} {made.path.parts[3]}"
