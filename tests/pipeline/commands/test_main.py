"""The command line as its users meet it: what it prints, where to, and its exit codes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.commands import doctor
from pipeline.commands import main as cli
from pipeline.commands.doctor import Finding
from pipeline.running import run
from pipeline.running.summary import RunSummary
from signs import features
from signs.client import Client
from tests import ROOT

SIGNS = [sys.executable, "-m", "pipeline.commands.main"]
COMMANDS = (
    *("doctor", "ingest", "run", "serve", "predict", "runs"),
    *("bench-serving", "promote", "rollback", "versions", "shadow"),
)


@pytest.fixture
def signs(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in an empty folder; returns its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIGNS_WORKSPACE", raising=False)

    def run_command(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(arguments)
        return (code, *capfd.readouterr())

    return run_command


# --- Help -----------------------------------------------------------------------------------------


def test_help_answers_at_once() -> None:
    seconds = []
    for _ in range(4):
        begun = time.perf_counter()
        subprocess.run([*SIGNS, "--help"], cwd=ROOT, check=True, capture_output=True)
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 0.5


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from pipeline.commands.main import main; main(['run', '--help'])\n"
        "heavy = {'tensorflow', 'tfx', 'apache_beam', 'numpy', 'grpc', 'h5py', 'PIL'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)))"
    )
    help_ = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert help_.stderr.strip() == ""


def test_every_command_is_explained_with_an_example(
    signs: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, err = signs("--help")
    assert (code, err) == (0, "")
    assert all(f" {command} " in out for command in COMMANDS)
    for command in COMMANDS:
        code, out, err = signs(command, "--help")
        assert (code, err) == (0, "")
        assert f"signs {command}" in out[out.index("Examples:") :]


def test_the_version(signs: Callable[..., tuple[int, str, str]]) -> None:
    assert signs("--version") == (0, "signs 0.1.0\n", "")


def test_without_a_command_help_is_shown(signs: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = signs()
    assert code == 2
    assert "Usage: signs" in out
    assert err == ""


# --- Mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frob"], "No such command 'frob'.\nTry: signs --help"),
        (["runs", "--jsn"], "No such option: --jsn"),
        (["predict"], "Missing argument 'images'.\nTry: signs predict --help"),
        (["run", "--schema", "mine"], "Invalid value for '--schema'"),
        (["run", "--tune", "some"], "Invalid value for '--tune'"),
        (["run", "--tune", "-1"], "tune.trials must be in [0, 1000]. Received: -1"),
        (["run", "--set", "warm_start=perhaps"], "warm_start: Input should be a valid boolean"),
        (["run", "--set", "devices.gpus=-1"], "devices.gpus must be a count from 0"),
        (["run", "--max-rejected", "x"], "Invalid value for '--max-rejected'"),
        (["run", "my.zip"], "'my.zip' belongs to no option. Did you mean --data my.zip?"),
        (["run", "--max-reject=1"], "There is no option --max-reject, and Beam has none."),
        (["run", "--runner", "Foo"], "--runner Foo: Unexpected pipeline runner: Foo."),
        (["ingest", "nowhere"], "there is no 'nowhere'."),
        (["ingest", "a", "b"], "'b' belongs to no option."),
        (["predict", "none.jpg"], "none.jpg: no such file"),
        (["serve", "--rest-port", "x"], "Invalid value for '--rest-port'"),
        (["serve"], "a model was never pushed to workspace: make one with `signs run`"),
        (
            ["serve", "--model", "cats"],
            "a model 'cats' was never pushed to workspace: make one with `signs run`",
        ),
    ],
)
def test_a_mistake_gets_a_line_or_two(
    signs: Callable[..., tuple[int, str, str]], arguments: list[str], message: str
) -> None:
    code, out, err = signs(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"signs: error: {message}")
    assert len(err.splitlines()) <= 2


def test_an_image_that_is_none(signs: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    (tmp_path / "note.jpg").write_text("hello")
    code, _, err = signs("predict", "note.jpg")
    assert code == 2
    assert err.startswith("signs: error: note.jpg: ")


def test_nobody_serves(signs: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        code, _, err = signs("predict", "a.png", "--address", address, "--timeout", "1")
    assert code == 2
    assert err.startswith(f"signs: error: Nobody answers at {address}: start a server with `signs")


def test_several_models_ask_for_one(
    signs: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    for name in ("signs", "cats", ".hidden"):
        (tmp_path / "workspace" / "serving" / name).mkdir(parents=True)
    (tmp_path / "a.png").write_bytes(b"")
    for arguments in (["serve"], ["predict", "a.png"]):
        assert signs(*arguments) == (
            2,
            "",
            "signs: error: workspace has several models: choose with --model cats or signs\n",
        )


def test_ctrl_c_is_no_traceback(
    signs: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "checks", interrupted)
    assert signs("doctor")[0] == 130


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    listing = subprocess.run(
        [*SIGNS, "runs", "--json"],
        cwd=ROOT,
        env={**os.environ, "SIGNS_WORKSPACE": str(tmp_path)},
        stdout=write_end,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write_end)
    assert (listing.returncode, listing.stderr) == (1, b"")


def test_text_that_the_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    asking = subprocess.run(
        [*SIGNS, "predict", "händ\udcff.jpg"],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "SIGNS_WORKSPACE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert asking.returncode == 2
    assert asking.stderr.startswith(r"signs: error: h\xe4nd\udcff.jpg: no such file")


# --- doctor, runs, run ----------------------------------------------------------------------------

FINDINGS = [Finding("Python", "ok", "3.11"), Finding("disk", "fail", "full", "free some")]


def test_doctor(
    signs: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def checks(workspace: Path) -> list[Finding]:
        asked.append(workspace)
        return FINDINGS

    monkeypatch.setattr(doctor, "checks", checks)
    code, out, err = signs("doctor", "--workspace", "there")
    assert (code, err, asked) == (1, "", [Path("there")])
    assert "cannot run here yet: 1 of 2 checks failed." in out
    monkeypatch.setenv("SIGNS_WORKSPACE", "elsewhere")
    code, out, _ = signs("doctor", "--json")
    assert code == 1
    assert json.loads(out) == [vars(finding) for finding in FINDINGS]
    assert asked[1] == Path("elsewhere")


SUMMARY = RunSummary(
    run_id="20261122-221400-ab12",
    pipeline="signs",
    status="finished",
    started=datetime(2026, 11, 22, 22, 14, tzinfo=UTC),
    accuracy=0.9,
    blessed=False,
)


def test_runs(signs: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    assert signs("runs") == (0, "No runs in workspace yet. Start one with:  signs run\n", "")
    assert signs("runs", "--json") == (0, "[]\n", "")
    folder = tmp_path / "workspace" / "runs" / "signs" / SUMMARY.run_id
    folder.mkdir(parents=True)
    SUMMARY.save(folder)
    code, out, _ = signs("runs")
    assert code == 0
    assert f"{SUMMARY.run_id} signs not blessed   90.0 %" in out
    assert json.loads(signs("runs", "--json")[1]) == [json.loads(SUMMARY.to_json())]


@pytest.mark.parametrize(
    ("status", "expected"), [("finished", 0), ("failed", 1), ("interrupted", 130)]
)
def test_run_hands_everything_on(
    signs: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    status: Any,
    expected: int,
) -> None:
    received: dict[str, Any] = {}
    summary = RunSummary(
        run_id="a", pipeline="signs", status=status, started=SUMMARY.started, accuracy=0.9
    )

    def run_pipeline(source: str, workspace: Any, console: Any, **rest: Any) -> RunSummary:
        console.print("on the way")
        received.update(rest, source=source, workspace=workspace.root)
        return summary

    monkeypatch.setattr(run, "run", run_pipeline)
    monkeypatch.setattr(sys, "argv", ["signs", "run", "--data", "my photos"])
    code, out, err = signs(
        "run",
        *("--data", "my photos", "--name", "mine", "--workspace", "w"),
        *("--set", "train.epochs=3", "--set", "image_size=32", "--schema", "infer"),
        *("--tune", "8", "--warm-start", "--on", "kubeflow-local"),
        *("--max-rejected", "0.5", "--direct_num_workers", "2", "--temp_location", "t", "--json"),
    )
    assert (code, err) == (expected, "on the way\n")
    assert json.loads(out) == json.loads(summary.to_json())
    assert received == {
        "source": "my photos",
        "workspace": Path("w"),
        "name": "mine",
        "settings": [
            "schema=infer",
            "warm_start=true",
            "tune.trials=8",
            "train.epochs=3",
            "image_size=32",
        ],
        "max_rejected": 0.5,
        "beam_args": [
            "--temp_location",
            "t",
            "--direct_num_workers=2",
            "--direct_running_mode=multi_processing",
        ],
        "on": "kubeflow-local",
        "resume": "signs run --data 'my photos'",
    }
    code, out, err = signs("run")
    assert (code, err) == (expected, "")
    assert ("accuracy  90.0 %" in out) == (status == "finished")
    assert received["source"] == "synthetic"
    assert received["settings"] == received["beam_args"] == []


# --- ingest ---------------------------------------------------------------------------------------


def test_ingest(signs: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    for label in ("cat", "[red] dög"):
        folder = tmp_path / "pets" / label
        folder.mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (8, 8), (number, len(label), 0)).save(folder / f"{number}.png")
    (tmp_path / "pets" / "cat" / "bad.png").write_bytes(b"")
    (tmp_path / "pets" / "Thumbs.db").touch()
    code, out, err = signs("ingest", "pets")
    assert (code, out) == (2, "")
    assert "1 of 25 files were rejected, more than the 0.01 allowed (--max-rejected)" in err

    code, out, err = signs("ingest", "pets", "--max-rejected", "0.1")
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "pets: span 1, version 1, ingested"
    assert lines[1] == "class train eval test"
    assert {line.rsplit(" ", 3)[0] for line in lines[2:5]} == {"cat", "[red] dög", "all"}
    assert lines[5].startswith("Rejected: 1 (1 ")
    stored = tmp_path / "workspace/data/pets/span-1/v-1"
    assert lines[6] == f"each of them: {stored / 'rejected.jsonl'}"
    assert lines[7].startswith("Ignored: 1 (1 ")
    assert lines[-1] == f"Stored: {stored}"

    code, out, err = signs("ingest", "pets", "--max-rejected", "0.1", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["reused"] is True
    assert told["class_names"] == ["[red] dög", "cat"]
    assert sum(sum(classes.values()) for classes in told["counts"].values()) == 24
    assert sum(told["rejected"].values()) == 1
    assert Path(told["rejected_list"]).exists()


# --- serve and predict ----------------------------------------------------------------------------


def save_model(path: Path) -> None:
    """A model that tells red images from others, with the signature of ours."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.IMAGES_INPUT)])
        def serve_images(self, image_bytes: Any) -> Any:
            def red(encoded: Any) -> Any:
                image = tf.io.decode_image(encoded, 3, expand_animations=False)
                return tf.reduce_mean(tf.cast(image[..., 0], tf.float32)) / 255.0

            share = tf.map_fn(red, image_bytes, fn_output_signature=tf.float32)
            probabilities = tf.stack([1.0 - share, share], axis=1)
            class_id = tf.argmax(probabilities, axis=1)
            return {
                features.PROBABILITIES: probabilities,
                features.PREDICTED_CLASS_ID: class_id,
                features.PREDICTED_CLASS_NAME: tf.gather(["other", "[red]"], class_id),
            }

    model = Model()
    tf.saved_model.save(model, str(path), signatures={features.SERVE_IMAGES: model.serve_images})


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of `signs serve` in a workspace with one model."""
    base_path = tmp_path / "workspace" / "serving" / "colours"
    save_model(base_path / "1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [*SIGNS, "serve", "--port", str(port), "--workspace", str(tmp_path / "workspace")],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with Client(f"127.0.0.1:{port}", model_name="colours") as client:
            assert client.wait_until_available() == 1
        yield f"127.0.0.1:{port}"
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    finally:
        server.kill()
        server.communicate()


def test_a_page_without_a_port(signs: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    (tmp_path / "workspace" / "serving" / "cats").mkdir(parents=True)
    message = "signs: error: --page needs a REST port: leave out --rest-port 0\n"
    assert signs("serve", "--page", "--rest-port", "0") == (2, "", message)


def test_serve_and_predict(
    served: str, signs: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "photos" / "a.png")
    Image.new("L", (9, 9), 51).save(tmp_path / "photos" / "[b].png")
    code, out, err = signs("predict", "photos", "--address", served)
    assert (code, err) == (0, "")
    assert sorted(line.split() for line in out.splitlines()) == [
        ["image", "class", "probability"],
        ["photos/[b].png", "other", "80.0", "%"],
        ["photos/a.png", "[red]", "100.0", "%"],
    ]
    code, out, err = signs("predict", "photos/a.png", "--address", served, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == [
        {
            "source": "photos/a.png",
            "class_id": 1,
            "class_name": "[red]",
            "probability": 1.0,
            "probabilities": [0.0, 1.0],
            "by_class": {},  # this model has no signature that tells them
        }
    ]
    code, out, err = signs("predict", "photos", "--address", served, "--model", "cats")
    assert (code, out) == (2, "")
    assert "cats" in err
    shutil.rmtree(tmp_path / "photos")
