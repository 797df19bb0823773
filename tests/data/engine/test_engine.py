"""An engine as options of Beam."""

import json
import sys
from pathlib import Path

import pytest

from data.engine.engine import LIMIT_S, Engine, EngineError


def test_pools_are_options_of_beam() -> None:
    engine = Engine.parse("flink:8099", "external:localhost:50000,b:50001", None, LIMIT_S)
    assert engine.pools == ("localhost:50000", "b:50001")
    assert {
        "--runner=data.engine.runner.EngineRunner",
        "--job_endpoint=flink:8099",
        "--environment_type=EXTERNAL",
        "--environment_config=localhost:50000,b:50001",
        "--sdk_container_image=none",
    } <= set(engine.beam_args())


def test_processes_are_of_this_environment() -> None:
    [config] = [
        option.partition("=")[2]
        for option in Engine.parse("[::1]:8073", "process", None, 5).beam_args()
        if option.startswith("--environment_config=")
    ]
    assert json.loads(config) == {"command": f"{Path(sys.executable).parent}/signs-engine-worker"}


def test_a_token_goes_by_the_name_of_its_file(tmp_path: Path) -> None:
    """Options are kept with a run."""
    (tmp_path / "token").write_text("do-not-tell-anybody")
    args = Engine("a:1", ("b:2",), tmp_path / "token").beam_args()
    assert f"--worker_token_file={tmp_path}/token" in args
    assert not any("do-not-tell" in option for option in args)


@pytest.mark.parametrize(
    ("endpoint", "workers", "message"),
    [
        ("8099", "process", "--job-endpoint must be HOST:PORT. Received: '8099'"),
        ("http://a:1", "process", "--job-endpoint must be HOST:PORT. Received: 'http://a:1'"),
        ("a:0", "process", "--job-endpoint must be HOST:PORT. Received: 'a:0'"),
        ("a:1", "external:", "--workers external: must be HOST:PORT. Received: ''"),
        ("a:1", "external:b:2,", "--workers external: must be HOST:PORT. Received: ''"),
        ("a:1", "external:b:70000", "--workers external: must be HOST:PORT. Received: 'b:70000'"),
        (
            "a:1",
            "docker",
            "--workers must be external:HOST:PORT[,HOST:PORT] or process. Received: docker",
        ),
    ],
)
def test_what_is_no_engine(endpoint: str, workers: str, message: str) -> None:
    with pytest.raises(EngineError) as caught:
        Engine.parse(endpoint, workers, None, LIMIT_S)
    assert str(caught.value) == message
