"""Uploads a compiled pipeline to KFP and starts it: once, or again and again.

PipelineFile -> a version of the pipeline (one for each content) -> a run, or a recurring run

Through kfp's own client; what it lacks (a pipeline without a version) through the generated API
under it. Fields: backend/api/v2beta1/{pipeline,run,recurring_run}.proto.
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import kfp_server_api
from pydantic import JsonValue

from kubeflow.compiling.pipeline_file import PipelineFile
from kubeflow.object_store import IN_WORDS, is_address
from kubeflow.submitting.api import Client, quiet
from kubeflow.submitting.api_errors import ApiError, explained
from kubeflow.submitting.connection import Connection
from signs.errors import UserError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SHORTEST_S = 60  # between two runs of a schedule
_ANY = 100  # of one name there is one, or by mistake a few
_IS_GOING_ON = json.dumps(
    {
        "predicates": [
            {
                "key": "state",
                "operation": "IN",
                "stringValues": {"values": ["PENDING", "RUNNING", "PAUSED", "CANCELING"]},
            }
        ]
    }
)


@dataclass(frozen=True)
class Schedule:
    """When a recurring run starts: every so many seconds, or by cron.

    Args:
        every_s: seconds from one start to the next; the first is one interval from now.
        cron: minute, hour, day of month, month, day of week, in UTC unless KFP was told otherwise.

    Raises:
        UserError: not exactly one of the two, or one that cannot be.
    """

    every_s: int | None = None
    cron: str | None = None

    def __post_init__(self) -> None:
        if (self.every_s is None) == (self.cron is None):
            raise UserError("a schedule is --every or --cron, one of them")
        if self.every_s is not None and self.every_s < _SHORTEST_S:
            raise UserError(
                f"--every must be at least {_SHORTEST_S} s: a run takes longer. "
                f"Received: {self.every_s} s"
            )
        if self.cron is not None and len(self.cron.split()) != 5:
            raise UserError(
                "--cron must have five fields (minute hour day month weekday), as in "
                f"'0 */6 * * *'. Received: {self.cron!r}"
            )

    def arguments(self) -> dict[str, str | int | None]:
        """As kfp's client takes it.

        KFP's cron begins with seconds, and takes five fields for the first five of six: it would
        run `0 */6 * * *` every six minutes (`defaultParser` of robfig/cron 1.2).
        """
        if self.cron is not None:
            return {"cron_expression": f"0 {' '.join(self.cron.split())}"}
        return {"interval_second": self.every_s}

    def is_that_of(self, trigger: kfp_server_api.V2beta1Trigger | None) -> bool:
        """Whether the server's trigger is the same."""
        if trigger is None:
            return False
        if self.cron is not None:
            there = trigger.cron_schedule
            return there is not None and there.cron == self.arguments()["cron_expression"]
        there = trigger.periodic_schedule
        # int64 is a string in protobuf's JSON.
        return there is not None and str(there.interval_second) == str(self.every_s)


@dataclass(frozen=True)
class Submission:
    """What is asked of KFP.

    Args:
        pipeline: the compiled pipeline.
        arguments: values of its parameters that differ from its defaults.
        experiment: groups runs in KFP's page; None: the pipeline's name.
        run_name: how the run is called there; None: the pipeline's name and the time.
        pipeline_root: where artifacts go; None: as it was compiled.
        service_account: as which the steps run in the cluster; None: KFP's own.

    Raises:
        UserError: a root that KFP's launcher cannot reach.
    """

    pipeline: PipelineFile
    arguments: Mapping[str, JsonValue] = field(default_factory=dict)
    experiment: str | None = None
    run_name: str | None = None
    pipeline_root: str | None = None
    service_account: str | None = None

    def __post_init__(self) -> None:
        if self.pipeline_root is not None and not is_address(self.pipeline_root):
            raise UserError(
                f"--pipeline-root must be {IN_WORDS}BUCKET/FOLDER. Received: {self.pipeline_root!r}"
            )
        for option, name in (("experiment", self.experiment), ("run-name", self.run_name)):
            if name is not None and not name.strip():
                raise UserError(f"--{option} must not be empty")

    @property
    def root(self) -> str | None:
        """Where artifacts go; None leaves it to the cluster's `kfp-launcher` ConfigMap.

        The driver takes it from the run alone, not from the file (backend/src/v2/driver/
        root_dag.go).
        """
        return self.pipeline_root or self.pipeline.root or None

    @property
    def experiment_name(self) -> str:
        """The experiment's name."""
        return self.experiment or self.pipeline.name


@dataclass(frozen=True)
class Started:
    """What KFP has made. `is_new` is false for a recurring run that was there just like this."""

    id: str
    name: str
    pipeline_id: str
    version_id: str
    is_new: bool = True


def seconds(option: str, text: str) -> int:
    """What `90s`, `30m`, `6h` or `1d` means.

    Raises:
        UserError: none of them.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text, re.ASCII)
    if match is None or int(match[1]) == 0:
        raise UserError(f"{option} must be as in 90s, 30m, 6h or 1d. Received: {text!r}")
    return int(match[1]) * _UNITS[match[2]]


def start_run(
    client: Client, connection: Connection, wanted: Submission, *, beside: bool = False
) -> Started:
    """Uploads what is not there yet, and starts one run.

    Args:
        client: of the server.
        connection: to it, for errors.
        wanted: what is to be run.
        beside: start it though another run of the pipeline goes on.

    Raises:
        UserError: another run of the pipeline goes on.
        ApiError: the server refuses, or is not there; the text says what it would not do.
    """
    pipeline_id, version_id = _upload(client, connection, wanted.pipeline)
    pipeline_name = wanted.pipeline.name
    if not beside and (other := _going_on(client, connection, pipeline_id)):
        raise UserError(
            f"the run {other.display_name!r} of {pipeline_name} goes on (id {other.run_id}): "
            "a run beside it would judge its model without that one's. Wait for it, or end it; "
            "--beside starts another all the same"
        )
    experiment_id = _experiment(client, connection, wanted.experiment_name)
    name = wanted.run_name or f"{wanted.pipeline.name} {time.strftime('%Y-%m-%d %H:%M:%S')}"
    with explained("start the run", connection), quiet():
        run = client.run_pipeline(
            experiment_id=experiment_id,
            job_name=name,
            pipeline_id=pipeline_id,
            version_id=version_id,
            params=dict(wanted.arguments),
            pipeline_root=wanted.root,
            service_account=wanted.service_account,
        )
    return Started(run.run_id, name, pipeline_id, version_id)


def start_recurring(
    client: Client, connection: Connection, wanted: Submission, schedule: Schedule
) -> Started:
    """Makes the recurring run of that name what is wanted: one at a time, and no catching up.

    One that is there just like this is left alone: made anew, its interval would begin anew, and a
    schedule that is submitted more often than it runs would never run. Another of that name is
    replaced, and deleted only when the new one is there.

    Raises:
        ApiError: the server refuses, or is not there.
    """
    pipeline_id, version_id = _upload(client, connection, wanted.pipeline)
    experiment_id = _experiment(client, connection, wanted.experiment_name)
    name = wanted.run_name or wanted.pipeline.name
    with explained("look for the recurring run", connection):
        found = client.list_recurring_runs(
            experiment_id=experiment_id, filter=_named("display_name", name), page_size=_ANY
        )
    before = found.recurring_runs or []
    same = [each for each in before if _is_like(each, wanted, schedule, version_id)]
    if same:
        made = same[0]
    else:
        with explained("start the recurring run", connection):
            made = client.create_recurring_run(
                experiment_id=experiment_id,
                job_name=name,
                pipeline_id=pipeline_id,
                version_id=version_id,
                params=dict(wanted.arguments),
                pipeline_root=wanted.root,
                service_account=wanted.service_account,
                no_catchup=True,
                max_concurrency=1,
                **schedule.arguments(),
            )
    for other in before:
        if other.recurring_run_id != made.recurring_run_id:
            with explained(
                f"delete the recurring run before, {other.recurring_run_id}", connection
            ):
                client.delete_recurring_run(other.recurring_run_id)
    return Started(made.recurring_run_id, name, pipeline_id, version_id, is_new=not same)


def _going_on(
    client: Client, connection: Connection, pipeline_id: str
) -> kfp_server_api.V2beta1Run | None:
    """A run of the pipeline that is not over, of any version and experiment."""
    token = ""
    while True:
        with explained("look for runs that go on", connection):
            found = client.list_runs(
                page_token=token,
                page_size=_ANY,
                namespace=connection.namespace,
                filter=_IS_GOING_ON,
            )
        for run in found.runs or []:
            reference = run.pipeline_version_reference
            if reference is not None and reference.pipeline_id == pipeline_id:
                return run
        token = found.next_page_token or ""
        if not token:
            return None


def _upload(client: Client, connection: Connection, pipeline: PipelineFile) -> tuple[str, str]:
    """The ids of the pipeline and of its version with this content, which may be there already."""
    namespace = connection.namespace or client.get_user_namespace() or None
    with explained("look for the pipeline", connection):
        found = client.list_pipelines(
            filter=_named("display_name", pipeline.name), namespace=namespace, page_size=_ANY
        )
    if found.pipelines:
        pipeline_id = found.pipelines[0].pipeline_id
    else:
        with explained(f"create the pipeline {pipeline.name}", connection):
            # `name` would be refused by older servers; newer ones take the other for both.
            pipeline_id = client._pipelines_api.pipeline_service_create_pipeline(
                kfp_server_api.V2beta1Pipeline(display_name=pipeline.name, namespace=namespace)
            ).pipeline_id
    with explained("look for the pipeline's version", connection):
        versions = client.list_pipeline_versions(
            pipeline_id, filter=_named("display_name", pipeline.version), page_size=_ANY
        )
    if versions.pipeline_versions:
        return pipeline_id, versions.pipeline_versions[0].pipeline_version_id
    with explained(f"upload {pipeline.path}", connection), quiet():
        try:
            uploaded = client.upload_pipeline_version(
                str(pipeline.path), pipeline.version, pipeline_id=pipeline_id
            )
        except OSError as err:
            raise ApiError(f"cannot read {pipeline.path}: {err.strerror}") from err
    return pipeline_id, uploaded.pipeline_version_id


def _experiment(client: Client, connection: Connection, name: str) -> str:
    with explained(f"find or create the experiment {name}", connection), quiet():
        return client.create_experiment(name, namespace=connection.namespace).experiment_id


def _is_like(
    there: kfp_server_api.V2beta1RecurringRun,
    wanted: Submission,
    schedule: Schedule,
    version_id: str,
) -> bool:
    reference = there.pipeline_version_reference
    config = there.runtime_config or kfp_server_api.V2beta1RuntimeConfig()
    return (
        there.status == "ENABLED"
        and reference is not None
        and reference.pipeline_version_id == version_id
        and (config.parameters or {}) == wanted.arguments
        and (config.pipeline_root or None) == wanted.root
        # A server that was not told which names its own.
        and wanted.service_account in (None, there.service_account)
        and schedule.is_that_of(there.trigger)
    )


def _named(key: str, name: str) -> str:
    return json.dumps({"predicates": [{"key": key, "operation": "EQUALS", "stringValue": name}]})
