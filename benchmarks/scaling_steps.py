"""The steps whose growth is measured, each as a run makes it, on a folder of its own.

    python -m benchmarks.scaling_steps STEP FOLDER IMAGES

    FOLDER/pictures -> ingest -> data -> SpanGen -> examples -> all others, into STEP's own folder

A line of JSON says what the process, and all that it has started, took.
"""

import argparse
import io
import json
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.leaks import varied
from data import synthetic
from signs.features import SPLITS

_DRAWN, _IN_A_FOLDER, _QUALITY = 400, 1_000, 92
_OF_A_DRAWING = 250  # pictures at most: copies, and what may be copies, grow as the pictures do
_SIDE = 64
NAME = "pictures"


def draw(folder: Path, count: int) -> None:
    """Writes the pictures: JPEGs of the size of SIGNS's, which no other step counts as its own."""
    drawn = max(_DRAWN, count // _OF_A_DRAWING)
    drawings = [synthetic.draw(0, index) for index in range(drawn)]
    classes, made = len(synthetic.CLASS_NAMES), set()
    for index in range(count):
        split = {"eval": "val"}.get(synthetic.split_of(index), synthetic.split_of(index))
        name = synthetic.CLASS_NAMES[synthetic.label_of(index)]
        # Folders as people have them: none of them holds a hundred thousand files.
        place = folder / NAME / split / name / str(index // classes // _IN_A_FOLDER)
        if place not in made:
            place.mkdir(parents=True, exist_ok=True)
            made.add(place)
        buffer = io.BytesIO()
        Image.fromarray(varied(drawings, index)).save(buffer, "JPEG", quality=_QUALITY)
        (place / f"{index:07d}.jpg").write_bytes(buffer.getvalue())


def ingest(folder: Path, count: int) -> None:
    """As `signs ingest` does."""
    from data.converting.convert import ingest

    ingest(folder / NAME, folder / "data")


def span_gen(folder: Path, count: int) -> None:
    """Refers to the span."""
    from tfx.types.standard_artifacts import Examples

    from components.span_gen import SpanGen
    from components.span_gen.executor import Executor

    splits = {split: f"span-1/v-1/{split}/*" for split in SPLITS}
    properties = SpanGen(str(folder / "data" / NAME), splits).exec_properties
    examples = _made(Examples, folder / "examples")
    Executor().Do({}, {"examples": [examples]}, properties)


def statistics_gen(folder: Path, count: int) -> None:
    """TFX's own step, with the curated schema."""
    from tfx.components.statistics_gen.executor import Executor
    from tfx.types.standard_artifacts import ExampleStatistics
    from tfx.types.standard_component_specs import STATS_OPTIONS_JSON_KEY

    from pipeline.pipeline import statistics_options

    outputs = {"statistics": [_made(ExampleStatistics, folder / "statistics")]}
    inputs = {"examples": [_examples(folder)], "schema": [_schema()]}
    _beam(Executor).Do(inputs, outputs, {STATS_OPTIONS_JSON_KEY: statistics_options().to_json()})


def leakage_guard(folder: Path, count: int) -> None:
    """Looks for copies."""
    from tfx.types.standard_artifacts import ExampleAnomalies

    from components.leakage_guard.executor import Executor

    outputs = {"leaks": [_made(ExampleAnomalies, folder / "leaks")]}
    _beam(Executor).Do({"examples": [_examples(folder)]}, outputs, {"policy": "report"})


def picture_statistics(folder: Path, count: int) -> None:
    """Measures the pictures."""
    from tfx.types.standard_artifacts import ExampleAnomalies, ExampleStatistics

    from components.picture_statistics.executor import Executor

    inputs = {"examples": [_examples(folder)], "schema": [_schema()]}
    outputs = {
        "statistics": [_made(ExampleStatistics, folder / "pictures_statistics")],
        "anomalies": [_made(ExampleAnomalies, folder / "pictures_anomalies")],
    }
    _beam(Executor).Do(inputs, outputs, {"policy": "report"})


def trainer_input(folder: Path, count: int) -> None:
    """Streams an epoch, with all changes, at full size."""
    import tensorflow_transform as tft

    from benchmarks.training_input import transform_graph
    from modules.training import input as training_input
    from modules.training.images import read_images
    from modules.training.recipe import Augmentation, Recipe

    training_input.MEMORY_LIMIT_BYTES = 0
    output = tft.TFTransformOutput(transform_graph(folder / "transform", _SIDE))
    layer, spec = output.transform_features_layer(), output.raw_feature_spec()
    train = sum(synthetic.split_of(index) == "train" for index in range(count))
    images = read_images([f"{folder}/examples/Split-train/*"], layer, spec, train)
    recipe = Recipe(epochs=1, sizes=((1.0, 1.0),), augmentation=Augmentation(ramp=0.0))
    classes = len(synthetic.CLASS_NAMES)
    batches = training_input.training_batches(images, train, recipe, _SIDE, classes)
    assert sum(1 for _ in batches(0)) == train // recipe.batch_size


def model(folder: Path, count: int) -> None:
    """Writes the Evaluator's model, a network of one block: not measured."""
    import tensorflow_transform as tft

    from benchmarks.training_input import transform_graph
    from modules.calibration import Calibration
    from modules.copies import export_copies
    from modules.network.resnet50 import build_resnet

    output = tft.TFTransformOutput(transform_graph(folder / "transform", _SIDE))
    names = synthetic.CLASS_NAMES
    network = build_resnet((_SIDE, _SIDE, 3), len(names), blocks=(1,), width=4)
    (folder / "model").mkdir()
    export_copies(network, output, names, Calibration(1, 0), folder / "model" / "Format-Serving")


def evaluator(folder: Path, count: int) -> None:
    """TFMA on the test images, which are a tenth of all."""
    from dataclasses import asdict

    from tfx.types.standard_artifacts import ExampleAnomalies, Model, ModelBlessing, ModelEvaluation

    from components.evaluator.executor import Executor
    from modules.evaluation import Thresholds

    inputs = {
        "examples": [_examples(folder)],
        "model": [_made(Model, folder / "model")],
        "leaks": [_made(ExampleAnomalies, folder / "leaks")],
    }
    outputs = {
        "evaluation": [_made(ModelEvaluation, folder / "evaluation")],
        "blessing": [_made(ModelBlessing, folder / "blessing")],
    }
    values = asdict(Thresholds())
    values["min_accuracy_on"] = json.dumps(values["min_accuracy_on"])
    values["class_names"] = json.dumps(synthetic.CLASS_NAMES)
    _beam(Executor).Do(inputs, outputs, values)


# In the order of a run; of each, what it leaves behind.
STEPS: dict[str, tuple[Callable[[Path, int], None], tuple[str, ...]]] = {
    "ingest": (ingest, ("data",)),
    "SpanGen": (span_gen, ("examples",)),
    "StatisticsGen": (statistics_gen, ("statistics",)),
    "LeakageGuard": (leakage_guard, ("leaks",)),
    "PictureStatistics": (picture_statistics, ("pictures_statistics", "pictures_anomalies")),
    "Trainer input": (trainer_input, ()),
    "Evaluator": (evaluator, ("evaluation", "blessing")),
}
_UNMEASURED = {"draw": draw, "model": model}


def _made(kind: type, folder: Path) -> Any:
    artifact = kind()
    artifact.uri, artifact.id = str(folder), 1
    return artifact


def _examples(folder: Path) -> Any:
    from tfx.types.standard_artifacts import Examples

    examples = _made(Examples, folder / "examples")
    examples.split_names = json.dumps(SPLITS)
    return examples


def _schema() -> Any:
    from tfx.types.standard_artifacts import Schema

    from data.schema import schema_path

    return _made(Schema, schema_path().parent)


def _beam(executor: type) -> Any:
    """An executor with the runner of a local run."""
    from pipeline.environment import Workspace

    arguments = list(Workspace(Path("unused")).environment("unused").beam_args)
    return executor(executor.Context(beam_pipeline_args=arguments))


def main(argv: Sequence[str] | None = None) -> None:
    """Does one step, and says what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=(*STEPS, *_UNMEASURED))
    parser.add_argument("folder", type=Path)
    parser.add_argument("images", type=int)
    args = parser.parse_args(argv)
    step, folder = args.step, args.folder
    do, made = STEPS[step] if step in STEPS else (_UNMEASURED[step], ())
    for name in made:  # of a run that was killed
        shutil.rmtree(folder / name, ignore_errors=True)
    begun = time.monotonic()
    do(folder, args.images)
    seconds = time.monotonic() - begun
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    moved = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    kept = sum(
        path.stat().st_size
        for name in made
        for path in (folder / name).rglob("*")
        if path.is_file() and path.stat().st_nlink == 1  # a link is no copy
    )
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu_s": sum(one.ru_utime + one.ru_stime for one in used),
                "read": int(moved["rchar"]),
                "written": int(moved["wchar"]),
                "kept": kept,
            }
        )
    )


if __name__ == "__main__":
    main()
