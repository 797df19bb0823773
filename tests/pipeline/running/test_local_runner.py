"""Two small components, run one after the other: what is told of each, and what is reused."""

from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PortableOptions
from tfx.dsl.component.experimental.annotations import (
    BeamComponentParameter,
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.types.standard_artifacts import Model

from pipeline.running.local_runner import ComponentFailedError, NodeResult, run_pipeline


@component
def Say(words: Parameter[str], said: OutputArtifact[Model]):  # noqa: N802
    (Path(said.uri) / "words").write_text(words)


@component
def Hear(said: InputArtifact[Model], least: Parameter[int], heard: OutputArtifact[Model]):  # noqa: N802
    words = (Path(said.uri) / "words").read_text()
    if len(words) < least:
        raise ValueError(f"{words!r} is short")
    (Path(heard.uri) / "words").write_text(words)


@component(use_beam=True)
def Ask(  # noqa: N802
    said: OutputArtifact[Model], pipeline: BeamComponentParameter[beam.Pipeline] = None
):
    endpoint = pipeline.options.view_as(PortableOptions).job_endpoint
    (Path(said.uri) / "words").write_text(str(endpoint))


def run(root: Path, run_id: str, *, words: str = "hello", least: int = 1, last: str = "Hear"):
    """Runs the two; returns what was told, and the results by id."""
    say = Say(words=words)
    hear = Hear(said=say.outputs["said"], least=least).with_id(last)
    pipeline = Pipeline(
        pipeline_name="two",
        pipeline_root=str(root / "artifacts"),
        components=[hear, say],  # runs in the order of the arrows, not of this list
        enable_cache=True,
        metadata_connection_config=sqlite_metadata_connection_config(str(root / "metadata.sqlite")),
    )
    told: list[object] = []

    def ended(result: NodeResult) -> None:
        told.append((result.id, "reused" if result.reused else "done"))

    try:
        results = run_pipeline(
            pipeline,
            run_id,
            on_plan=told.append,
            on_start=told.append,
            on_end=ended,
            on_fail=lambda id, error: told.append((id, str(error))),
        )
    except ComponentFailedError as err:
        return told, err
    return told, results


def test_what_is_unchanged_is_reused(tmp_path: Path) -> None:
    told, first = run(tmp_path, "first")
    assert told == [["Say", "Hear"], "Say", ("Say", "done"), "Hear", ("Hear", "done")]
    [heard] = first["Hear"].outputs["heard"]
    assert (Path(heard.uri) / "words").read_text() == "hello"
    assert first["Say"].seconds > 0

    told, second = run(tmp_path, "second")
    assert told[2::2] == [("Say", "reused"), ("Hear", "reused")]
    assert second["Hear"].outputs["heard"][0].uri == heard.uri

    told, _ = run(tmp_path, "third", least=2)
    assert told[2::2] == [("Say", "reused"), ("Hear", "done")]


def test_the_pusher_is_never_reused(tmp_path: Path) -> None:
    for run_id in ("first", "second"):
        told, _ = run(tmp_path, run_id, last="Pusher")
    assert told[2::2] == [("Say", "reused"), ("Pusher", "done")]


def test_a_component_that_fails_is_named_and_those_after_it_do_not_run(tmp_path: Path) -> None:
    told, error = run(tmp_path, "first", words="hi", least=3)
    assert told == [["Say", "Hear"], "Say", ("Say", "done"), "Hear", ("Hear", "'hi' is short")]
    assert isinstance(error, ComponentFailedError)
    assert error.component == "Hear"
    assert str(error) == "Hear failed: 'hi' is short"
    assert isinstance(error.__cause__, ValueError)
    # Nothing of it is reused.
    told, _ = run(tmp_path, "second", words="hi", least=2)
    assert told[2::2] == [("Say", "reused"), ("Hear", "done")]


def test_another_engine_is_used_and_makes_nothing_anew(tmp_path: Path) -> None:
    """TFX takes the same work with other options of Beam for other work."""
    results = []
    connection = sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite"))
    for run_id, port in (("first", 1), ("second", 2)):
        pipeline = Pipeline(
            pipeline_name="asks",
            pipeline_root=str(tmp_path / "artifacts"),
            components=[Ask()],
            enable_cache=True,
            metadata_connection_config=connection,
            beam_pipeline_args=["--runner=FnApiRunner", "--sdk_container_image=none"],
        )
        engine = ("--sdk_container_image=none", f"--job_endpoint=a:{port}")
        results.append(run_pipeline(pipeline, run_id, engine=engine)["Ask"])
    assert [result.reused for result in results] == [False, True]
    [said] = results[0].outputs["said"]
    assert (Path(said.uri) / "words").read_text() == "a:1"
