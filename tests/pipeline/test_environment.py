"""Where a run happens."""

from pathlib import Path

import pytest

from data.engine.engine import Engine
from pipeline.environment import Workspace

IN_PROCESS = ("--runner=FnApiRunner", "--sdk_container_image=none")


def test_everything_lies_in_the_workspace(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    environment = workspace.environment("signs")
    places = [
        environment.data_root,
        environment.pipeline_root,
        environment.serving_root,
        environment.metadata_path,
        environment.checkpoint_root,
        workspace.log("run"),
        workspace.run_directory("signs", "run"),
        workspace.lock,
        workspace.examples("signs"),
    ]
    assert all(Path(str(place)).is_relative_to(tmp_path) for place in places)


def test_data_sets_are_kept_apart(tmp_path: Path) -> None:
    one, other = (Workspace(tmp_path).environment(name) for name in ("signs", "signs-synthetic"))
    assert one.serving_root != other.serving_root
    assert one.pipeline_root != other.pipeline_root
    assert one.data_root != other.data_root


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ((), ()),
        (("--direct_num_workers=2",), (*IN_PROCESS, "--direct_num_workers=2")),
        (("--runner=DataflowRunner",), ("--runner=DataflowRunner",)),
        (
            ("--direct_num_workers=2", "--direct_running_mode=multi_processing"),
            (*IN_PROCESS, "--direct_num_workers=2", "--direct_running_mode=multi_processing"),
        ),
    ],
)
def test_the_runner_is_never_left_to_beam(
    tmp_path: Path, given: tuple[str, ...], taken: tuple[str, ...]
) -> None:
    assert Workspace(tmp_path).environment("signs", given).engine == taken


def test_an_engine_is_no_part_of_what_tfx_takes_for_the_same_work(tmp_path: Path) -> None:
    """Another port would train anew."""
    one, other = (
        Workspace(tmp_path).environment("signs", ("--runner=X", f"--job_endpoint=a:{port}"))
        for port in (1, 2)
    )
    assert one.beam_args == other.beam_args == IN_PROCESS
    assert one.engine != other.engine


def test_tfx_does_not_pack_itself_for_workers_that_have_it(tmp_path: Path) -> None:
    from tfx.utils import dependency_utils

    local = Workspace(tmp_path).environment("signs").beam_args
    for beam_args in (local, Engine("a:1", ("b:2",)).beam_args()):
        assert dependency_utils.make_beam_dependency_flags(list(beam_args)) == list(beam_args)
