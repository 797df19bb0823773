"""What may be wrong with the list of models to serve, told before anything is changed.

The checks, their order and their words are those of TF Serving's `server_core.cc`.
"""

import logging
import re
from collections.abc import Container, Iterable

from model_server.errors import FailedPreconditionError, InvalidArgumentError
from signs import protos

log = logging.getLogger(__name__)

_PLATFORM = "tensorflow"
_ABSOLUTE = re.compile(r"/|[a-zA-Z][0-9a-zA-Z.]*://")


def check_kind(config: protos.ModelServerConfig, *, is_first: bool) -> None:
    """A ModelServerConfig is a list of models, or nothing yet.

    Raises:
        FailedPreconditionError: it was a list, and now is something else.
        InvalidArgumentError: it is not a list.
    """
    if config.WhichOneof("config") == "model_config_list":
        return
    if not is_first:
        raise FailedPreconditionError(
            "Cannot transition to requested config. It is only legal to transition from one "
            "ModelConfigList to another."
        )
    if config.WhichOneof("config") == "custom_model_config":
        raise InvalidArgumentError("ModelServer does not yet support custom model config.")


def check_list(models: Iterable[protos.ModelConfig]) -> None:
    """Every ModelConfig has a name of its own and an absolute path.

    Raises:
        InvalidArgumentError: one has not.
    """
    names = set()
    for model in models:
        if model.name in names:
            raise InvalidArgumentError(
                f"Illegal to list model {model.name} multiple times in config list"
            )
        names.add(model.name)
    for model in models:
        if not _ABSOLUTE.match(model.base_path):
            raise InvalidArgumentError(
                f"Expected model {model.name} to have an absolute path or URI; got "
                f"base_path()={model.base_path}"
            )


def check_same_platforms(models: Iterable[protos.ModelConfig], served: Container[str]) -> None:
    """Models that are served already keep their platform, which was `tensorflow`.

    Raises:
        InvalidArgumentError: one does not.
    """
    for model in models:
        if model.name in served and (platform := _platform(model)) != _PLATFORM:
            raise InvalidArgumentError(
                f"Illegal to change a model's platform. For model {model.name} platform was "
                f"{_PLATFORM} and new platform requested is {platform}"
            )


def check_platforms(models: Iterable[protos.ModelConfig]) -> None:
    """All models are TensorFlow's.

    Raises:
        InvalidArgumentError: one is not.
    """
    for model in models:
        if (platform := _platform(model)) != _PLATFORM:
            raise InvalidArgumentError(
                f"Model {model.name} requests unsupported platform {platform}"
            )


def check_logging(models: Iterable[protos.ModelConfig]) -> None:
    """Request logs are configured by flags, not for each model.

    Raises:
        InvalidArgumentError: a model has a `logging_config`, which TF Serving refuses likewise.
    """
    if any(model.HasField("logging_config") for model in models):
        raise InvalidArgumentError("No request-logger-creator provided.")


def _platform(model: protos.ModelConfig) -> str:
    platform: str = model.model_platform
    if model.model_type != protos.ModelType.MODEL_TYPE_UNSPECIFIED:
        log.warning(
            "Deprecated ModelServerConfig::model_type field used. Prefer "
            "ModelServerConfig::model_platform."
        )
        if platform:
            raise InvalidArgumentError(
                "Illegal setting both ModelServerConfig::model_type (deprecated) and "
                f"ModelServerConfig::model_platform, model name is {model.name}"
            )
        if model.model_type != protos.ModelType.TENSORFLOW:
            raise InvalidArgumentError(
                f"ModelServerConfig::model_type choice {model.model_type} not supported."
            )
        platform = _PLATFORM
    if not platform:
        raise InvalidArgumentError(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {model.name}"
        )
    return platform
