"""A compiled pipeline, as `signs compile` writes it: read, and checked without any server.

pipeline.yaml (the PipelineSpec, then the PlatformSpec) -> PipelineFile -> parameters, steps, images

What is checked is what KFP's API server checks when it loads the file (`NewV2SpecTemplate` and
`validatePipelineJobInputs`, backend/src/apiserver/template/v2_template.go) and what kfp's client
wants (`_extract_pipeline_yaml`): a mistake is told before anything is sent.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from kubeflow.compiling.options import check_image
from kubeflow.compiling.platform import PlatformError, check_platform
from signs.errors import UserError

_SUFFIXES = (".yaml", ".yml")  # kfp's client refuses .json
# KFP puts a task's parameter in the place of this (backend/src/v2/driver/container.go).
_PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")
_LARGEST_INTEGER = 2**53 - 1  # a parameter travels as a double


@dataclass(frozen=True)
class Parameter:
    """What a run may be told: `kind` is `NUMBER_INTEGER`, `STRING`, ...; `default` may be None."""

    kind: str
    default: Any
    required: bool

    def parse(self, name: str, text: str) -> Any:
        """The value that `text` means.

        Raises:
            UserError: it is none of this kind.
        """
        try:
            return _PARSERS[self.kind](text)
        except ValueError as err:
            raise UserError(
                f"--set-parameter {name}: a {_WORDS[self.kind]} is needed. Received: {text!r}"
            ) from err


@dataclass(frozen=True)
class PipelineFile:
    """A pipeline that KFP can run."""

    path: Path
    digest: str  # SHA-256 of the file, in hexadecimal
    name: str
    root: str  # where artifacts go, as it was compiled; "" leaves it to the cluster
    steps: tuple[str, ...]  # in an order in which they can run
    retried: frozenset[str]  # those that have a retry policy
    parameters: Mapping[str, Parameter]
    images: tuple[str, ...]  # as the file has them: an image, or a parameter's name in KFP's braces

    @property
    def version(self) -> str:
        """Names this content: the same file is uploaded once."""
        return self.digest[:12]

    def arguments(self, settings: Iterable[str], *, allow_tag: bool = False) -> dict[str, Any]:
        """What `NAME=VALUE` settings mean. KFP adds the defaults of those that are left out.

        Args:
            settings: as given on the command line.
            allow_tag: whether an image's tag will do in place of its digest.

        Raises:
            UserError: no `=`, an unknown name, a name twice, a value of another type, a parameter
                that has no default and no value, or an image that may change under its name.
        """
        given: dict[str, Any] = {}
        for setting in settings:
            name, equals, text = setting.partition("=")
            if not equals or not name:
                raise UserError(f"--set-parameter takes NAME=VALUE. Received: {setting!r}")
            if name in given:
                raise UserError(f"--set-parameter {name} was given twice")
            if name not in self.parameters:
                known = ", ".join(self.parameters) or "none"
                raise UserError(
                    f"{self.path} has no parameter {name!r}. Its parameters: {known}. What is no "
                    "parameter is set when it is compiled: see `signs compile --help`"
                )
            given[name] = self.parameters[name].parse(name, text)
        missing = [n for n, p in self.parameters.items() if p.required and n not in given]
        if missing:
            raise UserError(
                f"{self.path} needs a value for {', '.join(missing)}: --set-parameter "
                f"{missing[0]}=VALUE"
            )
        for image in self.images_with(given):
            check_image(image, allow_tag=allow_tag)
        return given

    def images_with(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """The images that a run with `arguments` would pull."""

        def value(match: re.Match[str]) -> str:
            return str(arguments.get(match[1], self.parameters[match[1]].default))

        return tuple(dict.fromkeys(_PARAMETER.sub(value, image) for image in self.images))


def read_pipeline(path: Path) -> PipelineFile:
    """Reads what `signs compile` wrote.

    Raises:
        UserError: there is no such file, or KFP would refuse it.
    """
    if path.suffix not in _SUFFIXES:
        raise UserError(
            f"{path} must end in .yaml: kfp's client takes no other. Write one with "
            "`signs compile --output pipeline.yaml`"
        )
    try:
        content = path.read_bytes()
    except OSError as err:
        raise UserError(f"{path} cannot be read: {err.strerror}") from err
    spec = _parse(path, content)
    name = spec.pipeline_info.name
    executors = json_format.MessageToDict(spec.deployment_spec).get("executors", {})
    if not name or not spec.root.dag.tasks or not executors:
        raise UserError(f"{path} is not a compiled pipeline: it has no name, no steps or no images")
    tasks = spec.root.dag.tasks
    graph = {task: sorted(tasks[task].dependent_tasks) for task in sorted(tasks)}
    try:
        steps = tuple(TopologicalSorter(graph).static_order())
    except CycleError as err:
        raise UserError(f"{path}: steps that wait for each other: {err.args[1]}") from err
    images = [e["container"]["image"] for _, e in sorted(executors.items()) if "container" in e]
    parameters = {
        name: _parameter(path, name, value)
        for name, value in sorted(spec.root.input_definitions.parameters.items())
    }
    for used in {name for image in images for name in _PARAMETER.findall(image)} - set(parameters):
        raise UserError(f"{path}: an image is named by a parameter that it lacks: {used}")
    return PipelineFile(
        path=path,
        digest=hashlib.sha256(content).hexdigest(),
        name=name,
        root=spec.default_pipeline_root,
        steps=steps,
        retried=frozenset(name for name in steps if tasks[name].HasField("retry_policy")),
        parameters=parameters,
        images=tuple(dict.fromkeys(images)),
    )


def _parameter(
    path: Path, name: str, spec: pipeline_spec_pb2.ComponentInputsSpec.ParameterSpec
) -> Parameter:
    kind = pipeline_spec_pb2.ParameterType.ParameterTypeEnum.Name(spec.parameter_type)
    if kind not in _PARSERS:
        raise UserError(f"{path}: the parameter {name} is of no known type: {kind}")
    default = json_format.MessageToDict(spec.default_value)
    if kind == "NUMBER_INTEGER" and default is not None:
        default = int(default)  # a double in the file
    required = not spec.HasField("default_value") and not spec.is_optional
    return Parameter(kind, default, required)


def _parse(path: Path, content: bytes) -> pipeline_spec_pb2.PipelineSpec:
    """Both documents, strictly: a field that KFP does not know is an error, as it is there."""
    try:
        documents = list(yaml.load_all(content, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise UserError(f"{path} is not YAML: {' '.join(str(err).split())}") from err
    if not 1 <= len(documents) <= 2 or not all(isinstance(d, dict) for d in documents):
        raise UserError(f"{path} is not a compiled pipeline: it must hold one or two documents")
    spec = pipeline_spec_pb2.PipelineSpec()
    try:
        json_format.ParseDict(documents[0], spec)
        for platform in documents[1:]:
            check_platform(platform)
    except (json_format.ParseError, PlatformError) as err:
        # protobuf lists the fields that there are, on lines of their own.
        reason = str(err).splitlines()[0]
        raise UserError(f"{path} is not a compiled pipeline: {reason}") from err
    if spec.schema_version != "2.1.0":
        raise UserError(
            f"{path} is of schema {spec.schema_version or 'unknown'}: KFP's server takes 2.1.0. "
            "Compile it with `signs compile`"
        )
    return spec


def _integer(text: str) -> int:
    value = int(text)
    if abs(value) > _LARGEST_INTEGER:
        raise ValueError
    return value


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError
    return text == "true"


def _json(kind: type) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        value = json.loads(text)
        if not isinstance(value, kind):
            raise ValueError
        return value

    return parse


_PARSERS: dict[str, Callable[[str], Any]] = {
    "NUMBER_INTEGER": _integer,
    "NUMBER_DOUBLE": _number,
    "STRING": str,
    "BOOLEAN": _boolean,
    "LIST": _json(list),
    "STRUCT": _json(dict),
}
_WORDS = {
    "NUMBER_INTEGER": "whole number",
    "NUMBER_DOUBLE": "number",
    "STRING": "text",
    "BOOLEAN": "true or false",
    "LIST": "JSON list",
    "STRUCT": "JSON object",
}
