"""The list of models: of flags, of a file, and of a file that is polled."""

import threading
import time

import grpc
import pytest

from model_server.configs.config_file import first_config, poll
from model_server.configs.read import ConfigError
from model_server.errors import ModelError
from model_server.options import ServerOptions

MODEL = 'model_config_list { config { name: "%s" base_path: "/m" model_platform: "tensorflow" } }'
WAIT_S = 10


def names(config):
    return [model.name for model in config.model_config_list.config]


def test_the_one_model_of_the_flags():
    config = first_config(ServerOptions(model_name="signs", model_base_path="/signs"))
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("signs", "/signs", "tensorflow")


def test_a_file_comes_before_the_flags(tmp_path):
    path = tmp_path / "models.config"
    options = ServerOptions(model_config_file=str(path), model_base_path="/signs")
    with pytest.raises(ConfigError):
        first_config(options)
    path.write_text(MODEL % "a")
    assert names(first_config(options)) == ["a"]


def test_each_look_is_applied_and_a_problem_is_told_once(tmp_path, caplog):
    path = tmp_path / "models.config"
    path.write_text(MODEL % "a")
    stopping, seen = threading.Event(), []

    def reconfigure(config, deadline):
        assert deadline <= time.monotonic() + 0.01
        seen.append(names(config)[0])
        if len(seen) <= 2:
            raise ModelError(grpc.StatusCode.UNKNOWN, "no")
        if len(seen) == 3:
            raise RuntimeError("surprise")
        if len(seen) == 4:
            path.unlink()
            threading.Timer(0.05, stopping.set).start()

    thread = threading.Thread(target=poll, args=[str(path), 0.01, reconfigure, stopping])
    thread.start()
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert seen == ["a"] * 4
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert told == [
        "PollFilesystemAndReloadConfig failed to ReloadConfig: no",
        f"Reading {path}",
        f"Failed to read ModelServerConfig file: {path}; No such file or directory",
    ]
