"""The compiled pipeline with steps that end as they are told, in the place of what they do.

A step is told how each of its attempts ends: `exit N`, `memory` (more than it may have), `wait`
(until somebody ends it). Attempts after those succeed.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from kubeflow.compiling.compiler import compile_pipeline
from kubeflow.compiling.options import ClusterOptions
from pipeline.config import Data, PipelineConfig
from signs import features

_IMAGE = "ghcr.io/signs/pipeline@sha256:" + "0" * 64
_MEMORY_GB = 0.2
# What KFP 2.0.5's driver knows of a pod, of what is asked for.
_OF_OLD = {"pvcMount": ("constant", "mountPath"), "secretAsEnv": ("secretName", "keyToEnv")}
_STEP = """
import sys, time
from pathlib import Path
name, count, *plan = sys.argv[1:]
count = Path(count)
count.parent.mkdir(exist_ok=True)
number = int(count.read_text()) if count.exists() else 0
count.write_text(str(number + 1))
word, *rest = (plan[number] if number < len(plan) else "done").split()
print(name, number, word, *rest, flush=True)
if word == "exit":
    print(f"signs: {name} failed: told to", flush=True)
    sys.exit(int(rest[0]))
if word == "memory":
    held = b"x" * (1 << 30)
if word == "wait":
    count.with_suffix(".waits").touch()
    time.sleep(600)
"""


@dataclass(frozen=True)
class Told:
    """A pipeline whose steps do as they are told."""

    path: Path
    steps: tuple[str, ...]
    mark: str  # of this run, in the names of its files on the claim

    def waits(self, claim: Path, step: str) -> bool:
        """Whether a step has come to its `wait`."""
        return (claim / f"attempts/{self.mark}-{step}.waits").exists()


def told(
    path: Path,
    plans: Mapping[str, Sequence[str]],
    *,
    only: Collection[str] = (),
    is_retried: bool = True,
) -> Told:
    """Writes what `signs compile` writes, with such steps; waits of one second before a retry.

    Args:
        path: of the file.
        plans: of each step that has one, how its attempts end.
        only: the steps that it keeps, of those that need no other; all, where none are named.
        is_retried: whether steps have retries, of which KFP 2.0.5 knows nothing.
    """
    data = Data("signs", None, ("zero", "one"), dict.fromkeys(features.SPLITS, 4))
    options = ClusterOptions(image=_IMAGE, backoff_s=1, backoff_factor=1)
    spec, platform = yaml.safe_load_all(compile_pipeline(PipelineConfig(data), options))
    tasks, mark = spec["root"]["dag"]["tasks"], uuid.uuid4().hex[:8]
    for name in set(tasks) - set(only) if only else ():
        del tasks[name]
    if not is_retried:
        for task in tasks.values():
            del task["retryPolicy"]
    for label, executor in spec["deploymentSpec"]["executors"].items():
        name = label.removesuffix("_executor")
        container = executor["container"]
        container["command"] = ["python3", "-c", _STEP]
        container["args"] = [name, f"/workspace/attempts/{mark}-{name}", *plans.get(name, ())]
        container["resources"] = {"memoryLimit": _MEMORY_GB, "memoryRequest": _MEMORY_GB}
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for label, asked in executors.items():
        executors[label] = {
            kind: [{key: each[key] for key in keys} for each in asked[kind]]
            for kind, keys in _OF_OLD.items()
        }
    path.write_text(yaml.safe_dump_all([spec, platform]))
    return Told(path, tuple(tasks), mark)
