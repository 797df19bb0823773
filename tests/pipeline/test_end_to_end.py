"""The real DAG, as a user starts it: `signs run` on a folder of somebody's own images.

A small ResNet learns three colours from pictures of any size. The tests share one workspace and run
in the order in which they stand: a first run, one with nothing changed, one that was killed, and
one whose model is not good enough.
"""

import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from components.picture_statistics.executor import load
from components.run_page.facts import Facts
from components.serving_check.executor import ServingCheckError, check
from data.sample import read_samples
from model_server import ServerProcess
from modules.copies import TRAINED_MODEL
from pipeline.config import Data, default_config
from pipeline.environment import Workspace
from pipeline.pipeline import create_pipeline
from pipeline.running.local_runner import ComponentFailedError, run_pipeline
from signs.client import Client
from signs.durable import lock
from signs.features import SPLITS, TEST_EMBEDDINGS
from tests.kubeflow.step.spans import CLASSES as CLASSES_OF_SPAN
from tests.kubeflow.step.spans import write_span

SIGNS = Path(sys.executable).with_name("signs")
CLASSES = {"dark blue": (20, 20, 120), "grün": (40, 180, 60), "red": (210, 40, 40)}
SMALL = (
    *("train.blocks=[1]", "train.width=8", "train.epochs=12", "image_size=32"),
    "train.sizes=[[1.0,1.0]]",  # another size takes seconds, and test_input.py and others have it
)
# Twelve test images prove little, and their colours are what the nearest image goes by.
EVALUATE = (
    *("evaluate.min_accuracy=0.5", "evaluate.min_class_accuracy=0"),
    *("evaluate.min_corrupted_accuracy=0.05", "evaluate.max_calibration_error=1"),
    "evaluate.must_beat=majority",
)
SETTINGS = (*SMALL, "train.learning_rate=0.01", *EVALUATE)
# The graph of all changes to images takes seconds: the first run has it, the others do without.
UNCHANGED = "train.augmentation.strength=0"
MEASURED = "evaluate.min_accuracy_on.a-customer=null"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures of each colour: noisy, of any size, and not square."""
    root = tmp_path_factory.mktemp("colours")
    random = np.random.default_rng(0)
    for name in CLASSES:
        (root / name).mkdir()
        for number in range(40):
            picture = draw(name, random)
            picture.save(root / name / f"{number}.{'png' if number % 2 else 'jpg'}")
    return root


@pytest.fixture(scope="module")
def customer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of two of the colours and of one that nobody has learned; one has a wrong name."""
    root = tmp_path_factory.mktemp("customer") / "a customer"
    random = np.random.default_rng(1)
    for split, name in itertools.product(("train", "test"), ("red", "grün", "purple")):
        (root / split / name).mkdir(parents=True)
        for number in range(4):
            draw("red" if name == "purple" else name, random).save(
                root / split / name / f"{number}.png"
            )
    draw("red", random).save(root / "test" / "grün" / "0.png")
    return root


def draw(name: str, random: np.random.Generator) -> Image.Image:
    shape = (*random.integers(24, 90, 2), 3)
    pixels = np.clip(CLASSES[name] + random.normal(0, 25, shape), 0, 255)
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


def command(
    images: Path, workspace: Path, *settings: str, also_test: Path | None = None
) -> list[str]:
    options = [option for setting in settings for option in ("--set", setting)]
    options += ["--also-test", str(also_test)] if also_test else []
    where = ["--data", str(images), "--name", "colours", "--workspace", str(workspace)]
    return [str(SIGNS), "run", *where, "--json", *options]


def run(
    images: Path, workspace: Path, *settings: str, also_test: Path | None = None
) -> dict[str, Any]:
    done = subprocess.run(
        command(images, workspace, *settings, also_test=also_test),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def versions(workspace: Path) -> list[str]:
    return sorted(path.name for path in (workspace / "serving" / "colours").iterdir())


@pytest.fixture(scope="module")
def first(images: Path, workspace: Path, customer: Path) -> dict[str, Any]:
    return run(images, workspace, *SETTINGS, MEASURED, also_test=customer)


@pytest.fixture(scope="module")
def server(workspace: Path, first: dict[str, Any]) -> Iterator[ServerProcess]:
    with ServerProcess(workspace / "serving" / "colours", model_name="colours") as process:
        yield process


def test_no_statistics_hold_every_name(first: dict[str, Any], workspace: Path) -> None:
    [path] = workspace.rglob("StatisticsGen/statistics/*/Split-train/FeatureStats.pb")
    [dataset] = load(path).datasets
    words = {one.path.step[0]: one.string_stats for one in dataset.features}
    assert words["class_name"].unique == len(CLASSES)
    assert len(words["class_name"].top_values) == len(CLASSES)
    assert words["source_id"].common_stats.num_non_missing == dataset.num_examples
    assert not words["source_id"].unique
    assert not words["source_id"].top_values


def test_a_run_ends_with_a_pushed_model_that_answered(
    first: dict[str, Any], workspace: Path
) -> None:
    assert first["status"] == "finished"
    assert first["blessed"] and first["infra_blessed"]
    assert first["accuracy"] >= 0.8
    assert sum(first["counts"].values()) == 120
    assert (first["pushed_version"], versions(workspace)) == (1, ["1"])
    assert first["query"]["images"] == first["counts"]["test"]
    assert first["query"]["accuracy"] == pytest.approx(first["accuracy"], abs=1e-6)
    assert first["query"]["version"] == first["pushed_version"]
    assert {name for name in first["metrics"] if "/" in name} <= {
        f"accuracy/{name}" for name in CLASSES
    }
    states = {name: component["state"] for name, component in first["components"].items()}
    assert set(states.values()) == {"done"}
    assert {"SpanGen", "Trainer", "Evaluator", "ServingCheck", "Pusher"} <= set(states)
    # In bfloat16, where the processor has it and no answer changes; else the run says why not.
    served = first["served"]
    assert (served["precision"] == "float32") is bool(served["without_bfloat16"])
    assert served["largest_difference"] <= (1e-5 if served["precision"] == "float32" else 0.02)
    assert (served["images"], served["changed_classes"]) == (first["counts"]["test"], 0)
    pushed = workspace / "serving" / "colours" / "1"
    assert {path.name for path in (pushed / "assets.extra").iterdir()} == {
        *("model_card.html", "tf_serving_warmup_requests", "trained.keras"),
        *("training_statistics.pb", "model.cdx.json", "provenance.intoto.json"),
        "test_embeddings.npy",
    }
    seen = np.load(pushed / TEST_EMBEDDINGS)
    assert (len(seen), seen.dtype) == (first["counts"]["test"], np.float16)
    assert np.isfinite(seen).all() and seen.any()
    log = Path(first["log"]).read_text()
    assert "Trainer" in log
    assert "cuInit" not in log and "absl::" not in log  # nothing that frightens


def test_a_run_has_a_page_that_goes_along_with_the_model(
    first: dict[str, Any], workspace: Path
) -> None:
    facts = Facts.load(Path(first["report"]))
    assert facts.test.accuracy == pytest.approx(first["accuracy"])
    # TFMA has judged the model, and the page has asked it: they agree picture by picture.
    pairs = Counter((one.class_name, one.answer) for one in facts.answers)
    names = facts.class_names
    assert facts.test.confusion == tuple(
        tuple(pairs[right, answer] for answer in names) for right in names
    )
    assert facts.counts["test"] == Counter(one.class_name for one in facts.answers)
    assert facts.source.span == first["span"] and len(facts.source.fingerprint) == 64
    assert sum(bool(one.heat) for one in facts.answers) == 8
    page = (workspace / "runs" / "colours" / first["run_id"] / "report.html").read_text()
    card = workspace / "serving" / "colours" / "1" / "assets.extra" / "model_card.html"
    assert "v1</dd>" in page.replace('<div class="small break">', "</dd>")
    assert "Model card" in card.read_text() and first["run_id"] not in card.read_text()
    assert set(first["component_peak_mib"]) == set(first["components"])
    logs = workspace / "runs" / "colours" / first["run_id"] / "tensorboard"
    assert (logs / "train").is_dir()


def test_what_an_accuracy_is_worth(first: dict[str, Any]) -> None:
    low, high = first["accuracy_interval"]
    assert 0 < low < first["accuracy"] <= high <= 1
    simple = first["simple_answers"]
    assert simple["test_images"] == first["counts"]["test"]
    assert simple["training_images"] == first["counts"]["train"] + first["counts"]["eval"]
    # Colours tell these classes apart: the nearest image does as well as the network.
    assert simple["majority"] < 0.5 < simple["nearest_neighbour"]
    if first["accuracy"] < 1:
        assert first["weakest"]["class_name"] in CLASSES
        assert first["weakest"]["accuracy"] < 1


def test_a_further_test_set_is_judged_by_the_models_classes(first: dict[str, Any]) -> None:
    [found] = first["also_tested"]
    assert (found["name"], found["images"], found["min_accuracy"]) == ("a-customer", 16, None)
    assert found["metrics"]["example_count"] == 16
    assert {name for name in found["metrics"] if "/" in name} == {"accuracy/red", "accuracy/grün"}
    # With labels in the order of its own folders next to nothing would be right.
    assert 0.5 < found["accuracy"] <= 15 / 16
    low, high = found["accuracy_interval"]
    assert 0 < low < found["accuracy"] < high < 1
    assert found["weakest"]["class_name"] in CLASSES
    assert first["blessed"]  # it was not asked for anything
    checks = {row["check"] for row in first["verdict"]["rows"]}
    assert checks == {"accuracy", "majority", "corruption"}


def test_the_commands_of_the_summary_name_a_picture_that_is_there(first: dict[str, Any]) -> None:
    _, predict = first["query_commands"]
    assert Path(shlex.split(predict)[2]).is_file()


def test_what_a_run_leaves_in_its_workspace(first: dict[str, Any], workspace: Path) -> None:
    """Users rely on it, as on what tests/test_surface.py holds: tell them in CHANGELOG.md."""
    assert {path.name for path in workspace.iterdir()} == {
        *(".lock", "also_test", "artifacts", "data", "examples", "logs", "metadata.sqlite"),
        *("runs", "serving"),
    }
    assert {path.name for path in (workspace / "logs").iterdir()} == {f"{first['run_id']}.log"}
    kept = workspace / "runs" / "colours" / first["run_id"]
    assert {"events.jsonl", "summary.json"} <= {path.name for path in kept.iterdir()}
    assert json.loads((kept / "summary.json").read_text()) == first
    version = workspace / "serving" / "colours" / str(first["pushed_version"])
    assert {path.name for path in version.iterdir()} >= {"saved_model.pb", "variables"}


def test_the_model_answers_with_the_users_class_names(
    server: ServerProcess, images: Path, first: dict[str, Any]
) -> None:
    samples = {name: images / name / "0.jpg" for name in CLASSES}
    with Client(server.address, model_name="colours") as client:
        answers = client.predict(list(samples.values()))
    right = sum(answer.class_name == name for answer, name in zip(answers, samples, strict=True))
    assert {answer.class_name for answer in answers} <= set(CLASSES)
    assert right >= 2
    assert all(sum(answer.probabilities) == pytest.approx(1, abs=1e-5) for answer in answers)
    assert all(set(answer.by_class) == set(CLASSES) for answer in answers)


def test_a_second_run_reuses_everything_though_the_workspace_was_moved_and_pushes_nothing(
    first: dict[str, Any], images: Path, workspace: Path, customer: Path
) -> None:
    moved = workspace.rename(workspace.with_name("moved, ü {SPAN} %s"))
    try:
        second = run(images, moved, *SETTINGS, MEASURED, also_test=customer)
    finally:
        moved.rename(workspace)
    assert second["pushed_to"] == f"{moved}/serving/colours"
    made = {
        name
        for name, component in second["components"].items()
        if component["state"] == "done" and name[0].isupper()
    }
    assert made == {"Baseline", "EarlierSpan", "Pusher"}  # asked each time, and quick
    assert second["reused_model"]
    assert second["blessed"]
    assert second["accuracy"] == first["accuracy"]
    assert second["also_tested"] == first["also_tested"]
    assert second["pushed_version"] == first["pushed_version"]
    assert versions(workspace) == [str(first["pushed_version"])]


def test_a_further_test_set_may_decide_alone(
    first: dict[str, Any], images: Path, workspace: Path, customer: Path
) -> None:
    asked = "evaluate.min_accuracy_on.a-customer=0.95"
    refused = run(images, workspace, *SETTINGS, asked, also_test=customer)
    assert refused["components"]["Trainer"]["state"] == "reused"
    assert (refused["accuracy"], refused["blessed"]) == (first["accuracy"], False)
    [unmet] = refused["not_blessed_reasons"]
    assert (unmet["test_set"], unmet["metric"], unmet["threshold"]) == (
        *("a-customer", "accuracy"),
        0.95,
    )
    low, _ = refused["also_tested"][0]["accuracy_interval"]
    assert unmet["value"] == pytest.approx(low) and low < 0.95
    [row] = [row for row in refused["verdict"]["rows"] if not row["passes"]]
    assert (row["check"], row["on"], row["of"]) == ("accuracy", "a-customer", 16)
    assert refused["also_tested"][0]["min_accuracy"] == 0.95
    assert refused["pushed_version"] is None
    assert versions(workspace) == [str(first["pushed_version"])]


def test_a_killed_run_is_finished_by_the_next(
    first: dict[str, Any], images: Path, workspace: Path
) -> None:
    changed = (*SETTINGS, "train.seed=1", "train.epochs=30", UNCHANGED, "evaluate.significance=0")
    with subprocess.Popen(
        command(images, workspace, *changed), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as victim:
        worker = _wait_for_an_epoch(workspace, victim)
        # What TensorFlow reads before anything can be asked of it.
        assert psutil.Process(worker).environ()["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
        os.kill(worker, signal.SIGKILL)
        _, errors = victim.communicate(timeout=60)
    assert victim.returncode == 1
    assert b"killed by SIGKILL" in errors
    assert b"If memory ran out: --set train.batch_size=16 needs less." in errors
    assert versions(workspace) == [str(first["pushed_version"])]

    before = _processes_of(workspace)
    with subprocess.Popen(command(images, workspace, *changed), stderr=subprocess.PIPE) as victim:
        _wait_for_an_epoch(workspace, victim)
        victim.kill()
    # Else the next run would work beside what this one has left.
    deadline = time.monotonic() + 20
    while (left := _processes_of(workspace)) != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == before

    again = run(images, workspace, *changed)
    states = {name: component["state"] for name, component in again["components"].items()}
    assert states["Transform"] == "reused"
    assert states["Trainer"] == "done"
    assert re.search(r"going on after epoch \d+ of 30", Path(again["log"]).read_text())
    assert list(_checkpoints(workspace).iterdir()) == []
    assert again["pushed_version"] > first["pushed_version"]
    assert versions(workspace) == [str(first["pushed_version"]), str(again["pushed_version"])]


def _processes_of(workspace: Path) -> list[list[str]]:
    """The commands of the processes that name the workspace."""
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [words for words in commands if str(workspace) in " ".join(words)]


def _checkpoints(workspace: Path) -> Path:
    return workspace / "artifacts" / "colours" / "checkpoints"


def _wait_for_an_epoch(workspace: Path, victim: subprocess.Popen[bytes]) -> int:
    """The process id of the worker, once its Trainer has kept an epoch."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert victim.poll() is None, victim.communicate()
        if list(_checkpoints(workspace).glob("*/checkpoint")):
            for child in psutil.Process(victim.pid).children():
                if "pipeline.running.child" in child.cmdline():
                    return child.pid
        time.sleep(0.02)
    raise AssertionError("no epoch was kept")


def test_a_bad_model_is_not_pushed_and_the_old_one_keeps_serving(
    first: dict[str, Any], server: ServerProcess, images: Path, workspace: Path, customer: Path
) -> None:
    before = versions(workspace)
    # It learns next to nothing, which is worse than what is served.
    worse = (*SETTINGS, "train.epochs=1", "train.learning_rate=1e-9", UNCHANGED)
    asked = (MEASURED, "evaluate.min_accuracy_change=0", "evaluate.min_corrupted_accuracy=0")
    bad = run(images, workspace, *worse, *asked, also_test=customer)
    assert bad["status"] == "finished"
    assert bad["blessed"] is False
    assert bad["pushed_version"] is None
    assert bad["query"] is None
    kinds = {reason["kind"] for reason in bad["not_blessed_reasons"]}
    assert kinds == {"absolute", "change"}
    # The threshold for classes is 0: what is missed is missed over all images.
    assert {reason["slice"] for reason in bad["not_blessed_reasons"]} == {None}
    absolute = next(one for one in bad["not_blessed_reasons"] if one["kind"] == "absolute")
    assert absolute["metric"] == "accuracy"
    assert absolute["threshold"] == 0.5
    assert absolute["value"] == pytest.approx(bad["accuracy_interval"][0])
    # The baseline is compared with on the data's own test split alone.
    assert {reason["test_set"] for reason in bad["not_blessed_reasons"]} == {None}
    assert bad["also_tested"][0]["images"] == 16
    assert versions(workspace) == before
    with Client(server.address, model_name="colours") as client:
        assert client.metadata().version == int(before[-1])
        assert client.predict(images / "red" / "1.png")[0].class_name in CLASSES


@pytest.fixture
def candidate(first: dict[str, Any], workspace: Path) -> dict[str, Path]:
    """Where the first run's components left what the serving check looks at."""
    artifacts = workspace / "artifacts" / "colours"

    def only(component: str, key: str) -> Path:
        return min((artifacts / component / key).iterdir(), key=lambda path: int(path.name))

    return {
        "model": only("Trainer", "model") / "Format-Serving",
        "model_run": only("Trainer", "model_run"),
        "transform_graph": only("Transform", "transform_graph"),
        "test": only("SpanGen", "examples") / "Split-test",
    }


def images_of(candidate: dict[str, Path]) -> list[bytes]:
    return [sample.image for sample in itertools.islice(read_samples(candidate["test"]), 4)]


def test_an_export_that_is_not_what_was_trained_is_refused(
    candidate: dict[str, Path], tmp_path: Path
) -> None:
    import keras

    model = shutil.copytree(candidate["model"], tmp_path / "model")
    network = keras.models.load_model(model / TRAINED_MODEL, compile=False)
    last = network.layers[-1]
    last.bias.assign(np.asarray(last.bias) + np.array([0.5, 0.0, 0.0], np.float32))
    network.save(model / TRAINED_MODEL)
    result = check(
        model,
        candidate["model_run"],
        candidate["transform_graph"],
        images_of(candidate),
    )
    assert not result.blessed
    assert result.images == 4
    assert "served probabilities differ from the trained model's by" in result.reason


def test_a_model_that_cannot_be_served_stops_the_run(
    candidate: dict[str, Path], tmp_path: Path
) -> None:
    broken = shutil.copytree(candidate["model"], tmp_path / "broken")
    (broken / "saved_model.pb").write_bytes(b"junk")
    images = images_of(candidate)
    with pytest.raises(ServingCheckError, match="the model server gave no answers: "):
        check(broken, candidate["model_run"], candidate["transform_graph"], images)


def test_the_runs_are_listed(first: dict[str, Any], images: Path, workspace: Path) -> None:
    listed = subprocess.run(
        [str(SIGNS), "runs", "--workspace", str(workspace), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    runs = json.loads(listed.stdout)
    assert runs[-1]["run_id"] == first["run_id"]
    # One was killed, another had its worker killed.
    statuses = Counter(one["status"] for one in runs)
    assert statuses["failed"] == statuses["interrupted"] == 1
    assert statuses.total() == statuses["finished"] + 2


def test_a_second_run_at_the_same_time_is_refused(images: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    with lock(workspace / ".lock"):
        done = subprocess.run(command(images, workspace), capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"signs: error: another run is using the workspace {workspace}")
    assert len(done.stderr.splitlines()) == 1


def test_an_anomaly_stops_the_run_in_words(tmp_path: Path) -> None:
    """A span whose examples break the curated schema: a split of a name that it does not know."""
    write_span(tmp_path / "data" / "colours", 1, 1, told="holdout")
    config = default_config(Data("colours", 1, CLASSES_OF_SPAN, dict.fromkeys(SPLITS, 4)))
    pipeline = create_pipeline(config, Workspace(tmp_path).environment("colours"))
    plan: list[str] = []
    done: list[str] = []
    with pytest.raises(ComponentFailedError) as caught:
        run_pipeline(pipeline, "run", on_plan=plan.extend, on_end=lambda node: done.append(node.id))
    assert caught.value.component == "ExampleValidator"
    assert "StatisticsGen" in done
    assert {"Transform", "Trainer"} <= set(plan) - set(done)
    message = str(caught.value.__cause__)
    assert message.startswith(
        "the data do not fit the schema: feature 'split': Unexpected string values"
    )
    assert "holdout" in message
    assert message.endswith("or change data/schema/schema.pbtxt if they are right")
