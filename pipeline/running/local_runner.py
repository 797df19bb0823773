"""Runs the DAG on this machine: TFX's nodes one after the other, their data work on Beam.

Pipeline -> intermediate representation -> each node: cached outputs, or its executor -> NodeResult

It does what TFX's LocalDagRunner does, and tells who runs it of each node: whether its results were
reused, how long it took, and what it made.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher, runtime_parameter_utils
from tfx.orchestration.portable.beam_executor_operator import BeamExecutorOperator
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.proto.orchestration import (
    executable_spec_pb2,
    local_deployment_config_pb2,
    pipeline_pb2,
)
from tfx.types import Artifact

from components import baseline

# Pushing is cheap and does nothing where the model is already the newest version: run each time,
# it also mends a serving folder that was deleted.
_NEVER_REUSED = ("Pusher",)


@dataclass(frozen=True)
class NodeResult:
    """What one node did."""

    id: str
    reused: bool  # an earlier run's outputs stand for it
    seconds: float
    outputs: Mapping[str, list[Artifact]]
    passed_over: tuple[str, ...] = ()  # by a resolver: which models were not taken, and why


class ComponentFailedError(RuntimeError):
    """A component raised; its error is the cause."""

    def __init__(self, component: str, cause: BaseException) -> None:
        super().__init__(f"{component} failed: {cause}")
        self.component = component


def run_pipeline(
    pipeline: Pipeline,
    run_id: str,
    *,
    engine: Sequence[str] = (),
    on_plan: Callable[[list[str]], None] = lambda ids: None,
    on_start: Callable[[str], None] = lambda id: None,
    on_end: Callable[[NodeResult], None] = lambda result: None,
    on_fail: Callable[[str, Exception], None] = lambda id, error: None,
) -> dict[str, NodeResult]:
    """Runs every node of a pipeline, in topological order.

    Args:
        pipeline: what `create_pipeline` returned for an environment with a metadata file.
        run_id: unique name of the run in the metadata.
        engine: Beam's options, in the place of those that the pipeline has.
        on_plan: called once, with the ids of the nodes in the order in which they will run.
        on_start: called before each node, with its id.
        on_end: called after each node that succeeded.
        on_fail: called after the node that failed, with its id and error.

    Returns:
        What each node did, by id.

    Raises:
        ComponentFailedError: a node failed; those after it did not run.
    """
    representation = compiler.Compiler().compile(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(
        representation, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
    )
    deployment = runner_utils.extract_local_deployment_config(representation)
    which = deployment.metadata_connection_config.WhichOneof("connection_config")
    connection = getattr(deployment.metadata_connection_config, which)
    nodes = [node.pipeline_node for node in representation.nodes]
    on_plan([node.node_info.id for node in nodes])
    results = {}
    for node in nodes:
        node_id = node.node_info.id
        on_start(node_id)
        if node_id in _NEVER_REUSED:
            node.execution_options.caching_options.enable_cache = False
        try:
            result = _run_node(node, representation, deployment, connection, engine)
        except Exception as err:
            on_fail(node_id, err)
            raise ComponentFailedError(node_id, err) from err
        results[node_id] = result
        on_end(result)
    return results


def _run_node(
    node: pipeline_pb2.PipelineNode,
    representation: pipeline_pb2.Pipeline,
    deployment: local_deployment_config_pb2.LocalDeploymentConfig,
    connection: metadata_store_pb2.ConnectionConfig,
    engine: Sequence[str],
) -> NodeResult:
    begun = time.monotonic()
    node_id = node.node_info.id
    with _heard(baseline.LOGGER) as passed_over:
        execution_info = launcher.Launcher(
            pipeline_node=node,
            mlmd_connection=metadata.Metadata(connection),
            pipeline_info=representation.pipeline_info,
            pipeline_runtime_spec=representation.runtime_spec,
            executor_spec=runner_utils.extract_executor_spec(deployment, node_id),
            custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
            custom_executor_operators={executable_spec_pb2.BeamExecutableSpec: partial(_on, engine)}
            if engine
            else None,
        ).launch()
    with metadata.Metadata(connection) as handle:
        [execution] = handle.store.get_executions_by_id([execution_info.execution_id])
        outputs = execution_lib.get_output_artifacts(handle, execution.id)
    if not execution_lib.is_execution_successful(execution):
        # The launcher does not raise where the inputs cannot be resolved.
        message = execution.custom_properties["__execution_result__"].string_value
        raise RuntimeError(f"its inputs could not be resolved. {message}".strip())
    # A resolver makes nothing of its own: its state in the metadata is always CACHED.
    reused = execution.last_known_state == execution.CACHED and bool(node.outputs.outputs)
    return NodeResult(
        node_id,
        reused=reused and not node.node_info.type.name.endswith("Resolver"),
        seconds=time.monotonic() - begun,
        outputs=outputs,
        passed_over=tuple(passed_over),
    )


def _on(
    engine: Sequence[str], executor_spec: executable_spec_pb2.BeamExecutableSpec, **given: object
) -> BeamExecutorOperator:
    """What executes a Beam node, elsewhere than its spec says: TFX's cache key has that spec."""
    elsewhere = executable_spec_pb2.BeamExecutableSpec()
    elsewhere.CopyFrom(executor_spec)
    del elsewhere.beam_pipeline_args_placeholders[:]
    for option in engine:
        elsewhere.beam_pipeline_args_placeholders.add().value.string_value = option
    return BeamExecutorOperator(elsewhere, **given)


@contextmanager
def _heard(logger: logging.Logger) -> Iterator[list[str]]:
    """What is logged meanwhile: TFX gives a resolver no other way to tell more than its choice."""
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        yield heard
    finally:
        logger.removeHandler(handler)
