"""ExampleGen's driver runs in the step: the newest whole span is read, and named with it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as stock

from data.converting.convert import ingest
from data.sample import read_samples
from kubeflow.step import entrypoint
from tests.data.images import class_tree, jpeg, write_tree
from tests.kubeflow.step.launcher import Pipeline, arguments
from tests.kubeflow.step.spans import write_span


def test_stock_example_gen_looks_for_a_folder_named_span(
    pipeline: Pipeline, data: dict[str, str]
) -> None:
    executor, executor_input, spec = pipeline.step("SpanGen", data)
    del executor_input["outputs"]["artifacts"]["executor-logs"]
    (examples,) = executor_input["outputs"]["artifacts"]["examples"]["artifacts"]
    examples["uri"] = str(pipeline.launcher.local(examples["uri"]))
    args = arguments(executor, executor_input, spec)
    with pytest.raises(Exception, match=r"span-\{SPAN\}/v-\{VERSION\}"):
        stock.main(stock._parse_flags(["", *args]))


def test_the_newest_span_is_found_and_its_number_kept(
    pipeline: Pipeline, data: dict[str, str]
) -> None:
    examples = pipeline.run("SpanGen", data)["examples"]
    assert examples["metadata"]["custom:span"] == 10
    assert examples["metadata"]["custom:version"] == 2
    assert examples["metadata"]["split_names"] == '["train", "eval", "test"]'
    assert "num_files:1" in examples["metadata"]["input_fingerprint"]
    folder = pipeline.local("SpanGen", "examples") / "Split-test"
    assert sorted(one.source_id for one in read_samples(folder)) == [
        "10/2/0",
        "10/2/1",
        "10/2/2",
        "10/2/3",
    ]


def test_a_run_may_be_given_other_spans(pipeline: Pipeline, tmp_path: Path) -> None:
    tree = class_tree(tmp_path / "signs-here")
    for number in range(2):
        write_tree(tree, {f"cat/new-{number}-{one}.jpg": jpeg(90 + one) for one in range(12)})
        span = ingest(tree, tmp_path / "data", name="pets")
        shutil.rmtree(tree / "cat")
        write_tree(tree, {"cat/other.jpg": jpeg(80)})
    assert span.manifest.removed and span.window.numbers == (1, 2)
    base = {"input_base": str(tmp_path / "data" / "pets")}
    for spans, counts in (("1", 32), ("all", span.window.examples)):
        pipeline.run("SpanGen", {**base, "spans": spans})
        folder = pipeline.local("SpanGen", "examples")
        found = [[*read_samples(split)] for split in folder.glob("Split-*")]
        assert sum(map(len, found)) == counts
        shutil.rmtree(folder)


def test_further_test_sets_are_splits_from_several_spans(
    pipeline: Pipeline, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "also_test"
    shop, fair = write_span(root / "shop", 1, 2), write_span(root / "fair", 3, 1)
    splits = {"shop": "shop/span-1/v-2/test/*", "fair": "fair/span-3/v-1/test/*"}
    config = {"splits": [{"name": name, "pattern": each} for name, each in splits.items()]}
    given = {"input_base": str(root), "input_config": json.dumps(config)}
    examples = pipeline.run("SpanGen", given)["examples"]
    assert examples["metadata"]["split_names"] == '["shop", "fair"]'
    folder = pipeline.local("SpanGen", "examples")
    for name, sources in (("shop", "1/2/"), ("fair", "3/1/")):
        found = [one.source_id for one in read_samples(folder / f"Split-{name}")]
        assert sorted(found) == [f"{sources}{number}" for number in range(4)]

    assert shop.is_dir()
    flip(fair)
    step = pipeline.step("SpanGen", given)
    assert entrypoint.main(arguments(*step)) == 1
    assert f"{fair}/train/records.gz differs from its checksum" in capfd.readouterr().err


def shorten(directory: Path) -> None:
    shard = directory / "eval" / "records.gz"
    shard.write_bytes(shard.read_bytes()[:-20])


def flip(directory: Path) -> None:
    shard = directory / "train" / "records.gz"
    content = bytearray(shard.read_bytes())
    content[90] ^= 1
    shard.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda data: shutil.rmtree(data.parents[1]),
            "there is no folder {base}: the data set must lie on the volume that the steps mount, "
            "see the parameter data_root",
        ),
        (
            lambda data: shutil.rmtree(data / "test"),
            "{base}/span-1/v-0/test/records.gz is missing. Ingest the same source again, which "
            "repairs it, or copy the file here anew.",
        ),
        (
            lambda data: (write_span(data.parents[1], 2, 0) / "test" / "records.gz").unlink(),
            "{base}/span-2/v-0/test/records.gz is missing. Ingest the same source again, which "
            "repairs it, or copy the file here anew.",
        ),
        (
            lambda data: (data / "manifest.json").unlink(),
            "no complete span in {base}: Cannot find matching for split train based on "
            "span-{{SPAN}}/v-{{VERSION}}/manifest.json",
        ),
        (
            lambda data: (data / "test" / ".DS_Store").touch(),
            "{base}/span-1/v-0/test/.DS_Store is no file of this span, and would be read as one: "
            "move it away.",
        ),
        (
            shorten,
            "{base}/span-1/v-0/eval/records.gz has 163 bytes instead of 183. Ingest the same "
            "source again, which repairs it, or copy the file here anew.",
        ),
        (
            flip,
            "{base}/span-1/v-0/train/records.gz differs from its checksum. Ingest the same "
            "source again, which repairs it, or copy the file here anew.",
        ),
    ],
)
def test_data_that_are_not_whole_are_told(
    pipeline: Pipeline,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    spoil: Callable[[Path], object],
    words: str,
) -> None:
    base = tmp_path / "signs"
    spoil(write_span(base, 1, 0))
    step = pipeline.step("SpanGen", {"input_base": str(base)})
    assert entrypoint.main(arguments(*step)) == 1
    last = capfd.readouterr().err.splitlines()[-1]
    assert last == f"signs: SpanGen failed: {words.format(base=base)}"
