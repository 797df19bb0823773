"""Whole runs of pipelines of shell commands: what is run, in which order, with what, how often."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kubeflow.standin.pod import Cluster, Container, start_here
from kubeflow.standin.records import RECORD, RunRecord
from kubeflow.standin.runner import Listener, StandinError, run, standin_cluster
from kubeflow.standin.store import Store
from pipeline.environment import Workspace
from signs.errors import UserError
from tests.kubeflow.standin.tiny import step, write

# Shell: the folder in the container for output `key`, as the launcher names it.
MAKE = "mkdir -p {{$.outputs.artifacts['model'].path}}; cd {{$.outputs.artifacts['model'].path}}; "


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "workspace").mkdir()
    return Workspace(tmp_path / "workspace")


def run_steps(workspace: Workspace, steps: dict[str, Any], **options: Any) -> RunRecord:
    path = write(workspace.root / "pipeline.yaml", steps, parameters=options.pop("defaults", {}))
    return run(path, workspace, options.pop("given", {}), **{"backoff_scale": 0.0, **options})


def states(record: RunRecord) -> dict[str, str]:
    return {name: execution.state for name, execution in record.executions.items()}


def text_of(workspace: Workspace, record: RunRecord, task: str, file: str) -> str:
    uri = record.executions[task].artifacts["model"].uri
    return (Store(workspace.root / "kubeflow" / "store").path(uri) / file).read_text()


def test_files_go_from_step_to_step_through_the_store_and_empty_folders_are_lost(
    workspace: Workspace,
) -> None:
    record = run_steps(
        workspace,
        {
            "A": step(
                MAKE + "echo one > file; mkdir empty sub; echo two > sub/x", outputs=("model",)
            ),
            "B": step(
                MAKE + "(cd {{$.inputs.artifacts['it'].path}}; find . | sort) > list",
                inputs={"it": ("A", "model")},
                outputs=("model",),
            ),
        },
    )
    assert record.state == "COMPLETE"
    assert text_of(workspace, record, "B", "list") == ".\n./file\n./sub\n./sub/x\n"
    root = f"minio://mlpipeline/v2/artifacts/tiny/{record.id}"
    uri = record.executions["A"].artifacts["model"].uri
    assert uri.startswith(f"{root}/A/") and uri.endswith("/model")
    # Nothing of the containers is left.
    assert list((workspace.root / "kubeflow" / "pods").iterdir()) == []


def test_a_step_is_handed_what_the_launcher_hands_it(workspace: Workspace) -> None:
    record = run_steps(
        workspace,
        {
            "A": step("true", outputs=("model",)),
            "B": step(
                MAKE + 'printf "%s" "$1" > input.json',
                inputs={"it": ("A", "model")},
                outputs=("model",),
                parameters={"count": 3, "rate": 0.25, "place": "/workspace/data"},
                from_pipeline={"steps": "train_steps"},
                platform={"pvcMount": [{"constant": "signs-workspace", "mountPath": "/workspace"}]},
            ),
        },
        defaults={"train_steps": 100},
    )
    made = json.loads(text_of(workspace, record, "B", "input.json"))
    run_root = f"minio://mlpipeline/v2/artifacts/tiny/{record.id}"
    [it] = made["inputs"]["artifacts"]["it"]["artifacts"]
    assert it["name"].isdecimal()
    assert it["type"] == {"instanceSchema": ""}
    assert it["metadata"] == {
        "display_name": "model",
        "store_session_info": '{"Provider":"minio","Params":{"fromEnv":"true"}}',
    }
    assert made["inputs"]["parameterValues"] == {
        "count": 3,
        "rate": 0.25,
        "steps": 100,
        "place": f"{workspace.root.resolve()}/data",
    }
    [model] = made["outputs"]["artifacts"]["model"]["artifacts"]
    task_root = model["uri"].removesuffix("/model")
    assert task_root.startswith(f"{run_root}/B/")
    assert model == {
        "name": "model",
        "uri": f"{task_root}/model",
        "type": {"instanceSchema": "title: tfx.Model\ntype: object\n"},
    }
    assert made["outputs"]["artifacts"]["executor-logs"]["artifacts"] == [
        {
            "name": "executor-logs",
            "uri": f"{task_root}/executor-logs-0",
            "type": {"schemaTitle": "system.Artifact"},
        }
    ]
    mounts = workspace.root.resolve() / "kubeflow" / "pods" / "B-0" / "mounts"
    key = task_root.removeprefix("minio://")
    assert made["outputs"]["outputFile"] == f"{mounts}/minio/{key}/output_metadata.json"


def test_a_listener_may_read_the_log_while_a_step_runs(workspace: Workspace) -> None:
    seen = []
    listener = Listener(on_running=lambda task, log: seen.append((task, log.read_text())))
    run_steps(workspace, {"A": step("echo hello; sleep 1.5")}, listener=listener)
    assert seen == [("A", "hello\n")]


def test_what_a_step_prints_is_an_output(workspace: Workspace) -> None:
    record = run_steps(workspace, {"A": step("echo hello; echo trouble >&2")})
    [log] = record.executions["A"].logs
    assert Path(log).read_text() == "hello\ntrouble\n"
    logs = record.executions["A"].artifacts["executor-logs"]
    assert logs.uri.endswith("/executor-logs-0")
    assert Store(workspace.root / "kubeflow" / "store").path(logs.uri).read_text() == (
        "hello\ntrouble\n"
    )


def test_a_failed_step_is_tried_again_as_its_policy_says(workspace: Workspace) -> None:
    tries = workspace.root / "tries"
    script = (
        f"echo x >> {tries}; test $(wc -l < {tries}) -ge 3 || {{ echo 'ValueError: no' ; exit 7; }}"
    )
    record = run_steps(workspace, {"A": step(script, retries=2)})
    assert record.state == "COMPLETE"
    execution = record.executions["A"]
    assert execution.attempts == 3
    assert execution.errors == ["exit status 7: ValueError: no"] * 2
    assert [Path(log).name for log in execution.logs] == ["A-0.log", "A-1.log", "A-2.log"]


def test_no_try_is_made_that_the_policy_does_not_allow(workspace: Workspace) -> None:
    tries = workspace.root / "tries"
    record = run_steps(
        workspace,
        {"A": step(f"echo x >> {tries}; exit 7", retries=1), "B": step("true", after=("A",))},
    )
    assert tries.read_text() == "x\nx\n"
    assert (record.state, states(record)) == ("FAILED", {"A": "FAILED"})
    assert record.executions["A"].errors == [
        "exit status 7",
        f"exit status 7 (log: {record.executions['A'].logs[1]})",
    ]


def test_the_wait_before_a_try_grows_as_the_policy_says(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("kubeflow.standin.runner.time.sleep", waited.append)
    run_steps(workspace, {"A": step("exit 1", retries=3)}, backoff_scale=0.5)
    # Python waits for processes by short sleeps. Half of the policy's 30 s, twice that each time:
    assert [wait_s for wait_s in waited if wait_s > 1] == [15.0, 30.0, 60.0]


@pytest.mark.parametrize(
    ("within_s", "attempts"),
    [
        (29, 1),  # the first wait of 30 s would be too long
        (80, 2),  # 30, and then 60 would be 90
        (100, 3),  # 30 + 60
        (3600, 6),  # 30 + 60 + 120 + 240 + 480: all that the policy allows
        (0, 1),  # as KFP has it where the file says nothing
    ],
)
def test_no_retry_is_waited_for_that_would_come_too_late(
    workspace: Workspace, within_s: int, attempts: int
) -> None:
    steps = {"A": step("exit 1", retries=5, retry_within_s=within_s)}
    record = run_steps(workspace, steps)
    assert record.executions["A"].attempts == attempts
    assert record.state == "FAILED"


def test_a_retry_ends_where_the_policys_time_ends(workspace: Workspace) -> None:
    script = "test $KFP_RETRY_INDEX = 1 || { sleep 0.1; exit 1; }; sleep 60"
    record = run_steps(workspace, {"A": step(script, retries=5, retry_within_s=31)})
    execution = record.executions["A"]
    assert execution.attempts == 2
    assert execution.errors[0] == "exit status 1"
    assert execution.errors[1].startswith("DeadlineExceeded: the step's retries may take no longer")


def test_a_step_that_is_killed_is_tried_again_in_a_fresh_folder(workspace: Workspace) -> None:
    killed = []

    def kill_first(task: str, pid: int) -> None:
        if not killed:
            time.sleep(0.3)
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    script = (
        MAKE + "test ! -e half; echo 1 > half; test $KFP_RETRY_INDEX = 1 || sleep 60; mv half whole"
    )
    record = run_steps(
        workspace,
        {"A": step(script, outputs=("model",), retries=1)},
        listener=Listener(on_process=kill_first),
    )
    assert record.state == "COMPLETE"
    assert record.executions["A"].errors == ["signal: SIGKILL"]
    uri = record.executions["A"].artifacts["model"].uri
    files = Store(workspace.root / "kubeflow" / "store").files(uri)
    assert [path.name for path in files] == ["whole"]


def test_what_a_step_leaves_running_ends_with_it(workspace: Workspace) -> None:
    record = run_steps(workspace, {"A": step("sleep 300 & echo $!")})
    [log] = record.executions["A"].logs
    pid = int(Path(log).read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{pid}").exists()


def test_a_second_run_reuses_what_is_cached_and_nothing_after_a_step_that_is_not(
    workspace: Workspace,
) -> None:
    made = workspace.root / "made"
    steps = {
        "Fixed": step(f"echo Fixed >> {made}", outputs=("model",), cache=True),
        "After": step(
            f"echo After >> {made}",
            inputs={"it": ("Fixed", "model")},
            outputs=("model",),
            cache=True,
        ),
        "Fresh": step(f"echo Fresh >> {made}", outputs=("model",)),
        "Behind": step(f"echo Behind >> {made}", inputs={"it": ("Fresh", "model")}, cache=True),
    }
    first = run_steps(workspace, steps)
    assert sorted(made.read_text().split()) == ["After", "Behind", "Fixed", "Fresh"]
    made.unlink()
    second = run_steps(workspace, steps)
    # The cache's key has the ids of input artifacts: a step that ran anew made a new one.
    assert sorted(made.read_text().split()) == ["Behind", "Fresh"]
    assert states(second) == {
        "Fixed": "CACHED", "After": "CACHED", "Fresh": "COMPLETE", "Behind": "COMPLETE",
    }  # fmt: skip
    assert second.executions["After"].cached_from == first.id
    assert second.executions["After"].artifacts == first.executions["After"].artifacts


@pytest.mark.parametrize(
    "change",
    [
        {"image": "signs@sha256:1"},
        {"parameters": {"size": 65}},
        {"script": "true; true"},
        {"outputs": ("model", "other")},
        {"platform": {"pvcMount": [{"constant": "signs-workspace", "mountPath": "/workspace"}]}},
    ],
)
def test_whatever_is_in_the_cache_key_makes_a_step_run_anew(
    workspace: Workspace, change: dict[str, Any]
) -> None:
    before: dict[str, Any] = {"script": "true", "parameters": {"size": 64}, "cache": True}
    run_steps(workspace, {"A": step(**before)})
    assert states(run_steps(workspace, {"A": step(**before)})) == {"A": "CACHED"}
    assert states(run_steps(workspace, {"A": step(**{**before, **change})})) == {"A": "COMPLETE"}


def test_another_pipelines_steps_are_not_reused(workspace: Workspace) -> None:
    steps = {"A": step("true", cache=True)}
    run_steps(workspace, steps)
    other = write(workspace.root / "other.yaml", steps, name="other")
    assert states(run(other, workspace)) == {"A": "COMPLETE"}


def test_a_failed_step_is_never_reused(workspace: Workspace) -> None:
    steps = {"A": step(f"test -e {workspace.root}/now", cache=True)}
    assert run_steps(workspace, steps).state == "FAILED"
    (workspace.root / "now").touch()
    assert states(run_steps(workspace, steps)) == {"A": "COMPLETE"}


def test_parameters_of_the_run_go_before_the_defaults(workspace: Workspace) -> None:
    steps = {
        "A": step(
            "echo {{$.inputs.parameters['rate']}} {{$.inputs.parameters['name']}}",
            from_pipeline={"rate": "rate", "name": "name"},
        )
    }
    record = run_steps(workspace, steps, defaults={"rate": 0.5, "name": "x"}, given={"rate": 0.125})
    assert Path(record.executions["A"].logs[0]).read_text() == "0.125 x\n"
    assert record.parameters == {"rate": 0.125, "name": "x"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"epochs": 3},
            "parameter(s) provided are not required by pipeline: epochs. It has: must, rate",
        ),
        (
            {"rate": "much", "must": "x"},
            "input parameter rate requires type number. Received: 'much'",
        ),
        (
            {},
            "parameter must is not optional, yet has neither default value nor user provided value",
        ),
    ],
)
def test_parameters_are_checked_before_anything_runs(
    workspace: Workspace, given: dict[str, Any], message: str
) -> None:
    steps = {"A": step("true", from_pipeline={"rate": "rate"})}
    with pytest.raises(UserError) as caught:
        run_steps(workspace, steps, defaults={"rate": 0.5, "must": None}, given=given)
    assert str(caught.value) == message


ENV = {"keyToEnv": [{"secretKey": "accesskey", "envVar": "KEY"}]}


def test_a_secret_reaches_the_step_as_its_environment(workspace: Workspace) -> None:
    folder = workspace.root / "kubeflow" / "secrets" / "keys"
    folder.mkdir(parents=True)
    (folder / "accesskey").write_text("opensesame")
    platform = {"secretAsEnv": [{"secretName": "keys", **ENV}]}
    record = run_steps(workspace, {"A": step("echo $KEY", platform=platform)})
    assert Path(record.executions["A"].logs[0]).read_text() == "opensesame\n"


@pytest.mark.parametrize("keys", [None, ["other"]])
def test_a_missing_secret_is_told_as_the_pod_would(
    workspace: Workspace, keys: list[str] | None
) -> None:
    secrets = workspace.root.resolve() / "kubeflow" / "secrets"
    for key in keys or []:
        (secrets / "keys").mkdir(parents=True)
        (secrets / "keys" / key).touch()
    platform = {"secretAsEnv": [{"secretName": "keys", **ENV}]}
    record = run_steps(workspace, {"A": step("true", platform=platform, retries=3)})
    missing = "couldn't find key accesskey in Secret keys" if keys else 'secret "keys" not found'
    assert record.executions["A"].errors == [
        f"CreateContainerConfigError: {missing}. For the stand-in, write the value into the file "
        f"{secrets}/keys/accesskey"
    ]
    assert record.executions["A"].attempts == 0


def test_a_missing_claim_is_told_as_the_scheduler_would(workspace: Workspace) -> None:
    platform = {"pvcMount": [{"constant": "other", "mountPath": "/workspace"}]}
    record = run_steps(workspace, {"A": step("true", platform=platform)})
    assert record.executions["A"].errors == [
        'FailedScheduling: persistentvolumeclaim "other" not found. '
        "The stand-in has: signs-workspace"
    ]


def test_a_claim_is_the_workspace(workspace: Workspace) -> None:
    platform = {"pvcMount": [{"constant": "signs-workspace", "mountPath": "/workspace"}]}
    record = run_steps(
        workspace, {"A": step("mkdir -p /workspace/serving/signs/1", platform=platform)}
    )
    assert record.state == "COMPLETE"
    assert (workspace.root / "serving" / "signs" / "1").is_dir()


# The output file lies beside the outputs.
REPORT = "printf '%s' '{}' > $(dirname {{$.outputs.artifacts['model'].path}})/output_metadata.json"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ('{"artifacts": {}, "extra": 1}', 'has no field named "extra"'),
        ('{"artifacts"', "failed to unmarshall ExecutorOutput in file"),
        ("[]", "the file must hold an object"),
        ('{"parameterValues": {}, "parameter_values": {}}', "duplicate field"),
        ("", "failed to unmarshall ExecutorOutput in file"),
        ('{"parameterValues": {"x": NaN}}', "NaN is no JSON"),
        (
            '{"artifacts": {"model": {"artifacts": [{"name": "m", "labels": {}}]}}}',
            'has no field named "labels"',
        ),
        (
            '{"artifacts": {"model": {"artifacts": [{"metadata": {"a": null}}]}}}',
            'property "a" has unknown/unsupported value type null_value',
        ),
        (
            '{"artifacts": {"model": {"artifacts": [{"uri": "minio://other/model"}]}}}',
            'URI "minio://other/model" does not have expected bucket prefix',
        ),
    ],
)
def test_what_comes_back_is_read_as_strictly_as_the_launcher_does(
    workspace: Workspace, output: str, message: str
) -> None:
    record = run_steps(workspace, {"A": step(REPORT.replace("{}", output), outputs=("model",))})
    assert states(record) == {"A": "FAILED"}
    assert message in record.executions["A"].errors[0]


def test_what_is_reported_of_an_artifact_reaches_the_next_step(workspace: Workspace) -> None:
    reported = (
        '{"artifacts": {"model": {"artifacts": [{"name": "mine", "metadata": '
        '{"blessed": 1, "yes": true, "of": ["a"], "how": {"b": 2}, "words": "minio://b/x"}}]}}}'
    )
    record = run_steps(
        workspace,
        {
            "A": step(REPORT.replace("{}", reported), outputs=("model",)),
            "B": step(
                MAKE + 'printf "%s" "$1" > input.json',
                inputs={"it": ("A", "model")},
                outputs=("model",),
            ),
        },
    )
    made = json.loads(text_of(workspace, record, "B", "input.json"))
    metadata = made["inputs"]["artifacts"]["it"]["artifacts"][0]["metadata"]
    assert metadata["yes"] is not True  # a number, as ML Metadata has no other
    assert {key: metadata[key] for key in ("blessed", "yes", "of", "how", "words")} == {
        "blessed": 1, "yes": 1, "of": {"list": ["a"]}, "how": {"struct": {"b": 2}},
        "words": "minio://b/x",
    }  # fmt: skip


def test_a_full_disk_fails_the_step_and_leaves_no_part_of_an_object(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        Path(target).write_text("half")
        raise OSError(28, "No space left on device", str(target))

    script = MAKE + "echo 1 > file"
    with monkeypatch.context() as patch:
        patch.setattr("kubeflow.standin.store.shutil.copyfile", full)
        record = run_steps(workspace, {"A": step(script, outputs=("model",))})
    assert states(record) == {"A": "FAILED"}
    assert "No space left on device" in record.executions["A"].errors[0]
    store = workspace.root / "kubeflow" / "store"
    assert [path for path in store.rglob("*") if path.is_file()] == []


def test_a_failed_run_is_gone_on_with_where_it_failed(workspace: Workspace) -> None:
    made = workspace.root / "made"
    steps = {
        "A": step(f"echo A >> {made}"),
        "B": step(f"test -e {workspace.root}/now; echo B >> {made}", after=("A",)),
        "C": step(f"echo C >> {made}", after=("B",)),
    }
    failed = run_steps(workspace, steps)
    assert states(failed) == {"A": "COMPLETE", "B": "FAILED"}
    (workspace.root / "now").touch()
    done = run_steps(workspace, steps, run_id=failed.id)
    assert (done.id, done.state) == (failed.id, "COMPLETE")
    assert made.read_text().split() == ["A", "B", "C"]


def test_a_run_is_not_gone_on_with_by_another_pipeline(workspace: Workspace) -> None:
    first = run_steps(workspace, {"A": step("true")})
    with pytest.raises(StandinError, match="was begun with another pipeline or other parameters"):
        run_steps(workspace, {"A": step("false")}, run_id=first.id)


def test_a_run_that_is_killed_leaves_nothing_that_hinders_the_next(workspace: Workspace) -> None:
    path = write(
        workspace.root / "pipeline.yaml",
        {
            "A": step("true"),
            "B": step(
                f"echo $$ > {workspace.root}/pid; test -e {workspace.root}/now || sleep 300",
                after=("A",),
            ),
        },
    )
    program = (
        "import sys; from pathlib import Path; from kubeflow.standin.runner import run; "
        "from pipeline.environment import Workspace; "
        "run(Path(sys.argv[1]), Workspace(Path(sys.argv[2])), run_id='it')"
    )
    with subprocess.Popen([sys.executable, "-c", program, path, workspace.root]) as victim:
        pid = workspace.root / "pid"
        while not (pid.exists() and pid.read_text()):
            assert victim.poll() is None
            time.sleep(0.05)
        with pytest.raises(StandinError, match="another run is at work"):
            run(path, workspace)
        victim.kill()
    record = workspace.root / "kubeflow" / "runs" / "it" / RECORD
    assert json.loads(record.read_text())["executions"]["B"]["state"] == "RUNNING"
    for _ in range(100):
        if not Path(f"/proc/{int(pid.read_text())}").exists():
            break
        time.sleep(0.05)
    else:
        pytest.fail("the killed run's step still runs")
    (workspace.root / "now").touch()
    done = run(path, workspace, run_id="it")
    assert states(done) == {"A": "COMPLETE", "B": "COMPLETE"}


def test_a_cluster_may_be_another_one(workspace: Workspace, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    cluster = Cluster(claims={"mine": volume}, secrets=tmp_path / "none")
    platform = {"pvcMount": [{"constant": "mine", "mountPath": "/data"}]}
    run_steps(workspace, {"A": step("mkdir -p /data/x", platform=platform)}, cluster=cluster)
    assert (volume / "x").is_dir()
    assert set(standin_cluster(workspace).claims) == {"signs-workspace"}


def test_a_damaged_record_is_named(workspace: Workspace) -> None:
    first = run_steps(workspace, {"A": step("true")})
    path = workspace.root.resolve() / "kubeflow" / "runs" / first.id / RECORD
    path.write_text(path.read_text()[:100])
    with pytest.raises(UserError) as caught:
        run_steps(workspace, {"A": step("true")})
    assert str(caught.value).startswith(f"{path} cannot be read (")
    assert str(caught.value).endswith(f"delete {path.parent}, whose steps will run anew")


def test_a_cluster_that_tries_only_deleted_pods_again_tries_nothing(workspace: Workspace) -> None:
    volume = {"signs-workspace": workspace.root}
    for policy, attempts in (("OnError", 1), ("Always", 3)):
        cluster = Cluster(volume, workspace.root / "secrets", retry_policy=policy)
        record = run_steps(workspace, {"A": step("exit 1", retries=2)}, cluster=cluster)
        assert record.executions["A"].attempts == attempts


def test_a_cluster_of_its_own_starts_the_containers(workspace: Workspace) -> None:
    """It is told what KFP would tell: the container's paths, and where they lie here."""
    seen: list[Container] = []

    def start(container: Container) -> "subprocess.Popen[bytes]":
        seen.append(container)
        return start_here(container)

    cluster = dataclasses.replace(standin_cluster(workspace), start=start)
    steps = {"A": step(MAKE + "echo 1 > x", outputs=("model",), retries=1)}
    record = run_steps(workspace, steps, cluster=cluster)
    assert record.state == "COMPLETE"
    [container] = seen
    assert container.task.name == "A"
    assert "mkdir -p /minio/mlpipeline/" in container.command[2]
    assert container.environment == {"KFP_RETRY_INDEX": "0"}
    assert container.mounts.places["/minio"].is_relative_to(container.folder)
