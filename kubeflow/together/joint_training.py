"""What a compiled pipeline tells its Trainer of the pods that train together.

ClusterOptions -> JointTraining -> one JSON text in TFX's `custom_config` -> start.run_fn
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from pydantic import JsonValue, TypeAdapter

_KEY = "joint_training"


@dataclass(frozen=True)
class JointTraining:
    """The job, in Kubernetes' own words where they are Kubernetes' own."""

    kind: Literal["TrainJob", "TFJob"]
    workers: int  # from 2
    claim: str
    mount: str  # of the claim, in every pod
    resources: Mapping[str, Mapping[str, str]]  # of each pod: requests and limits
    pod: Mapping[str, JsonValue] = field(default_factory=dict)  # of its spec: where it may run, ...

    def to_custom_config(self) -> dict[str, str]:
        """As TFX's Trainer takes it, beside the training's job."""
        return {_KEY: _json().dump_json(self).decode()}

    @classmethod
    def from_custom_config(cls, custom_config: Mapping[str, object]) -> "JointTraining":
        """What `to_custom_config` wrote.

        Raises:
            KeyError: there is none.
        """
        return _json().validate_json(str(custom_config[_KEY]))


@cache
def _json() -> TypeAdapter[JointTraining]:
    return TypeAdapter(JointTraining)
