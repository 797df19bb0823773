"""A step's condition: the part of CEL that kfp and TFX write into `triggerPolicy.condition`.

    inputs.artifacts['model_blessing'].artifacts[0].metadata['blessed'] == 1.0 && !(...)
    int(inputs.parameter_values['count']) > 3
    (backend/src/v2/expression/expression.go, Condition)

CEL's operators are Python's once three are renamed, so Python's parser reads them; nothing but what
stands below is evaluated.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

_TOKEN = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|&&|\|\||!(?!=)|\b(?:true|false)\b""")
# `~` binds as tightly as CEL's `!`; Python's `not` does not.
_RENAMED = {"&&": " and ", "||": " or ", "!": "~", "true": "True", "false": "False"}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_CONVERT: dict[str, Callable[[Any], Any]] = {"int": int, "double": float, "string": str}


class ConditionError(RuntimeError):
    """The condition cannot be evaluated."""


def will_trigger(executor_input: pb.ExecutorInput, condition: str) -> bool:
    """Whether a step runs.

    Args:
        executor_input: the step's inputs.
        condition: of its trigger policy; empty: it runs.

    Raises:
        ConditionError: the condition is no CEL, compares what cannot be compared, asks for what the
            inputs lack, or is more than the stand-in evaluates.
    """
    if not condition:
        return True
    text = _TOKEN.sub(lambda match: _RENAMED.get(match[0], match[0]), condition.strip())
    inputs = json_format.MessageToDict(executor_input, preserving_proto_field_name=True)
    try:
        result = _value(ast.parse(text, mode="eval").body, inputs)
    except (SyntaxError, KeyError, IndexError, TypeError, ValueError) as err:
        raise ConditionError(f"the condition {condition!r} cannot be evaluated: {err!r}") from err
    if not isinstance(result, bool):
        raise ConditionError(f"the condition {condition!r} is not true or false but {result!r}")
    return result


def _value(node: ast.expr, inputs: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return inputs[name]
        case ast.Attribute(value=parent, attr=name):
            return _value(parent, inputs)[name]
        case ast.Subscript(value=parent, slice=key):
            return _value(parent, inputs)[_value(key, inputs)]
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_boolean(_value(part, inputs)) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_boolean(_value(part, inputs)) for part in parts)
        case ast.UnaryOp(op=ast.Invert(), operand=operand):
            return not _boolean(_value(operand, inputs))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, inputs)
        case ast.Compare(left=left, ops=[how], comparators=[right]) if type(how) in _COMPARE:
            return _compare(type(how), _value(left, inputs), _value(right, inputs))
        case ast.Call(func=ast.Name(id=name), args=[argument]) if name in _CONVERT:
            return _CONVERT[name](_value(argument, inputs))
    raise ValueError(f"the stand-in does not evaluate {ast.unparse(node)!r}")


def _compare(how: type[ast.cmpop], left: Any, right: Any) -> bool:
    numbers = [isinstance(one, int | float) and not isinstance(one, bool) for one in (left, right)]
    if not all(numbers) and type(left) is not type(right):
        raise TypeError(f"no such overload: {left!r} and {right!r}")
    return _COMPARE[how](left, right)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"no such overload: {value!r} is not true or false")
    return value
