"""What KFP hands to a step and takes back, in a form that two runs and two programs share.

    python -m tests.kubeflow.backend.observe PROGRAMS

writes it to observed.json beside this file, from the programs of one version of KFP (backend.py)
and the S3 server (tests/s3).
What is there now is from KFP's master at 7b70c7b95f68, of 22 August 2026, after 2.17.0. A step
under a condition and an output parameter, which no pipeline of ours has, were taken out of the
pipelines and of the file by hand since; nothing else was changed.
"""

import copy
import json
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.kubeflow.backend.argo import Outcome
from tests.kubeflow.backend.backend import Backend

FOLDER = Path(__file__).parent
OBSERVED = FOLDER / "observed.json"
ROOT = "minio://mlpipeline/v2/artifacts"
SECRETS = {"keys": {"password": "secret"}}
# Written by a step as its ExecutorOutput. URI becomes the address of its output `thing`.
WRITTEN = {
    "empty file": "",
    "empty object": "{}",
    "no json": "thing",
    "null": "null",
    "list": "[]",
    "after the end": "{} {}",
    "byte order mark": "\ufeff{}",
    "comment": "{} // done",
    "comma": '{"artifacts": {},}',
    "unknown field": '{"unknown": 1}',
    "unknown field below": '{"artifacts": {"thing": {"artifacts": [{"unknown": 1}]}}}',
    "double key": '{"artifacts": {}, "artifacts": {}}',
    "both names": '{"parameterValues": {}, "parameter_values": {}}',
    "snake case": '{"parameter_values": {"result": 2}}',
    "camel case": '{"parameterValues": {"result": 2}}',
    "old parameters": '{"parameters": {"result": {"doubleValue": 2}}}',
    "not a number": '{"parameterValues": {"result": NaN}}',
    "unknown parameter": '{"parameterValues": {"another": 2}}',
    "parameter of another type": '{"parameterValues": {"result": "two"}}',
    "no artifacts": '{"artifacts": {"thing": {"artifacts": []}}}',
    "no list": '{"artifacts": {"thing": {}}}',
    "unknown artifact": '{"artifacts": {"other": {"artifacts": [{"uri": "URI"}]}}}',
    "same address": '{"artifacts": {"thing": {"artifacts": [{"uri": "URI"}]}}}',
    "address below": '{"artifacts": {"thing": {"artifacts": [{"uri": "URI/more"}]}}}',
    "another bucket": '{"artifacts": {"thing": {"artifacts": [{"uri": "minio://other/x"}]}}}',
    "another store": '{"artifacts": {"thing": {"artifacts": [{"uri": "s3://mlpipeline/x"}]}}}',
    "local path": '{"artifacts": {"thing": {"artifacts": [{"uri": "/minio/mlpipeline/x"}]}}}',
    "another name and type": (
        '{"artifacts": {"thing": {"artifacts": [{"name": "n", "type": {"schemaTitle": "x.Y"}}]}}}'
    ),
    "empty custom path": '{"artifacts": {"thing": {"artifacts": [{"customPath": ""}]}}}',
    "metadata null": '{"artifacts": {"thing": {"artifacts": [{"metadata": {"a": null}}]}}}',
    "metadata": (
        '{"artifacts": {"thing": {"artifacts": '
        '[{"metadata": {"a": "x", "b": 2, "c": 0.5, "d": false, "e": [1], "f": {"g": 1}}}]}}}'
    ),
    "metadata no object": '{"artifacts": {"thing": {"artifacts": [{"metadata": 3}]}}}',
    "number as text": '{"artifacts": {"thing": {"artifacts": [{"uri": 3}]}}}',
}
_RECORD = """
import json, sys
from pathlib import Path
label, seen, *words = sys.argv[1:]
given = [json.loads(word) for word in words if word.startswith('{"inputs"')]
rest = [word for word in words if not word.startswith('{"inputs"')]
Path(seen).mkdir(parents=True, exist_ok=True)
Path(seen, label + ".json").write_text(json.dumps({"executor_input": given[0], "words": rest}))
"""
_CHANGING = {
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}": "<uuid>",
    r"127\.0\.0\.1:\d+": "<store>",
    r"(?<=/)run-\d+(?=[/\"])": "<run>",
    "\u00a0": " ",  # protobuf's errors have one or the other, by a hash of the program
}


def observe_example(backend: Backend, workspace: Path) -> dict[str, Any]:
    """Runs example.yaml twice: what each attempt was handed, and how each step ended."""
    runs = []
    for name in ("example-1", "example-2"):
        outcome = backend.run(backend.compile(FOLDER / "example.yaml", {}, ROOT), name)
        for log in outcome.failed_drivers:
            raise RuntimeError(f"{log}: {error(log.read_text())}")
        runs.append({"steps": _steps(outcome), "seen": seen(workspace)})
    return {"runs": runs, "store": stored(backend.store)}


def recording(pipeline: Mapping[str, Any], seen: str) -> dict[str, Any]:
    """The same pipeline with steps that only write what they are handed, to `seen`/STEP.json.

    Args:
        pipeline: a PipelineSpec whose steps take `{{$}}` as an argument.
        seen: a folder.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(pipeline))
    for label, executor in changed["deploymentSpec"]["executors"].items():
        container = executor["container"]
        container["command"] = ["python3", "-c", _RECORD, label, seen, *container["command"]]
    return changed


def observe_written(backend: Backend) -> dict[str, Any]:
    """How a step ends that writes each of `WRITTEN`: "accepted", or the launcher's last error."""
    ends = {}
    for number, (name, text) in enumerate(WRITTEN.items()):
        workflow = backend.compile(FOLDER / "write.yaml", {"written": text}, ROOT)
        outcome = backend.run(workflow, f"write-{number}")
        (attempt,) = outcome.of("Write")
        ends[name] = "accepted" if attempt.status == 0 else error(attempt.log.read_text())
    return ends


def seen(workspace: Path) -> dict[str, Any]:
    """What the steps of example.yaml wrote of what they were handed; it is removed."""
    records = {}
    for file in sorted((workspace / "seen").glob("*.json")):
        records[file.stem] = normal(json.loads(file.read_text()))
        file.unlink()
    return records


def stored(store: Path) -> list[str]:
    """The objects of the store."""
    return sorted(
        {normal(str(file.relative_to(store))) for file in store.rglob("*") if file.is_file()}
    )


def normal(value: Any) -> Any:
    """The same value without what differs from run to run: identities, numbers and places."""
    if isinstance(value, str):
        for pattern, name in _CHANGING.items():
            value = re.sub(pattern, name, value)
        return value
    if isinstance(value, list):
        return [normal(each) for each in value]
    if isinstance(value, dict):
        return {key: _named(key, normal(each)) for key, each in value.items()}
    return value


def _named(key: str, value: Any) -> Any:
    """Numbers of artifacts go by the order of a Go map; a session is where the store is."""
    if key == "name" and str(value).isdigit():
        return "<id>"
    return "<session>" if key == "store_session_info" else value


def error(log: str) -> str:
    """The error that ended the launcher, without its place in a source file."""
    line = next(line for line in reversed(log.splitlines()) if re.match(r"[EF]\d{4} ", line))
    return str(normal(line.split("] ", 1)[1]))


def _steps(outcome: Outcome) -> dict[str, str]:
    """How each step ended, and `Cached` for one that was not needed."""
    steps = {}
    for path, state in outcome.nodes.items():
        _, *between, name = path.split("/")
        if between == ["root"] and not name.endswith("-driver"):
            cached = outcome.nodes.get(f"{path}/executor") == "Skipped"
            steps[name] = "Cached" if cached else state
    return steps


def observe(programs: Path) -> Mapping[str, Any]:
    """Everything, from the programs of one version of KFP."""
    with tempfile.TemporaryDirectory() as name:
        workspace = Path(name) / "workspace"
        with Backend(
            programs, Path(name) / "backend", claims={"signs-workspace": workspace}, secrets=SECRETS
        ) as backend:
            return {
                "example": observe_example(backend, workspace),
                "written": observe_written(backend),
            }


if __name__ == "__main__":
    OBSERVED.write_text(json.dumps(observe(Path(sys.argv[1])), indent=1, ensure_ascii=False) + "\n")
