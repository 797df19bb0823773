import subprocess
import sys

import pytest

from pipeline.commands.beam_options import BeamOptionError, check_beam_options

OURS = ["--data", "--max-rejected", "--set", "--help"]


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--runner=DirectRunner"],
        ["--runner", "DataflowRunner", "--region=europe-west1"],
        ["--direct_num_workers=2", "--direct_running_mode=multi_processing"],
        ["--temp_location", "/tmp/beam"],
    ],
)
def test_options_of_beam(options: list[str]) -> None:
    check_beam_options(options, OURS)


@pytest.mark.parametrize(
    ("options", "ours", "message"),
    [
        (["my.zip"], OURS, "'my.zip' belongs to no option. Did you mean --data my.zip?"),
        (["my.zip"], [], "'my.zip' belongs to no option."),
        (
            ["--max-reject", "0.2"],
            OURS,
            "There is no option --max-reject, and Beam has none. Did you mean --max-rejected?",
        ),
        (
            ["--direct_num_worker=2"],
            OURS,
            "There is no option --direct_num_worker, and Beam has none. "
            "Did you mean --direct_num_workers?",
        ),
        (
            ["--epochs=3"],
            OURS,
            "There is no option --epochs, and Beam has none. "
            "A setting is given as --set NAME=VALUE, such as --set train.epochs=30.",
        ),
        (["--epochs=3"], [], "There is no option --epochs, and Beam has none."),
        (["--runner=DirectRunner", "-x"], [], "There is no option --x, and Beam has none."),
        (
            ["--direct_num_workers=many"],
            OURS,
            "Beam does not take this option: argument --direct_num_workers: "
            "invalid int value: 'many'",
        ),
    ],
)
def test_what_beam_would_drop_or_die_of(
    options: list[str], ours: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BeamOptionError) as caught:
        check_beam_options(options, ours)
    assert str(caught.value) == message
    assert capfd.readouterr() == ("", "")


def test_a_runner_that_beam_does_not_have() -> None:
    with pytest.raises(BeamOptionError, match="Unexpected pipeline runner: Foo"):
        check_beam_options(["--runner=Foo"])


@pytest.mark.parametrize("runner", ["FlinkRunner", "SparkRunner", "PortableRunner", "flink"])
def test_a_runner_that_would_look_for_a_job_server(runner: str) -> None:
    with pytest.raises(BeamOptionError, match=f"--runner {runner} looks for a job server"):
        check_beam_options([f"--runner={runner}"])


def test_without_options_beam_is_not_imported() -> None:
    code = (
        "import sys; from pipeline.commands.beam_options import check_beam_options\n"
        "check_beam_options([]); sys.exit('apache_beam' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
