"""`signs submit`: reads what is asked, and hands it on. kfp is imported by the command alone."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.options import CaOption, JsonOption, console, examples, print_json
from signs.errors import UserError

app = typer.Typer()


@app.command(
    epilog=examples(
        "signs submit pipeline.yaml --dry-run",
        "signs submit pipeline.yaml --host http://localhost:8080",
        "signs submit pipeline.yaml --set-parameter train_steps=2000 --no-wait",
        "signs submit pipeline.yaml --every 6h",
    )
)
def submit(
    pipeline: Annotated[Path, typer.Argument(help="What `signs compile` wrote.")],
    host: Annotated[
        str | None,
        typer.Option(
            envvar="KF_PIPELINES_ENDPOINT",
            help="KFP's address, as in http://localhost:8080; by default the cluster that this "
            "runs in, or else that of the kubeconfig.",
        ),
    ] = None,
    context: Annotated[
        str | None, typer.Option(help="Of the kubeconfig; by default its current one.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="Whose runs these are, where KFP serves several users.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds a bearer token for --host.")
    ] = None,
    token_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Or the environment variable that does.")
    ] = None,
    ca: CaOption = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set-parameter",
            metavar="NAME=VALUE",
            help="As in train_steps=2000; --dry-run lists them.",
        ),
    ] = None,
    allow_tag: Annotated[
        bool, typer.Option("--allow-tag", help="An image's tag will do in place of its digest.")
    ] = False,
    pipeline_root: Annotated[
        str | None, typer.Option(help="Where artifacts go; by default as it was compiled.")
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(help="Groups runs; by default the pipeline's name.")
    ] = None,
    run_name: Annotated[
        str | None, typer.Option(help="By default the pipeline's name (and, of one run, the time).")
    ] = None,
    service_account: Annotated[
        str | None, typer.Option(help="As which the steps run; by default KFP's own.")
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Again and again, as in 6h: one run at a time, each on the newest span. What had "
            "this run's name before is replaced.",
        ),
    ] = None,
    cron: Annotated[
        str | None,
        typer.Option(metavar="FIELDS", help="Or by cron's five fields, as in '0 */6 * * *' (UTC)."),
    ] = None,
    beside: Annotated[
        bool,
        typer.Option("--beside", help="Start the run though another of this pipeline goes on."),
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Start the run, and do not wait for its end.")
    ] = False,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="Wait so long at most, as in 12h.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check what needs no server; show what is sent.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Upload a compiled pipeline to Kubeflow, run it and watch it."""
    from kubeflow.compiling.pipeline_file import read_pipeline
    from kubeflow.submitting import submit as to_kfp
    from kubeflow.submitting.api import connect
    from kubeflow.submitting.arguments import arguments_of
    from kubeflow.submitting.connection import Connection
    from kubeflow.submitting.report import Report

    connection = Connection(host, context, namespace, token_file, token_env, ca)
    read = read_pipeline(pipeline)
    wanted = to_kfp.Submission(
        pipeline=read,
        arguments=arguments_of(read, settings or (), allow_tag=allow_tag),
        experiment=experiment,
        run_name=run_name,
        pipeline_root=pipeline_root,
        service_account=service_account,
    )
    schedule = None
    if every is not None or cron is not None:
        every_s = None if every is None else to_kfp.seconds("--every", every)
        schedule = to_kfp.Schedule(every_s, cron)
    if timeout is not None and (schedule is not None or no_wait):
        raise UserError("--timeout is for waiting, and nothing is waited for: leave it out")
    if beside and schedule is not None:
        raise UserError("--beside is for one run, and a schedule has its own: leave it out")
    timeout_s = None if timeout is None else to_kfp.seconds("--timeout", timeout)
    report = Report(connection, wanted, schedule)
    if dry_run:
        if as_json:
            print_json(report.plan())
        else:
            report.render_plan(console())
        return 0
    client = connect(connection)
    if schedule is not None:
        report.started = to_kfp.start_recurring(client, connection, wanted, schedule)
    else:
        report.started = to_kfp.start_run(client, connection, wanted, beside=beside)
    screen = console(stderr=as_json)
    report.render_started(screen)
    if schedule is None and not no_wait:
        report.wait(client, screen, timeout_s)
        report.render_ended(screen)
    if as_json:
        print_json(report.as_dict())
    return report.exit_code
