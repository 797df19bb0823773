"""Request line -> what is asked for. The patterns are those of `http_rest_api_util.cc`.

The query string is part of what is matched, as it is there: `...:predict?x=1` is malformed.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote

_MODEL = r"/v1/models{name}(?:/versions/([0-9]+)|/labels/([^/:]+))?"
_POST = re.compile(
    _MODEL.format(name="/([^/:]+)") + ":(classify|regress|predict)", re.IGNORECASE | re.ASCII
)
_GET = re.compile(
    _MODEL.format(name="(?:/([^/:]+))?") + "(?:/(metadata))?", re.IGNORECASE | re.ASCII
)


@dataclass(frozen=True)
class Route:
    """What a request asks for.

    Args:
        action: "predict", "classify", "regress", "status", "metadata", or "" if it is malformed.
        model: the model's name, decoded; "" if there is none.
        version: the version number in the path; it may be larger than any version can be.
        label: the version label in the path, decoded; "" if there is none.
    """

    action: str = ""
    model: str = ""
    version: int | None = None
    label: str = ""


def parse(method: str, target: str) -> Route:
    """Reads a path.

    Args:
        method: the HTTP method.
        target: the path with its query string, as sent.
    """
    pattern = {"POST": _POST, "GET": _GET}.get(method)
    match = pattern.fullmatch(target) if pattern else None
    if match is None:
        return Route()
    model, version, label, last = (group or "" for group in match.groups())
    if method == "GET":
        # Any case matches, but only lower case is recognised: the rest asks for the status.
        action = "metadata" if last == "metadata" else "status"
    else:
        action = last if last.islower() else ""
    # More digits than int() takes are as much too large as the first twenty of them.
    number = int(version.lstrip("0")[:20] or "0") if version else None
    return Route(action, unquote(model), number, unquote(label))
