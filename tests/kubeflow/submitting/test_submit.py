import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubeflow.compiling.pipeline_file import read_pipeline
from kubeflow.submitting import api
from kubeflow.submitting.api import Client, connect
from kubeflow.submitting.api_errors import ApiError
from kubeflow.submitting.connection import Connection
from kubeflow.submitting.submit import Schedule, Submission, seconds, start_recurring, start_run
from signs.errors import UserError
from tests.kubeflow.submitting.fake_api_server import FakeApiServer, refusal
from tests.kubeflow.submitting.submit_fixtures import IMAGE, PIPELINE, write_pipeline

EVERY_6_H = Schedule(every_s=6 * 3600)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApiServer]:
    monkeypatch.setattr(api.kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    with FakeApiServer() as server:
        yield server
        assert server.violations == []


@pytest.fixture
def connection(server: FakeApiServer) -> Connection:
    return Connection(server.address)


@pytest.fixture
def client(connection: Connection) -> Client:
    return connect(connection)


@pytest.fixture
def wanted(tmp_path: Path) -> Submission:
    return Submission(read_pipeline(write_pipeline(tmp_path)), {"train_steps": 2000})


def without_output(sent: dict[str, Any]) -> dict[str, Any]:
    """What was sent, without what the server has added."""
    ids = {"run_id", "recurring_run_id", "created_at", "state", "status"}
    return {key: value for key, value in sent.items() if key not in ids}


def test_uploads_and_starts_a_run(
    server: FakeApiServer, client: Client, connection: Connection, wanted: Submission
) -> None:
    started = start_run(client, connection, replace(wanted, run_name="first"))
    pipeline = server.only("pipelines")
    assert (pipeline["name"], pipeline["display_name"]) == ("signs-synthetic", "signs-synthetic")
    assert server.only("versions")["display_name"] == wanted.pipeline.version
    assert [upload.decode() for upload in server.uploads] == [PIPELINE]
    assert server.only("experiments")["display_name"] == "signs-synthetic"
    sent = server.only("runs")
    assert without_output(sent) == {
        "display_name": "first",
        "experiment_id": server.only("experiments")["experiment_id"],
        "pipeline_version_reference": {
            "pipeline_id": pipeline["pipeline_id"],
            "pipeline_version_id": server.only("versions")["pipeline_version_id"],
        },
        # Defaults are KFP's to add; the root is not in what KFP reads of the file.
        "runtime_config": {
            "parameters": {"train_steps": 2000},
            "pipeline_root": "minio://mlpipeline/v2/artifacts",
        },
    }
    assert (started.id, started.name) == (sent["run_id"], "first")


def test_what_is_chosen_is_sent(
    server: FakeApiServer, client: Client, connection: Connection, wanted: Submission
) -> None:
    chosen = replace(wanted, experiment="tries", pipeline_root="gs://b/r", service_account="signs")
    started = start_run(client, connection, chosen)
    assert server.only("experiments")["display_name"] == "tries"
    sent = server.only("runs")
    assert sent["runtime_config"]["pipeline_root"] == "gs://b/r"
    assert sent["service_account"] == "signs"
    assert sent["display_name"] == started.name
    assert started.name.startswith("signs-synthetic 20")


def test_the_same_file_is_uploaded_once(
    server: FakeApiServer, client: Client, connection: Connection, wanted: Submission
) -> None:
    first, second = (start_run(client, connection, wanted, beside=True) for _ in range(2))
    assert (first.pipeline_id, first.version_id) == (second.pipeline_id, second.version_id)
    assert len(server.held["runs"]) == 2
    assert len(server.uploads) == len(server.held["experiments"]) == 1


def test_another_content_is_another_version(
    server: FakeApiServer,
    client: Client,
    connection: Connection,
    wanted: Submission,
    tmp_path: Path,
) -> None:
    first = start_run(client, connection, wanted)
    changed = read_pipeline(write_pipeline(tmp_path, PIPELINE.replace(IMAGE, f"{IMAGE[:-1]}b")))
    second = start_run(client, connection, Submission(changed), beside=True)
    assert first.pipeline_id == second.pipeline_id
    assert first.version_id != second.version_id
    assert len(server.uploads) == 2


def test_in_the_namespace_of_a_user(server: FakeApiServer, wanted: Submission) -> None:
    server.multi_user = True
    connection = Connection(server.address, namespace="team-a")
    client = connect(connection)
    for _ in range(2):
        start_run(client, connection, wanted, beside=True)
    assert server.only("pipelines")["namespace"] == "team-a"
    assert server.only("experiments")["namespace"] == "team-a"


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("GET .*/pipelines", "cannot look for the pipeline: "),
        ("POST .*/pipelines", "cannot create the pipeline signs-synthetic: "),
        ("GET .*/versions", "cannot look for the pipeline's version: "),
        ("POST .*/upload_version", "cannot upload {file}: "),
        ("GET .*/experiments", "cannot find or create the experiment signs-synthetic: "),
        ("POST .*/experiments", "cannot find or create the experiment signs-synthetic: "),
        ("POST .*/runs", "cannot start the run: "),
    ],
)
def test_says_what_was_refused(
    server: FakeApiServer,
    client: Client,
    connection: Connection,
    wanted: Submission,
    request_: str,
    error: str,
) -> None:
    server.faults.append((request_, refusal(400, 3, "InvalidInputError: stack", "it is not good")))
    with pytest.raises(ApiError) as caught:
        start_run(client, connection, wanted)
    assert str(caught.value) == (
        error.format(file=wanted.pipeline.path) + "the server says 400 Bad Request: it is not good"
    )
    assert server.held["runs"] == {}


@pytest.mark.parametrize(
    ("schedule", "trigger"),
    [
        (EVERY_6_H, {"periodic_schedule": {"interval_second": "21600"}}),
        # KFP's cron begins with the seconds.
        (Schedule(cron="0  */6 * * *"), {"cron_schedule": {"cron": "0 0 */6 * * *"}}),
    ],
)
def test_a_recurring_run(
    server: FakeApiServer,
    client: Client,
    connection: Connection,
    wanted: Submission,
    schedule: Schedule,
    trigger: dict[str, Any],
) -> None:
    started = start_recurring(client, connection, wanted, schedule)
    assert without_output(server.only("recurringruns")) == {
        "display_name": "signs-synthetic",
        "experiment_id": server.only("experiments")["experiment_id"],
        "max_concurrency": 1,
        "mode": "ENABLE",
        "no_catchup": True,
        "pipeline_version_reference": {
            "pipeline_id": started.pipeline_id,
            "pipeline_version_id": started.version_id,
        },
        "runtime_config": {
            "parameters": {"train_steps": 2000},
            "pipeline_root": "minio://mlpipeline/v2/artifacts",
        },
        "trigger": trigger,
    }
    assert started.is_new
    assert started.id == server.only("recurringruns")["recurring_run_id"]


@pytest.mark.parametrize("schedule", [EVERY_6_H, Schedule(cron="0 */6 * * *")])
def test_a_recurring_run_that_is_there_is_left_alone(
    server: FakeApiServer,
    client: Client,
    connection: Connection,
    wanted: Submission,
    schedule: Schedule,
) -> None:
    first = start_recurring(client, connection, wanted, schedule)
    second = start_recurring(client, connection, wanted, schedule)
    assert second == replace(first, is_new=False)
    assert list(server.held["recurringruns"]) == [first.id]


@pytest.mark.parametrize(
    "change",
    [
        {"schedule": Schedule(every_s=3600)},
        {"schedule": Schedule(cron="0 */6 * * *")},
        {"arguments": {"train_steps": 5}},
        {"arguments": {}},
        {"pipeline_root": "s3://other"},
        {"service_account": "other"},
        {"disabled": True},
        {"text": PIPELINE.replace("0.9", "0.8")},
    ],
)
def test_another_recurring_run_replaces_it(
    server: FakeApiServer,
    client: Client,
    connection: Connection,
    wanted: Submission,
    change: dict[str, Any],
    tmp_path: Path,
) -> None:
    first = start_recurring(client, connection, wanted, EVERY_6_H)
    start_recurring(client, connection, replace(wanted, run_name="another"), EVERY_6_H)
    if "disabled" in change:
        server.held["recurringruns"][first.id]["status"] = "DISABLED"
    if "text" in change:
        pipeline = read_pipeline(write_pipeline(tmp_path, change["text"]))
        wanted = replace(wanted, pipeline=pipeline)
    fields = {key: change[key] for key in change.keys() & set(vars(wanted))}
    second = start_recurring(
        client, connection, replace(wanted, **fields), change.get("schedule", EVERY_6_H)
    )
    assert second.is_new
    assert first.id not in server.held["recurringruns"]
    names = [each["display_name"] for each in server.held["recurringruns"].values()]
    assert names == ["another", "signs-synthetic"]


def test_the_one_before_stays_where_the_new_one_is_refused(
    server: FakeApiServer, client: Client, connection: Connection, wanted: Submission
) -> None:
    first = start_recurring(client, connection, wanted, EVERY_6_H)
    server.faults.append(("POST .*/recurringruns", refusal(400, 3, "", "cron is not supported")))
    with pytest.raises(ApiError, match=r"cannot start the recurring run: .*cron is not supported"):
        start_recurring(client, connection, wanted, Schedule(cron="61 * * * *"))
    assert list(server.held["recurringruns"]) == [first.id]


@pytest.mark.parametrize(
    ("text", "value"), [("90s", 90), ("30m", 1800), ("6h", 21600), ("1d", 86400)]
)
def test_seconds(text: str, value: int) -> None:
    assert seconds("--every", text) == value


@pytest.mark.parametrize("text", ["6", "h", "6 h", "-6h", "0h", "1.5h", "6w", "", "٦h"])
def test_refuses_a_time(text: str) -> None:
    with pytest.raises(UserError, match=r"--every must be as in 90s, 30m, 6h or 1d. Received: '"):
        seconds("--every", text)


def test_refuses_a_schedule() -> None:
    with pytest.raises(UserError, match="a schedule is --every or --cron, one of them"):
        Schedule(every_s=3600, cron="0 0 * * *")
    with pytest.raises(UserError, match=r"--every must be at least 60 s: .*\. Received: 5 s"):
        Schedule(every_s=5)
    for cron in ("0 0 */6 * * *", "@daily", ""):  # six fields would shift; KFP's are with seconds
        with pytest.raises(UserError, match=r"--cron must have five fields .*\. Received: '"):
            Schedule(cron=cron)


@pytest.mark.parametrize("root", ["/tmp/artifacts", "file:///a", "minio://", "s3:/a", "gs://a b"])
def test_refuses_a_pipeline_root(wanted: Submission, root: str) -> None:
    with pytest.raises(UserError, match="--pipeline-root must be minio://, s3:// or gs://BUCKET"):
        replace(wanted, pipeline_root=root)


def test_refuses_an_empty_name(wanted: Submission) -> None:
    with pytest.raises(UserError, match="--run-name must not be empty"):
        replace(wanted, run_name=" ")


def test_prints_nothing(
    client: Client, connection: Connection, wanted: Submission, capfd: pytest.CaptureFixture[str]
) -> None:
    start_run(client, connection, wanted)
    start_recurring(client, connection, wanted, EVERY_6_H)
    assert capfd.readouterr() == ("", "")


def test_a_root_that_was_not_compiled_in_is_the_clusters(
    server: FakeApiServer, client: Client, connection: Connection, tmp_path: Path
) -> None:
    text = PIPELINE.replace("defaultPipelineRoot: minio://mlpipeline/v2/artifacts\n", "")
    start_run(client, connection, Submission(read_pipeline(write_pipeline(tmp_path, text))))
    assert json.dumps(server.only("runs")["runtime_config"]) == '{"parameters": {}}'


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "PAUSED", "CANCELING", "SUCCEEDED"])
def test_a_run_is_not_started_beside_one_that_goes_on(
    server: FakeApiServer, client: Client, connection: Connection, wanted: Submission, state: str
) -> None:
    first = start_run(client, connection, replace(wanted, run_name="last night's"))
    server.held["runs"][first.id]["state"] = state
    if state == "SUCCEEDED":
        start_run(client, connection, wanted)
        return
    # Whatever its experiment: all push to the same place.
    with pytest.raises(UserError) as caught:
        start_run(client, connection, replace(wanted, experiment="another"))
    assert str(caught.value).startswith(
        f'the run "last night\'s" of signs-synthetic goes on (id {first.id}): '
    )
    assert len(server.held["runs"]) == 1
    start_run(client, connection, wanted, beside=True)
    assert len(server.held["runs"]) == 2


def test_runs_of_other_pipelines_may_go_on(
    server: FakeApiServer, client: Client, connection: Connection, wanted: Submission
) -> None:
    first = start_run(client, connection, wanted)
    reference = server.held["runs"][first.id]["pipeline_version_reference"]
    reference["pipeline_id"] = "another"
    start_run(client, connection, wanted)
