"""What a run is told beyond its pipeline: `NAME=VALUE` settings become the parameters' values.

PipelineFile, --set-parameter -> arguments, by the parameters' types -> the run; its images

The checks are the API server's (`validatePipelineJobInputs`, backend/src/apiserver/template/
v2_template.go): a mistake is told before anything is sent.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb
from pydantic import JsonValue

from kubeflow.compiling.options import check_image
from kubeflow.compiling.pipeline_file import PARAMETER, PipelineFile
from signs.errors import UserError

_LARGEST_INTEGER = 2**53 - 1  # a parameter travels as a double


def arguments_of(
    pipeline: PipelineFile, settings: Iterable[str], *, allow_tag: bool = False
) -> dict[str, JsonValue]:
    """What `NAME=VALUE` settings mean. KFP adds the defaults of those that are left out.

    Args:
        pipeline: has the parameters.
        settings: as given on the command line.
        allow_tag: whether an image's tag will do in place of its digest.

    Raises:
        UserError: no `=`, an unknown name, a name twice, a value of another type, a parameter
            that has no default and no value, or an image that may change under its name.
    """
    given: dict[str, JsonValue] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise UserError(f"--set-parameter takes NAME=VALUE. Received: {setting!r}")
        if name in given:
            raise UserError(f"--set-parameter {name} was given twice")
        if name not in pipeline.parameters:
            known = ", ".join(pipeline.parameters) or "none"
            raise UserError(
                f"{pipeline.path} has no parameter {name!r}. Its parameters: {known}. What is no "
                "parameter is set when it is compiled: see `signs compile --help`"
            )
        words, parse = _KINDS[_kind(pipeline.parameters[name])]
        try:
            given[name] = parse(text)
        except ValueError as err:
            raise UserError(
                f"--set-parameter {name}: a {words} is needed. Received: {text!r}"
            ) from err
    missing = [
        name
        for name, spec in pipeline.parameters.items()
        if not (spec.HasField("default_value") or spec.is_optional or name in given)
    ]
    if missing:
        raise UserError(
            f"{pipeline.path} needs a value for {', '.join(missing)}: --set-parameter "
            f"{missing[0]}=VALUE"
        )
    for image in images_of(pipeline, given):
        check_image(image, allow_tag=allow_tag)
    return given


def values_of(pipeline: PipelineFile, arguments: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The values that a run with `arguments` has: of those left out, the defaults, or None."""
    defaults = {name: _default(spec) for name, spec in pipeline.parameters.items()}
    return {**defaults, **arguments}


def images_of(pipeline: PipelineFile, arguments: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """The images that a run with `arguments` would pull."""
    values = values_of(pipeline, arguments)
    images = [PARAMETER.sub(lambda match: str(values[match[1]]), one) for one in pipeline.images]
    return tuple(dict.fromkeys(images))


def _kind(spec: pb.ComponentInputsSpec.ParameterSpec) -> str:
    return pb.ParameterType.ParameterTypeEnum.Name(spec.parameter_type)


def _default(spec: pb.ComponentInputsSpec.ParameterSpec) -> JsonValue:
    default: JsonValue = json_format.MessageToDict(spec.default_value)
    if _kind(spec) == "NUMBER_INTEGER" and isinstance(default, float):
        return int(default)  # a double in the file
    return default


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


def _json(kind: type) -> Callable[[str], JsonValue]:
    def parse(text: str) -> JsonValue:
        value: JsonValue = json.loads(text)
        if not isinstance(value, kind):
            raise ValueError
        return value

    return parse


_KINDS: Mapping[str, tuple[str, Callable[[str], JsonValue]]] = {  # in words, and how it is read
    "NUMBER_INTEGER": ("whole number", _integer),
    "NUMBER_DOUBLE": ("number", _number),
    "STRING": ("text", str),
    "BOOLEAN": ("true or false", _boolean),
    "LIST": ("JSON list", _json(list)),
    "STRUCT": ("JSON object", _json(dict)),
}
