"""What a cluster gives each step: image, volume, resources, retries, nodes, secrets.

options.yaml -> ClusterOptions -> compiler (the pipeline), platform (the pods)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import yaml
from kubernetes.utils.quantity import parse_quantity
from pydantic import ConfigDict, Strict, TypeAdapter, ValidationError

from kubeflow.object_store import DEFAULT_ROOT, IN_WORDS, MOUNTS, SCHEME
from signs.errors import UserError

_STRICT = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
_Whole = Annotated[int, Strict()]  # YAML's `yes` is no number
_DAY_S = 24 * 60 * 60
# KFP's installation makes it, in every user's namespace.
MINIO_SECRET = "mlpipeline-minio-artifact"

_WORD = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
_REPOSITORY = rf"(?:[a-z0-9][a-z0-9.-]*(?::[0-9]+)?/)?{_WORD}(?:/{_WORD})*"
_DIGEST = re.compile(rf"{_REPOSITORY}(?::[\w.-]{{1,128}})?@sha256:[0-9a-f]{{64}}", re.ASCII)
_TAG = re.compile(rf"{_REPOSITORY}:(?P<tag>\w[\w.-]{{0,127}})", re.ASCII)
_PART = r"(/(?!\.{1,2}(/|\Z))[\w.=-]+)"  # of a path: no `.` and no `..`
_ROOT = re.compile(rf"{SCHEME}[a-z0-9][a-z0-9._-]{{1,61}}[a-z0-9]{_PART}*/?", re.ASCII)
_FOLDER = re.compile(rf"{_PART}+", re.ASCII)
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|[kMGTPE]|[KMGTPE]i)?")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")  # Kubernetes: DNS-1123 subdomain
_LABEL_KEY = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?", re.ASCII)
_ENV = re.compile(r"[A-Za-z_]\w*", re.ASCII)
# The container has these already: KFP's mounts and launcher (argocompiler/container.go), our code.
SIGNING_KEYS = "/signing-keys"  # where the steps that sign and check find the keys
_TAKEN = (
    *(*MOUNTS.values(), "/oci", "/.local", "/.cache", "/.config", "/kfp-launcher"),
    SIGNING_KEYS,
)


class OptionsError(UserError):
    """A value of the cluster's options cannot be used."""


@dataclass(frozen=True)
class Toleration:
    """Lets a step run on nodes with a taint, as in a pod's `tolerations`."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    key: str
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""  # "": every effect

    def __post_init__(self) -> None:
        _matches("a toleration's key", self.key, _LABEL_KEY, "as in nvidia.com/gpu")
        _matches("a toleration's value", self.value, _LABEL_VALUE, "as in true")
        if self.operator == "Exists" and self.value:
            raise OptionsError(
                f"the toleration of {self.key} has operator Exists, which takes no value. "
                f"Received: {self.value!r}"
            )


@dataclass(frozen=True)
class StepOptions:
    """What one kind of step asks of a node. Quantities are Kubernetes's: 500m, 2, 4Gi."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    cpu_request: str = "500m"
    cpu_limit: str = "4"
    memory_request: str = "2Gi"
    memory_limit: str = "6Gi"
    gpu: _Whole = 0
    gpu_type: str = "nvidia.com/gpu"  # the resource that the nodes' device plugin counts
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    shared_memory: str = ""  # size of /dev/shm, part of the memory limit; "": 64Mi, as containers

    def __post_init__(self) -> None:
        for resource in ("cpu", "memory"):
            request, limit = f"{resource}_request", f"{resource}_limit"
            for name in (request, limit):
                _quantity(name, getattr(self, name))
            if parse_quantity(getattr(self, request)) > parse_quantity(getattr(self, limit)):
                raise OptionsError(
                    f"{request} must not exceed {limit}. "
                    f"Received: {getattr(self, request)} and {getattr(self, limit)}"
                )
        if not 0 <= self.gpu <= 64:
            raise OptionsError(f"gpu must be in [0, 64]. Received: {self.gpu}")
        _matches("gpu_type", self.gpu_type, _LABEL_KEY, "as in nvidia.com/gpu")
        for key, value in self.node_selector.items():
            _matches("node_selector", key, _LABEL_KEY, "keys as in cloud.google.com/gke-nodepool")
            _matches(f"node_selector[{key}]", value, _LABEL_VALUE, "as in gpu-pool")
        if self.shared_memory:
            _quantity("shared_memory", self.shared_memory)


@dataclass(frozen=True)
class TrainingOptions(StepOptions):
    """What the steps that train ask of a node."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    cpu_request: str = "2"
    cpu_limit: str = "8"
    memory_request: str = "6Gi"
    memory_limit: str = "16Gi"
    shared_memory: str = "1Gi"
    # Pods that train one network, each with what is said here; 1: the Trainer's step trains itself.
    workers: _Whole = 1
    # What starts them: of Kubeflow Trainer, or of the training operator (v1) that it replaces.
    job: Literal["TrainJob", "TFJob"] = "TrainJob"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.workers <= 64:
            raise OptionsError(f"workers must be in [1, 64]. Received: {self.workers}")


@dataclass(frozen=True)
class ClusterOptions:
    """Everything that `signs compile` must know of a cluster."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    image: str  # with this checkout in `code_root`; default of the pipeline's parameter `image`
    allow_tag: bool = False  # a tag in place of a digest, though it may be moved
    code_root: str = "/app"  # of the image: holds `data/` and `modules/`
    pipeline_root: str = DEFAULT_ROOT
    # The volume that all steps and the model servers share: `data/`, `serving/`, `checkpoints/`.
    claim: str = "signs-workspace"
    mount: str = "/workspace"
    steps: StepOptions = field(default_factory=StepOptions)  # all but those that train
    training: TrainingOptions = field(default_factory=TrainingOptions)  # Trainer and Tuner
    retries: _Whole = 3  # of each step; the waits before them are 30, 60, 120 s by these defaults
    backoff_s: _Whole = 30
    backoff_factor: _Whole = 2  # Argo takes whole numbers only
    # From the first start of a step: Argo lets no retry begin or run on after it.
    retry_within_s: _Whole = 7 * _DAY_S
    # Of a whole run, from its start; then Argo ends it. 0: none.
    run_within_s: _Whole = 0
    # How long the pods of a run that is over are kept, and their logs; 0: as the installation says.
    keep_pods_s: _Whole = 0
    # Secret with the object store's keys; None: KFP's own for minio://, none for others; "": none.
    secret: str | None = None
    secret_env: Mapping[str, str] = field(  # environment variable: key in the secret
        default_factory=lambda: {
            "AWS_ACCESS_KEY_ID": "accesskey",
            "AWS_SECRET_ACCESS_KEY": "secretkey",
        }
    )
    # Secret with private.pem and public.pem, with which Pusher signs; "": nothing is signed.
    signing_secret: str = ""
    image_pull_secrets: tuple[str, ...] = ()
    run_as_user: _Whole | None = None  # None: the image's user
    run_as_group: _Whole | None = None

    def __post_init__(self) -> None:
        check_image(self.image, allow_tag=self.allow_tag)
        _matches(
            "pipeline_root", self.pipeline_root, _ROOT,
            f"a bucket that KFP's launcher reaches: {IN_WORDS}BUCKET/FOLDER",
        )  # fmt: skip
        for name in ("code_root", "mount"):
            _matches(name, getattr(self, name), _FOLDER, "an absolute folder, as in /workspace")
        if any(f"{self.mount}/".startswith(f"{one}/") for one in (*_TAKEN, self.code_root)):
            raise OptionsError(
                f"mount must not lie in {', '.join(_TAKEN)} or {self.code_root}, which a step has "
                f"already. Received: {self.mount!r}"
            )
        for name, value in [
            ("claim", self.claim),
            ("secret", self.secret or "none"),
            ("signing_secret", self.signing_secret or "none"),
        ]:
            _matches(name, value, _NAME, "a name of Kubernetes, as in signs-workspace")
        for secret in self.image_pull_secrets:
            _matches("image_pull_secrets", secret, _NAME, "a name of Kubernetes")
        for variable in self.secret_env:
            _matches("secret_env", variable, _ENV, "environment variables, as in AWS_REGION")
        for name, lowest, highest in [
            ("retries", 0, 100), ("backoff_s", 1, _DAY_S), ("backoff_factor", 1, 10),
            ("retry_within_s", 60, 365 * _DAY_S), ("run_within_s", 0, 365 * _DAY_S),
            ("keep_pods_s", 0, 365 * _DAY_S),
        ]:  # fmt: skip
            if not lowest <= getattr(self, name) <= highest:
                raise OptionsError(
                    f"{name} must be in [{lowest}, {highest}]. Received: {getattr(self, name)}"
                )
        for name in ("run_as_user", "run_as_group"):
            number = getattr(self, name)
            if number is not None and not 1 <= number < 2**31:
                raise OptionsError(f"{name} must be a number above 0 (root). Received: {number}")

    @property
    def object_store_secret(self) -> str | None:
        """The secret whose keys become environment variables of every step."""
        if self.secret is None and self.pipeline_root.startswith("minio://"):
            return MINIO_SECRET
        return self.secret

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "ClusterOptions":
        """The options that a YAML file holds.

        Raises:
            OptionsError: a value is missing, unknown, of another type or out of range.
        """
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as err:
            raise OptionsError(_in_words(err)) from err


def load_options(path: Path | None, **overrides: object) -> ClusterOptions:
    """Reads the options of a cluster.

    Args:
        path: a YAML file with fields of `ClusterOptions`; None: only `overrides` and defaults.
        overrides: fields that go before the file's; None leaves the file's. A mapping replaces
            only the keys it has.

    Returns:
        The options, checked.

    Raises:
        OptionsError: the file cannot be read, is not a YAML mapping, or has a bad value.
    """
    values: dict[str, object] = {}
    if path is not None:
        try:
            values = yaml.safe_load(path.read_text()) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as err:
            reason = getattr(err, "strerror", None) or " ".join(str(err).split())
            raise OptionsError(f"{path} cannot be read: {reason}") from err
        if not isinstance(values, dict):
            raise OptionsError(f"{path} must hold `name: value` lines. Received: {values!r:.60}")
    for name, value in overrides.items():
        known = values.get(name) or {}
        if isinstance(value, Mapping) and isinstance(known, Mapping):
            values[name] = {**known, **value}
        elif value is not None and not isinstance(value, Mapping):
            values[name] = value
    try:
        return ClusterOptions.from_dict(values)
    except OptionsError as err:
        raise OptionsError(f"{path}: {err}" if path else str(err)) from err


def check_image(reference: str, *, allow_tag: bool = False) -> None:
    """Refuses an image that may be another one tomorrow: KFP's cache and retries trust its name.

    Args:
        reference: as in `ghcr.io/me/signs@sha256:...`.
        allow_tag: whether a tag other than `latest` will do.

    Raises:
        OptionsError: it is no image reference, or not immutable.
    """
    if _DIGEST.fullmatch(reference):
        return
    tag = _TAG.fullmatch(reference)
    if allow_tag and tag and tag["tag"] != "latest":
        return
    if tag and tag["tag"] != "latest":
        hint = "give its digest, or --allow-tag where you never move a tag"
    else:
        hint = "give its digest"
    raise OptionsError(
        f"the image must be one for ever: REPOSITORY@sha256: and 64 hexadecimal digits, as "
        f"`docker inspect --format '{{{{.RepoDigests}}}}' IMAGE` prints; {hint}. "
        f"Received: {reference!r}"
    )


def _matches(name: str, value: str, pattern: re.Pattern[str], rule: str) -> None:
    if not pattern.fullmatch(value):
        raise OptionsError(f"{name} must be {rule}. Received: {value!r}")


def _quantity(name: str, value: str) -> None:
    _matches(name, value, _QUANTITY, "a quantity of Kubernetes above 0, as in 500m, 2 or 4Gi")
    if not parse_quantity(value):
        raise OptionsError(f"{name} must be above 0. Received: {value!r}")


def _in_words(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    place = ".".join(str(part) for part in first["loc"])
    if isinstance(cause, UserError):
        return f"{place}: {cause}" if place else str(cause)
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"there is no option {place!r}"
    if first["type"] == "missing" and place == "image":
        return "--image is missing: the image that holds this checkout, by its digest"
    return f"{place}: {first['msg']}. Received: {first['input']!r}"
