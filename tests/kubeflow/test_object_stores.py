"""Artifacts through a real object store: KFP's launcher on an S3 server, beside the stand-in.

No step of ours speaks to an object store: the launcher fills the mounts that a step sees, and
empties them. So it is the launcher that is asked here, with steps that find their artifacts as ours
do; what it makes of a store's errors and outages, and what then becomes of a run.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubeflow.backend import observe, trees
from tests.kubeflow.backend.argo import Outcome
from tests.kubeflow.backend.backend import Backend
from tests.kubeflow.backend.standin import Standin

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

_THING = {"artifactType": {"instanceSchema": "title: tfx.Thing\ntype: object\n"}}
_IMAGE = "example@sha256:" + "0" * 64
_WAIT_S = 120.0
_EMPTY = hashlib.sha256().hexdigest()


def pipeline(path: Path, kind: str, seen: str = "/seen") -> Path:
    """Write -> thing -> Read."""
    module = ["python3", "-m", "tests.kubeflow.backend.trees"]
    thing = {"taskOutputArtifact": {"producerTask": "Write", "outputArtifactKey": "thing"}}
    steps: dict[str, Any] = {
        "Write": ([*module, "write", kind, seen], {"cachingOptions": {"enableCache": True}}),
        "Read": (
            [*module, "read", seen],
            {"dependentTasks": ["Write"], "inputs": {"artifacts": {"thing": thing}}},
        ),
    }
    document = {
        "pipelineInfo": {"name": "stored"},
        "schemaVersion": "2.1.0",
        "sdkVersion": "signs-test",
        "root": {
            "dag": {
                "tasks": {
                    name: {
                        "taskInfo": {"name": name},
                        "componentRef": {"name": f"comp-{name.lower()}"},
                        **task,
                    }
                    for name, (_, task) in steps.items()
                }
            }
        },
        "components": {
            "comp-write": {
                "executorLabel": "write",
                "outputDefinitions": {"artifacts": {"thing": _THING}},
            },
            "comp-read": {
                "executorLabel": "read",
                "inputDefinitions": {"artifacts": {"thing": _THING}},
            },
        },
        "deploymentSpec": {
            "executors": {
                name.lower(): {
                    "container": {"image": _IMAGE, "command": command, "args": ["{{$}}"]}
                }
                for name, (command, _) in steps.items()
            }
        },
    }
    path.write_text(yaml.safe_dump(document))
    return path


class Cluster:
    """KFP's programs, what their steps tell, and a pipeline whose steps are tried four times."""

    def __init__(self, backend: Backend, folder: Path) -> None:
        self.backend, self._folder, self.seen = backend, folder, folder / "seen-kfp"
        self._runs = 0

    def run(self, kind: str, root: str = observe.ROOT) -> Outcome:
        self._runs += 1
        workflow = self.backend.compile(pipeline(self._folder / "pipeline.yaml", kind), {}, root)
        for template in workflow["spec"]["templates"]:
            if "podSpecPatch" in template:  # an older KFP compiles no retries
                template["retryStrategy"] = {"limit": "3"}
        return self.backend.run(workflow, f"run-{self._runs}")

    def read(self) -> list[dict[str, Any]]:
        """What each reader found."""
        return [json.loads(file.read_text()) for file in sorted(self.seen.glob("read-*.json"))]

    def stored(self) -> list[Path]:
        """The files of the artifact in the bucket."""
        return [path for path in self.backend.store.rglob("thing/**/*") if path.is_file()]


@pytest.fixture
def cluster(backend: Backend, tmp_path: Path) -> Cluster:
    return Cluster(backend, tmp_path)


def made(kind: str, folder: Path) -> dict[str, Any]:
    """What a writer makes, as it is when it comes back: without empty folders."""
    getattr(trees, kind)(folder)
    return {name: digest for name, digest in trees.content(folder).items() if digest}


@contextmanager
def meanwhile(action: Callable[[], None]) -> Iterator[None]:
    """Does something beside the block, and raises what it raises."""
    raised: list[BaseException] = []

    def act() -> None:
        try:
            action()
        except BaseException as err:
            raised.append(err)

    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert not raised, raised


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + _WAIT_S
    while not what():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.01)


def ends(outcome: Outcome, step: str) -> list[bool]:
    """Whether each attempt at a step ended well."""
    return [attempt.status == 0 for attempt in outcome.of(step)]


@pytest.mark.parametrize("kind", ["odd", "many", "big", "nothing"])
def test_what_is_written_is_read_as_the_stand_in_has_it(
    kind: str, cluster: Cluster, standin: Standin, tmp_path: Path
) -> None:
    outcome = cluster.run(kind)
    assert (ends(outcome, "Write"), ends(outcome, "Read")) == ([True], [True]), outcome
    (tmp_path / "seen-standin").mkdir()
    standin.run(pipeline(tmp_path / "standin.yaml", kind), 1)
    (told,) = (tmp_path / "seen-standin").glob("read-*.json")
    assert cluster.read() == [made(kind, tmp_path / "made")] == [json.loads(told.read_text())]


def test_an_outage_in_an_upload_is_a_failed_attempt_and_the_next_one_is_whole(
    cluster: Cluster, tmp_path: Path
) -> None:
    half: list[int] = []

    def fail() -> None:
        wait_for(lambda: len(cluster.stored()) > 10)
        cluster.backend.s3.kill()
        half.append(len(cluster.stored()))
        wait_for(lambda: (cluster.seen / "attempts").stat().st_size > 1)
        cluster.backend.s3.start()
        (cluster.seen / "go-on").touch()

    with meanwhile(fail):
        outcome = cluster.run("many")
    assert half[0] < trees.MANY
    assert (ends(outcome, "Write"), ends(outcome, "Read")) == ([False, True], [True])
    assert "connection refused" in outcome.of("Write")[0].log.read_text()
    assert cluster.read() == [made("many", tmp_path / "made")]


def test_an_outage_in_the_parts_of_a_file_leaves_none_of_it(cluster: Cluster) -> None:
    bucket = cluster.backend.store / "mlpipeline"
    arrived: list[int] = []

    def fail() -> None:
        wait_for(lambda: size(bucket) > 20 << 20)
        cluster.backend.s3.kill()
        arrived.append(size(bucket))
        (cluster.seen / "go-on").touch()

    with meanwhile(fail):
        outcome = cluster.run("big")
    assert arrived[0] < trees.BIG_MIB << 20
    assert ends(outcome, "Write") == [False] * 4
    assert outcome.of("Read") == [] == cluster.stored()
    cluster.backend.s3.start()
    outcome = cluster.run("many")  # what is left of it is in nobody's way
    assert (ends(outcome, "Write"), ends(outcome, "Read")) == ([True], [True])


def test_an_outage_in_a_download_is_a_failed_attempt_that_starts_no_step(
    cluster: Cluster, tmp_path: Path
) -> None:
    steps = tmp_path / "backend/run-1"

    def fail() -> None:
        wait_for(lambda: any(steps.rglob("Read/executor/log-0")))
        pod = max((tmp_path / "backend/pods").iterdir(), key=lambda one: int(one.name))
        wait_for(lambda: len(files(pod / "empty/minio")) > 10)
        cluster.backend.s3.kill()
        assert not cluster.read()
        wait_for(lambda: any(steps.rglob("Read/executor/log-1")))
        cluster.backend.s3.start()

    with meanwhile(fail):
        outcome = cluster.run("many")
    first, *_, last = ends(outcome, "Read")
    assert (first, last) == (False, True)
    assert "failed to download input artifact" in outcome.of("Read")[0].log.read_text()
    assert cluster.read() == [made("many", tmp_path / "made")]


def test_wrong_keys_fail_the_step_lose_nothing_and_stand_in_no_log(
    cluster: Cluster, tmp_path: Path
) -> None:
    (cluster.seen / "go-on").touch()
    cluster.run("odd")
    before = sorted(cluster.stored())
    right = cluster.backend.s3
    wrong = "wrong-" + "0123456789" * 3
    for access_key, error in (
        (right.access_key, "SignatureDoesNotMatch"),
        ("unknown", "No user exists with the provided access key"),
    ):
        cluster.backend.give_keys(access_key, wrong)
        outcome = cluster.run("odd")
        assert ends(outcome, "Read") == [False] * 4
        assert error in outcome.of("Read")[-1].log.read_text()
    assert sorted(cluster.stored()) == before
    cluster.backend.give_keys(right.access_key, right.secret_key)
    assert ends(cluster.run("odd"), "Read") == [True]
    for file in files(tmp_path / "backend"):
        text = file.read_bytes()
        assert wrong.encode() not in text, file
        assert right.secret_key.encode() not in text, file


def test_a_bucket_that_is_missing_fails_the_step(cluster: Cluster) -> None:
    (cluster.seen / "go-on").touch()
    outcome = cluster.run("odd", "minio://no-such-bucket/artifacts")
    assert ends(outcome, "Write") == [False] * 4
    assert "NoSuchBucket" in outcome.of("Write")[-1].log.read_text()


@pytest.mark.parametrize(
    ("kind", "mark", "read"),
    [
        ("nothing", "", {".": _EMPTY}),  # which `executor_input` takes for an empty input
        ("odd", "", None),
        ("odd", "/d", None),
    ],
)
def test_a_folders_mark_breaks_the_launcher_or_looks_like_a_file(
    kind: str, mark: str, read: dict[str, Any] | None, cluster: Cluster
) -> None:
    """kubeflow/pipelines 13476: an object `folder/` of no bytes, as consoles and tools make it."""
    (cluster.seen / "go-on").touch()
    cluster.run(kind)
    thing = (cluster.seen / "uri").read_text().removeprefix("minio://")
    cluster.backend.s3.client().create_dir(f"{thing}{mark}")
    outcome = cluster.run(kind)
    if read is None:
        assert ends(outcome, "Read") == [False] * 4
        assert "not a directory" in outcome.of("Read")[-1].log.read_text()
    else:
        assert cluster.read()[-1] == read


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in files(folder))
