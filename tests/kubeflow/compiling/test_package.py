"""The file appears whole or not at all, and mistakes are told before an image is looked at."""

import errno
import json
import os
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from data.manifest import Manifest, Shard
from kubeflow.compiling.options import ClusterOptions
from kubeflow.compiling.package import PackageError, compile_source, write_package
from kubeflow.compiling.pipeline_file import read_pipeline
from modules.training.job import TrainingJob
from pipeline.commands.main import main
from pipeline.environment import Workspace
from signs import durable
from signs.errors import UserError
from signs.features import SPLITS

IMAGE = f"signs@sha256:{'0' * 64}"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


def test_data_set_is_compiled(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "mine.yaml"
    arguments = ["compile", "--data", "synthetic:60", "--name", "two-synthetic", "--image", IMAGE]
    arguments += ["--workspace", str(workspace), "--output", str(output), "--gpu", "2"]
    arguments += ["--warm-start", "--tune", "3", "--set", "train.epochs=7"]
    assert main(arguments) == 0
    assert capsys.readouterr().out == (
        f"Wrote {output}: the pipeline two-synthetic, for {IMAGE}\n"
        f"Before it runs, copy {workspace}/data/two-synthetic/ to /workspace/data/two-synthetic/ "
        "on the claim signs-workspace.\n"
        f"Next: signs submit {output} --dry-run\n"
    )
    pipeline = next(yaml.safe_load_all(output.read_text()))
    tasks = pipeline["root"]["dag"]["tasks"]
    assert {"WarmStart", "Tuner"} <= set(tasks)
    assert "range_config" not in tasks["SpanGen"]["inputs"]["parameters"]
    trainer = tasks["Trainer"]["inputs"]["parameters"]["custom_config"]["runtimeValue"]["constant"]
    assert TrainingJob.from_custom_config(json.loads(trainer)).recipe.epochs == 7
    accelerator = {"resourceType": "nvidia.com/gpu", "resourceCount": "2"}
    executors = pipeline["deploymentSpec"]["executors"]
    assert executors["Tuner_executor"]["container"]["resources"]["accelerator"] == accelerator

    before = output.read_bytes()
    assert main(arguments) == 0  # the span is found again
    assert output.read_bytes() == before
    assert [path.name for path in (workspace / "data/two-synthetic").iterdir()] == ["span-1"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]

    assert main([*arguments, "--pin-span", "--spans", "last:8"]) == 0
    pinned = next(yaml.safe_load_all(output.read_text()))
    parameters = pinned["root"]["dag"]["tasks"]["SpanGen"]["inputs"]["parameters"]
    assert '"start_span_number": 1' in parameters["range_config"]["runtimeValue"]["constant"]
    pattern = "span-{SPAN}/v-1/manifest.json"
    assert pattern in parameters["input_config"]["runtimeValue"]["constant"]
    defaults = pinned["root"]["inputDefinitions"]["parameters"]
    assert defaults["spans"]["defaultValue"] == "last:8"


def test_further_test_sets_are_to_be_copied_too(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "mine.yaml"
    arguments = ["compile", "--data", "synthetic:60", "--image", IMAGE]
    arguments += ["--workspace", str(workspace), "--output", str(output)]
    arguments += ["--also-test", "new-synthetic=synthetic:30"]
    arguments += ["--set", "evaluate.min_accuracy_on.new-synthetic=0.5"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[1:3] == [
        f"Before it runs, copy {workspace}/data/signs-synthetic/ to "
        "/workspace/data/signs-synthetic/ on the claim signs-workspace.",
        f"Before it runs, copy {workspace}/also_test/new-synthetic/ to "
        "/workspace/also_test/new-synthetic/ on the claim signs-workspace.",
    ]
    assert (workspace / "also_test/new-synthetic/span-1/v-1/manifest.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "signs:latest"], "the image must be one for ever"),
        ([], "--image is missing"),
        (["--image", IMAGE, "--pipeline-root", "file:///tmp"], "pipeline_root must be a bucket"),
        (["--image", IMAGE, "--gpu", "-1"], "'--gpu': Input should be greater than or equal to 0"),
        (["--image", IMAGE, "--set", "train.epochz=3"], "did you mean train.epochs"),
        (
            ["--image", IMAGE, "--tune", "-1"],
            "'--tune': Input should be greater than or equal to 0",
        ),
        (["--image", IMAGE, "--output", "p.json"], "--output must end in .yaml, as KFP wants it"),
        (["--image", IMAGE, "--output", "none/p.yaml"], "must be a file in a folder that exists"),
        (["--image", IMAGE, "--name", "My_Signs"], "must be at most 63 lower-case letters"),
        (["--image", IMAGE, "--name", "synthetic-"], "choose another with --name"),
        (["--image", IMAGE, "--name", "hands"], "must end in -synthetic"),
        (["--image", IMAGE, "--layout", "classes"], "are for folders and .zip files"),
        (["--image", IMAGE, "--split", "train"], "--split must be NAME=FOLDER"),
        (["--image", IMAGE, "--also-test", "none/"], "there is no 'none/'"),
    ],
)
def test_mistake_is_told_in_a_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compile", "--workspace", str(tmp_path / "workspace"), *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") <= 2  # the mistake, and where the options are told
    assert not [*tmp_path.rglob("*.yaml"), *tmp_path.rglob("*.gz")]


def write_manifest(folder: Path) -> Path:
    counts = {split: {"no": 1, "yes": 1} for split in SPLITS}
    manifest = Manifest(
        "hands", 3, 2, ("no", "yes"), counts,
        tuple(Shard(f"{split}/0", split, 1, "", 2) for split in SPLITS),
        "photos", False, "", {}, "2", "2026-11-27T10:00:00Z", {}, {},
    )  # fmt: skip
    path = folder / "manifest.json"
    path.write_text(manifest.to_json(), encoding="utf-8")
    return path


def test_a_manifest_in_the_place_of_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, workspace = tmp_path / "p.yaml", tmp_path / "workspace"
    arguments = ["compile", "--data", str(write_manifest(tmp_path)), "--image", IMAGE, "--pin-span"]
    arguments += ["--output", str(output), "--workspace", str(workspace)]
    assert main(arguments) == 0
    assert not workspace.exists()
    assert "copy" not in capsys.readouterr().out
    read = read_pipeline(output)
    assert read.name == "hands"
    given = {task.name: task.spec.inputs.parameters for task in read.tasks}
    classes = given["Evaluator"]["class_names"].runtime_value.constant.string_value
    assert json.loads(classes) == ["no", "yes"]
    assert "v-2" in given["SpanGen"]["input_config"].runtime_value.constant.string_value
    assert main([*arguments, "--name", "feet"]) == 2
    assert "is of hands, and --name says feet: leave it out" in capsys.readouterr().err
    assert main([*arguments, "--also-test", str(tmp_path)]) == 2
    assert "--also-test needs the data set here" in capsys.readouterr().err
    (tmp_path / "manifest.json").write_text("{}")
    assert main(arguments) == 2


def test_failure_leaves_the_file_of_before(workspace: Path, tmp_path: Path) -> None:
    output = tmp_path / "pipeline.yaml"
    output.write_text("before")
    options = ClusterOptions(image=IMAGE)
    with pytest.raises(UserError, match="choose another with --name"):
        compile_source(
            "synthetic:60",
            Workspace(workspace),
            options,
            output,
            Console(quiet=True),
            name=f"{'x' * 120}-synthetic",
        )
    assert output.read_text() == "before"
    assert list(tmp_path.iterdir()) == [output]


def test_file_is_replaced_whole_and_readable(tmp_path: Path) -> None:
    output = tmp_path / "pipeline.yaml"
    write_package("one\n", output)
    assert output.stat().st_mode & 0o777 == 0o644
    link = tmp_path / "link.yaml"
    link.symlink_to(output)
    write_package("two\n", link)
    assert output.read_text() == "two\n"
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.yaml", "pipeline.yaml"]


def test_full_disk_leaves_the_file_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(built: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    output = tmp_path / "pipeline.yaml"
    output.write_text("before")
    monkeypatch.setattr(durable, "replace", full)
    with pytest.raises(PackageError) as caught:
        write_package("after", output)
    assert str(caught.value) == f"{output} cannot be written: No space left on device"
    assert output.read_text() == "before"
    assert list(tmp_path.iterdir()) == [output]


def test_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="cannot be written: No such file or directory"):
        write_package("text", tmp_path / "none" / "pipeline.yaml")
