"""What the steps made, as TFX's artifacts on this machine: for those who read a run's results.

RunRecord, objects in the store -> NodeResult by task, as of a local run
"""

import json

from tfx.types import Artifact, standard_artifacts

from components.newest_pushed.executor import PASSED_OVER
from kubeflow.object_store import EXECUTOR_LOGS
from kubeflow.standin import records
from kubeflow.standin.store import Store, store_of
from pipeline.environment import Workspace
from pipeline.running.local_runner import NodeResult


def outcomes_of(record: records.RunRecord, workspace: Workspace) -> dict[str, NodeResult]:
    """What each task did that ran or was reused.

    Args:
        record: of a run that is over.
        workspace: whose store holds the outputs.

    Returns:
        Results by task. A Model without a file is left out: there was no baseline.
    """
    store = store_of(workspace)
    return {
        name: NodeResult(
            name,
            reused=execution.state == "CACHED",
            seconds=(execution.ended or execution.started) - execution.started,
            outputs={
                key: [_artifact(artifact, store)]
                for key, artifact in execution.artifacts.items()
                if key != EXECUTOR_LOGS and not _is_no_model(artifact, store)
            },
            passed_over=_passed_over(execution),
        )
        for name, execution in record.executions.items()
        if execution.state in ("COMPLETE", "CACHED")
    }


def _passed_over(execution: records.Execution) -> tuple[str, ...]:
    told = (artifact.metadata.get(PASSED_OVER) for artifact in execution.artifacts.values())
    return tuple(words for text in told if isinstance(text, str) for words in json.loads(text))


def _is_no_model(artifact: records.Artifact, store: Store) -> bool:
    return artifact.type == "tfx.Model" and not any(store.files(artifact.uri))


def _artifact(kept: records.Artifact, store: Store) -> Artifact:
    artifact = getattr(standard_artifacts, kept.type.removeprefix("tfx."))()
    artifact.id = kept.id
    artifact.uri = str(store.path(kept.uri))
    for name, value in kept.metadata.items():
        if name in (artifact.PROPERTIES or {}):
            setattr(artifact, name, value)
        elif isinstance(value, str):
            artifact.set_string_custom_property(name, value)
        elif isinstance(value, int):
            artifact.set_int_custom_property(name, value)
        elif isinstance(value, float):
            artifact.set_float_custom_property(name, value)
    return artifact
