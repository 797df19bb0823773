"""Which models to serve: from flags, or from a file that is read again and again.

Source: `BuildSingleModelConfig` and `PollFilesystemAndReloadConfig` of TF Serving's
`model_servers/server.cc`.
"""

import logging
import threading
import time
from collections.abc import Callable

from model_server.configs.read import ConfigError, read
from model_server.errors import RequestError
from model_server.options import ServerOptions
from signs import protos

log = logging.getLogger(__name__)


def first_config(options: ServerOptions) -> protos.ModelServerConfig:
    """The ModelServerConfig to start with: the file's, or that of the one model that flags name.

    Raises:
        ConfigError: the file cannot be read.
    """
    config = protos.ModelServerConfig()
    if options.model_config_file:
        return read(options.model_config_file, config)
    config.model_config_list.config.add(
        name=options.model_name,
        base_path=options.model_base_path,
        model_platform="tensorflow",
    )
    return config


def poll(
    path: str,
    wait_s: float,
    reconfigure: Callable[[protos.ModelServerConfig, float], None],
    stopping: threading.Event,
) -> None:
    """Reads the file now and every `wait_s` seconds, and applies it, changed or not.

    What another configuration has changed meanwhile is so undone. Problems are told in the log,
    once until there is another; what is served stays as it is.

    Args:
        path: a ModelServerConfig in text format.
        wait_s: seconds between two looks; a reconfiguration has as long, so that a model that does
            not appear cannot keep the next change of the file waiting.
        reconfigure: takes the configuration and a deadline in seconds of `time.monotonic`.
        stopping: ends the loop.
    """
    told = ""
    while not stopping.is_set():
        problem = ""
        try:
            config = read(path, protos.ModelServerConfig())
            reconfigure(config, time.monotonic() + wait_s)
        except ConfigError as error:
            problem = f"Failed to read ModelServerConfig file: {error}"
        except RequestError as error:
            problem = f"PollFilesystemAndReloadConfig failed to ReloadConfig: {error}"
        except Exception:  # none is known, but without polls the file would be dead
            log.exception("Reading %s", path)
        if problem and problem != told:
            log.error("%s", problem)
        told = problem
        stopping.wait(wait_s)
