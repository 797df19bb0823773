"""Refuses what open-source KFP v2 cannot run of a TFX pipeline, by the name of the node.

KFP would take most of it, and fail in the middle of a run. Sources: KFP's
backend/src/v2/compiler/visitor.go (executors other than containers and importers),
driver/container.go; Argo's workflow/validate (names).
"""

import json
import re
from collections.abc import Iterable, Iterator

from tfx.components import FileBasedExampleGen, InfraValidator
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_driver import BaseDriver
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.dsl.components.common.importer import SOURCE_URI_KEY, Importer
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.experimental.conditionals.conditional import get_predicates
from tfx.dsl.placeholder.placeholder import Placeholder
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.pipeline import Pipeline

from kubeflow.object_store import IN_WORDS, is_address
from signs.errors import UserError

IMAGE = "image"  # the parameter that every step's container takes its image from

_PIPELINE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # 63 is TFX's limit
_PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NODE_ID = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]*")
_DRIVER = "-driver"  # KFP's argocompiler/dag.go puts a task of this name beside each step
_MAX_NODE_ID = 128 - len(_DRIVER)  # characters: Argo's limit on the names of tasks
# Linux takes 131,072 bytes in one argument of a program: KFP hands a step's parameters over in one,
# as JSON, with the addresses of the artifacts.
_MAX_PARAMETERS = 100_000  # characters of JSON
# On the way to the step Argo replaces the first of these; Kubernetes the others, in any argument.
_REPLACED = ("{{", "$(", "$$")


class CompileError(UserError):
    """Open-source Kubeflow Pipelines cannot run the pipeline."""


def check_name(name: str) -> None:
    """Checks the name of a pipeline, which is the data set's.

    Raises:
        CompileError: KFP or TFX does not take it.
    """
    if not _PIPELINE_NAME.fullmatch(name):
        raise CompileError(
            "a pipeline's name must be at most 63 lower-case letters, digits and dashes, and end "
            f"in no dash. Received: {name!r}; choose another with --name"
        )


def check_pipeline(pipeline: Pipeline) -> None:
    """Checks a pipeline before it is compiled.

    Raises:
        CompileError: one line for each thing that KFP cannot run, with the node's name.
    """
    check_name(pipeline.pipeline_info.pipeline_name)
    wrong = [*_wrong_with_pipeline(pipeline)]
    ids = {node.id for node in pipeline.components}
    for node in pipeline.components:
        wrong += [f"{node.id}: {reason}" for reason in _wrong_with_name(node.id, ids)]
        wrong += [f"{node.id}: {reason}" for reason in _wrong_with_node(node, pipeline)]
    if wrong:
        raise CompileError("Kubeflow Pipelines cannot run this pipeline:\n  " + "\n  ".join(wrong))


def runtime_parameters(nodes: Iterable[BaseNode]) -> dict[str, RuntimeParameter]:
    """The parameters that each run may give anew, by name."""
    return {
        value.name: value
        for node in nodes
        for value in node.exec_properties.values()
        if isinstance(value, RuntimeParameter)
    }


def _wrong_with_pipeline(pipeline: Pipeline) -> Iterator[str]:
    root = pipeline.pipeline_info.pipeline_root
    if not is_address(str(root)):
        yield (
            f"steps share no file system: the pipeline root must be a bucket, {IN_WORDS}. "
            f"Received: {root!r}"
        )
    for name, parameter in runtime_parameters(pipeline.components).items():
        if name == IMAGE or not _PARAMETER_NAME.fullmatch(name):
            yield (
                f"the runtime parameter {name!r} must be named otherwise: letters, digits and "
                f"underscores, and not {IMAGE!r}, which is the compiler's"
            )
        for node in pipeline.components:
            other = runtime_parameters([node]).get(name, parameter)
            if (other.default, other.ptype) != (parameter.default, parameter.ptype):
                yield (
                    f"the runtime parameter {name!r} has two meanings, with the defaults "
                    f"{other.default!r} ({node.id}) and {parameter.default!r}"
                )


def _wrong_with_name(name: str, names: set[str]) -> Iterator[str]:
    if not _NODE_ID.fullmatch(name):
        yield "a node's id must be letters, digits and dashes, the first no dash (Argo's rule)"
    if len(name) > _MAX_NODE_ID:
        yield f"a node's id has at most {_MAX_NODE_ID} characters (Argo's limit): has {len(name)}"
    if name == "root" or name + _DRIVER in names:
        yield f"KFP uses root and *{_DRIVER} itself: choose another id"


def _wrong_with_node(node: BaseNode, pipeline: Pipeline) -> Iterator[str]:
    if isinstance(node, Resolver):
        yield (
            "is a Resolver, and KFP has no executor for it; use components.newest_pushed, which "
            "finds the newest pushed model in the serving volume"
        )
    elif isinstance(node, Importer):
        yield from _wrong_with_importer(node, pipeline)
    elif isinstance(node, InfraValidator):
        yield (
            "is an InfraValidator, which TFX does not compile for KFP; use components."
            "serving_check, which starts the model server in the step's own container"
        )
    elif not isinstance(node, BaseComponent):
        yield f"is a {type(node).__name__}, and KFP runs only components and importers"
    else:
        yield from _wrong_with_component(node)


def _wrong_with_importer(node: Importer, pipeline: Pipeline) -> Iterator[str]:
    uri = node.exec_properties[SOURCE_URI_KEY]
    if not isinstance(uri, RuntimeParameter) and not is_address(str(uri)):
        yield (
            f"imports what other steps cannot reach: put it into a bucket, {IN_WORDS}. "
            f"Received: {uri!r}"
        )
    if get_predicates(node, pipeline.dsl_context_registry):
        yield "an importer under a condition always runs on KFP: move it out of the condition"


def _wrong_with_component(node: BaseComponent) -> Iterator[str]:
    if not isinstance(node.executor_spec, ExecutorClassSpec):
        yield (
            f"runs a {type(node.executor_spec).__name__}: only Python executors run under "
            "kubeflow.step.entrypoint, in the pipeline's own image"
        )
    if node.driver_class is not BaseDriver and not isinstance(node, FileBasedExampleGen):
        yield f"has a driver of its own, {node.driver_class.__name__}, which KFP never calls"
    for name, value in node.exec_properties.items():
        if isinstance(value, Placeholder):
            yield f"{name} is only known at run time (dynamic), which KFP does not resolve for TFX"
        elif name == "module_file" and value is not None:
            yield (
                f"module_file={value!r} is a file that the step cannot reach: name the function by "
                "its dotted path in the image, as in run_fn='modules.trainer.run_fn'"
            )
        elif not isinstance(value, RuntimeParameter) and RuntimeParameter.__name__ in str(value):
            yield f"{name} holds a RuntimeParameter inside a value, where KFP does not replace it"
        text = str(value.default if isinstance(value, RuntimeParameter) else value)
        for mark in _REPLACED:
            if mark in text:
                yield f"{name} holds {mark!r}, which the cluster replaces: rename what has it"
    size = sum(len(json.dumps(str(value))) for value in node.exec_properties.values())
    if size > _MAX_PARAMETERS:
        yield (
            f"its parameters have {size:,} characters, and Linux starts no program with more than "
            f"{_MAX_PARAMETERS:,} in one argument: use fewer or shorter names of classes"
        )
