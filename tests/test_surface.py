"""What users rely on, frozen: a change to it is a decision, and never a slip.

Commands and options, settings, JSON keys, exit codes, environment variables, signatures, the client
and the layout of a workspace. Where it is the real thing that is looked at, it is run.

Frozen beside what makes it: the flags of signs-model-server (tests/model_server/test_flags.py), the
parameters of a compiled pipeline (tests/kubeflow/compiling/test_compiler.py), the exported
signatures (tests/modules/test_signatures.py), and what a whole run leaves in its workspace
(tests/pipeline/test_end_to_end.py).
"""

import ast
import dataclasses
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import signs as signs_package
from pipeline.commands.doctor import Finding
from pipeline.commands.lazy import LazyCommand
from pipeline.commands.main import app, main
from pipeline.config import Data, FurtherSet, PipelineConfig, setting_names
from pipeline.environment import Workspace
from signs import client, features, protos, records, tensors
from tests import ROOT
from tests.kubeflow.submitting.fake_api_server import FakeApiServer
from tests.kubeflow.submitting.fake_api_server import run as kfp_run
from tests.kubeflow.submitting.fake_api_server import step as kfp_step
from tests.kubeflow.submitting.submit_fixtures import write_pipeline

SIGNS = Path(sys.executable).with_name("signs")
ROOMS = (
    *("components", "data", "drawing", "kubeflow", "model_server"),
    *("modules", "pipeline", "serving", "signs", "trust"),
)

COMMANDS = {
    "bench-serving": {
        "images": "synthetic",
        "--address": "127.0.0.1:8500",
        "--model": None,
        "--version": None,
        "--label": None,
        "--clients": 8,
        "--rate": None,
        "--batch": 1,
        "--duration": 10.0,
        "--warm-up": 2.0,
        "--timeout": 10.0,
        "--picture": None,
        "--ca": None,
        "--cert": None,
        "--key": None,
        "--token-file": None,
        "--plain-token": False,
        "--workspace": "workspace",
        "--json": False,
    },
    "compare": {
        "run": None,
        "other": None,
        "--open": False,
        "--workspace": "workspace",
        "--json": False,
    },
    "compile": {
        "--data": "synthetic",
        "--image": None,
        "--name": None,
        "--layout": None,
        "--split": None,
        "--zip-encoding": None,
        "--set": None,
        "--warm-start": False,
        "--tune": None,
        "--also-test": None,
        "--pin-span": False,
        "--spans": "all",
        "--cluster": None,
        "--gpu": None,
        "--pipeline-root": None,
        "--allow-tag": False,
        "--max-rejected": 0.01,
        "--output": "pipeline.yaml",
        "--yes": False,
        "--workspace": "workspace",
    },
    "doctor": {
        "--workspace": "workspace",
        "--json": False,
    },
    "engine-pool": {"--host": "127.0.0.1", "--port": 50000, "--token-file": None},
    "ingest": {
        "source": None,
        "--name": None,
        "--layout": None,
        "--split": None,
        "--zip-encoding": None,
        "--max-rejected": 0.01,
        "--full": False,
        "--seed": 0,
        "--runner": None,
        "--direct_num_workers": None,
        "--engine": "local",
        "--job-endpoint": None,
        "--workers": None,
        "--worker-token-file": None,
        "--job-limit": 3600,
        "--yes": False,
        "--workspace": "workspace",
        "--json": False,
    },
    "leaks": {
        "--data": "synthetic",
        "--name": None,
        "--layout": None,
        "--split": None,
        "--zip-encoding": None,
        "--max-rejected": 0.01,
        "--out": None,
        "--runner": None,
        "--direct_num_workers": None,
        "--engine": "local",
        "--job-endpoint": None,
        "--workers": None,
        "--worker-token-file": None,
        "--job-limit": 3600,
        "--yes": False,
        "--workspace": "workspace",
        "--json": False,
    },
    "monitor": {
        "log": None,
        "--model": None,
        "--version": None,
        "--newest": 1000,
        "--max-not-sure": 0.2,
        "--min-confidence": 0.8,
        "--max-embedding-distance": 0.3,
        "--page": None,
        "--workspace": "workspace",
        "--json": False,
    },
    "suspects": {
        "--data": "synthetic",
        "--name": None,
        "--layout": None,
        "--split": None,
        "--zip-encoding": None,
        "--max-rejected": 0.01,
        "--out": None,
        "--model": None,
        "--yes": False,
        "--workspace": "workspace",
        "--json": False,
    },
    "relabel": {
        "table": None,
        "--data": None,
        "--layout": None,
        "--split": None,
        "--zip-encoding": None,
        "--workspace": "workspace",
        "--json": False,
    },
    "predict": {
        "images": None,
        "--bulk": None,
        "--out": None,
        "--address": "127.0.0.1:8500",
        "--model": None,
        "--version": None,
        "--label": None,
        "--timeout": 10.0,
        "--ca": None,
        "--cert": None,
        "--key": None,
        "--token-file": None,
        "--plain-token": False,
        "--engine": "local",
        "--job-endpoint": None,
        "--workers": None,
        "--worker-token-file": None,
        "--job-limit": 3600,
        "--workspace": "workspace",
        "--json": False,
    },
    "lineage": {"version": None, "--model": None, "--workspace": "workspace", "--json": False},
    "promote": {
        "--version": None,
        "--to": "stable",
        "--share": None,
        "--withdraw": None,
        "--shadow": None,
        "--max-changed": 0.02,
        "--max-slower": None,
        "--newest": 1000,
        "--address": "127.0.0.1:8500",
        "--offline": False,
        "--model": None,
        "--ca": None,
        "--cert": None,
        "--key": None,
        "--token-file": None,
        "--plain-token": False,
        "--workspace": "workspace",
        "--json": False,
    },
    "prune": {"--keep": 3, "--yes": False, "--workspace": "workspace", "--json": False},
    "rollback": {
        "--address": "127.0.0.1:8500",
        "--offline": False,
        "--model": None,
        "--ca": None,
        "--cert": None,
        "--key": None,
        "--token-file": None,
        "--plain-token": False,
        "--workspace": "workspace",
        "--json": False,
    },
    "run": {
        "--data": "synthetic",
        "--name": None,
        "--layout": None,
        "--split": None,
        "--zip-encoding": None,
        "--set": None,
        "--also-test": None,
        "--schema": "curated",
        "--warm-start": False,
        "--tune": None,
        "--on": "local",
        "--spans": "all",
        "--watch": None,
        "--interval": 30.0,
        "--max-rejected": 0.01,
        "--runner": None,
        "--direct_num_workers": None,
        "--engine": "local",
        "--job-endpoint": None,
        "--workers": None,
        "--worker-token-file": None,
        "--job-limit": 3600,
        "--yes": False,
        "--workspace": "workspace",
        "--json": False,
    },
    "report": {
        "run": None,
        "--open": False,
        "--workspace": "workspace",
    },
    "runs": {
        "run": None,
        "--workspace": "workspace",
        "--json": False,
    },
    "serve": {
        "--model": None,
        "--port": 8500,
        "--rest-port": None,
        "--page": False,
        "--host": "127.0.0.1",
        "--auth-token-file": None,
        "--self-signed": False,
        "--workspace": "workspace",
    },
    "shadow": {
        "log": None,
        "--before": "stable",
        "--after": "canary",
        "--max-changed": 0.02,
        "--max-slower": None,
        "--newest": 1000,
        "--address": "127.0.0.1:8500",
        "--model": None,
        "--ca": None,
        "--cert": None,
        "--key": None,
        "--token-file": None,
        "--plain-token": False,
        "--workspace": "workspace",
        "--json": False,
    },
    "submit": {
        "pipeline": None,
        "--host": None,
        "--context": None,
        "--namespace": None,
        "--token-file": None,
        "--token-env": None,
        "--ca": None,
        "--set-parameter": None,
        "--allow-tag": False,
        "--pipeline-root": None,
        "--experiment": None,
        "--run-name": None,
        "--service-account": None,
        "--every": None,
        "--cron": None,
        "--beside": False,
        "--no-wait": False,
        "--timeout": None,
        "--dry-run": False,
        "--json": False,
    },
    "keys": {"--to": None, "--workspace": "workspace"},
    "sign": {"folder": None, "--key": None, "--workspace": "workspace"},
    "verify": {"folder": None, "--key": None, "--workspace": "workspace"},
    "versions": {
        "--address": "127.0.0.1:8500",
        "--model": None,
        "--ca": None,
        "--cert": None,
        "--key": None,
        "--token-file": None,
        "--plain-token": False,
        "--workspace": "workspace",
        "--json": False,
    },
}

SETTINGS = {
    "devices.deterministic",
    "devices.gpus",
    "devices.precision",
    "devices.xla",
    "evaluate.max_calibration_error",
    "evaluate.min_accuracy",
    "evaluate.min_accuracy_change",
    "evaluate.min_accuracy_on.shop",
    "evaluate.min_class_accuracy",
    "evaluate.min_corrupted_accuracy",
    "evaluate.must_beat",
    "evaluate.significance",
    "image_size",
    "leaks",
    "pictures",
    "schema",
    "serve.precision",
    "serving_check_images",
    "suspects",
    "train.augmentation.any_rotation",
    "train.augmentation.aspect",
    "train.augmentation.background",
    "train.augmentation.blur",
    "train.augmentation.brightness",
    "train.augmentation.calm",
    "train.augmentation.contrast",
    "train.augmentation.erase",
    "train.augmentation.gamma",
    "train.augmentation.grey",
    "train.augmentation.invert",
    "train.augmentation.mirror",
    "train.augmentation.noise",
    "train.augmentation.ramp",
    "train.augmentation.rotation_degrees",
    "train.augmentation.saturation",
    "train.augmentation.scale",
    "train.augmentation.shift",
    "train.augmentation.slant",
    "train.augmentation.slope",
    "train.augmentation.strength",
    "train.augmentation.swap_colors",
    "train.augmentation.tilt",
    "train.augmentation.variety",
    "train.augmentation.vignette",
    "train.augmentation.white_balance",
    "train.batch_size",
    "train.blocks",
    "train.drawn",
    "train.drawn_no_sign",
    "train.epochs",
    "train.label_smoothing",
    "train.learning_rate",
    "train.seed",
    "train.sizes",
    "train.splits",
    "train.warmup",
    "train.weight_decay",
    "train.width",
    "train.zero_last_gamma",
    "tune.epochs",
    "tune.trials",
    "warm_start",
    "warm_start_again",
}

# TF_CONFIG is the operators' contract; no other of these changes what is computed, but for the
# limits of TensorFlow and oneDNN: a processor that may not use an instruction is one without it.
ENVIRONMENT = {
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "CUDA_VISIBLE_DEVICES",
    "DNNL_MAX_CPU_ISA",
    "KFP_POD_NAME",  # KFP sets it in every step
    "KF_PIPELINES_ENDPOINT",
    "KF_PIPELINES_UI_ENDPOINT",
    "KUBERNETES_SERVICE_HOST",
    "ONEDNN_MAX_CPU_ISA",
    "SIGNS_MOUNTS",
    "SIGNS_WORKSPACE",
    "TF_CONFIG",
    "TF_ENABLE_ONEDNN_OPTS",
}

# As `signs run --json` prints it and runs/<data set>/<run>/summary.json keeps it.
SUMMARY = {
    "run_id": "20261126-101500-ab12",
    "pipeline": "photos",
    "status": "finished",
    "started": "2026-11-26T10:15:00Z",
    "duration_s": 494.0,
    "dataset": "photos",
    "span": 2,
    "version": 1,
    "spans": [1, 2],
    "counts": {"train": 80, "eval": 20, "test": 20},
    "findings": [
        {
            "kind": "test_in_train",
            "count": 1,
            "text": "1 of 20 test images are train or eval images, too",
            "examples": ["test/a.jpg is train/a.jpg"],
        }
    ],
    "components": {"Trainer": {"state": "done", "seconds": 431.5}},
    "component_peak_mib": {"Trainer": 3739.0},
    "accuracy": 0.9,
    "accuracy_interval": [0.699, 0.972],
    "weakest": {
        "class_name": "cat",
        "accuracy": 0.8,
        "images": 10,
        "taken_for": "dog",
        "taken_for_images": 2,
    },
    "simple_answers": {
        "majority": 0.5,
        "nearest_neighbour": 0.7,
        "test_images": 20,
        "training_images": 100,
    },
    "leaks": {
        "images": {"train": 80, "eval": 20, "test": 20},
        "exact": {
            "test_images_with_twin_in_train": 1,
            "eval_images_with_twin_in_train": 0,
            "duplicate_pairs_within_train": 2,
            "duplicate_pairs_within_test": 0,
        },
        "near": {
            "test_images_with_twin_in_train": 0,
            "eval_images_with_twin_in_train": 0,
            "duplicate_pairs_within_train": 0,
            "duplicate_pairs_within_test": 0,
        },
        "burst": {
            "photographs": 9,
            "test_images_with_neighbour_in_train": 3,
            "within": 10,
        },
        "label_conflicts": {"exact": 0, "near": 1},
        "dropped": 0,
        "findings": [],
    },
    "pictures": {
        "anomalies": [
            {
                "kind": "skew",
                "feature": "brightness",
                "split": "test",
                "against": "train",
                "measure": "jensen_shannon_divergence",
                "value": 0.4,
                "limit": 0.15,
                "text": "brightness of the test pictures is not that of train",
                "examples": [
                    {
                        "id": "test/a.jpg",
                        "split": "test",
                        "class_name": "cat",
                        "feature": "brightness",
                        "value": 0.1,
                    }
                ],
            }
        ],
        "odd_counts": {"dark": 1},
        "not_compared": [],
        "findings": [],
    },
    "suspects": {
        "images": 120,
        "agreement": 0.99,
        "by": "shape and colour",
        "found": 1,
        "suspects": [
            {
                "id": "train/cat/3.png",
                "split": "train",
                "label": "cat",
                "suggested": "dog",
                "probability": 0.8,
                "label_probability": 0.1,
                "quality": 0.15,
                "confident": True,
                "neighbour": "train/dog/5.png",
            }
        ],
    },
    "without_twins": {"images": 19, "accuracy": 0.89, "accuracy_interval": [0.69, 0.97]},
    "metrics": {"accuracy": 0.9, "accuracy/cat": None},
    "also_tested": [
        {
            "name": "shop",
            "images": 10,
            "accuracy": 0.7,
            "accuracy_interval": [0.397, 0.892],
            "weakest": None,
            "min_accuracy": 0.9,
            "metrics": {"accuracy": 0.7},
        }
    ],
    "blessed": False,
    "not_blessed_reasons": [
        {
            "metric": "accuracy",
            "threshold": 0.95,
            "value": 0.9,
            "kind": "absolute",
            "slice": "cat",
            "test_set": "shop",
        }
    ],
    "verdict": {
        "blessed": False,
        "rows": [
            {
                "check": "accuracy",
                "on": "test",
                "value": 0.9,
                "low": 0.699,
                "high": 0.972,
                "limit": 0.8,
                "passes": False,
                "of": 20,
                "why": "at least 80.0 % must be proven",
            }
        ],
        "simple_answers": None,
        "baseline": {"won": 1, "lost": 0, "p": 1.0, "verdict": "no difference"},
    },
    "infra_blessed": True,
    "served": {
        "precision": "bfloat16",
        "images": 32,
        "largest_difference": 0.008,
        "largest_confidence_difference": 0.005,
        "changed_classes": 0,
        "changed_known": 1,
        "reason": "served as trained: probabilities differ by 8.0e-03 at most",
        "without_bfloat16": None,
    },
    "pushed_version": 3,
    "pushed_to": "/w/serving/photos",
    "reused_model": False,
    "tuned": {"hyperparameters": {"learning_rate": 0.001}, "accuracy": 0.9, "trials": 8},
    "base_model": "version 2",
    "warm_start": "all 106 weights are taken over",
    "passed_over": ["model 3 has lost its files"],
    "calibration": {"temperature": 0.8, "threshold": 2.5},
    "report": "artifacts/photos/RunReport/report/12",
    "training_s": 431.5,
    "fit_s": 420.5,
    "peak_rss_mib": 3739.0,
    "log": "/w/logs/20261126-101500-ab12.log",
    "error": "none",
    "query": {"images": 20, "accuracy": 0.9, "address": "127.0.0.1:8500", "version": 3},
    "query_commands": ["signs serve", "signs predict IMAGE..."],
}

PRUNED = {"pruned", "bytes", "items", "unknown"}

INGESTED = {
    "name", "span", "version", "directory", "reused", "class_names", "counts", "rejected",
    "rejected_list", "ignored", "warnings", "findings", "findings_list", "repaired",
    "spans", "all_counts", "changed", "removed",
}  # fmt: skip
MANIFEST = {
    "name", "span", "version", "class_names", "counts", "shards", "source", "is_synthetic",
    "fingerprint", "settings", "tool_version", "created", "rejected", "ignored", "findings",
    "format", "checksum", "base", "all_counts", "changed", "removed", "pictures",
}  # fmt: skip
PREDICTION = {
    "source", "class_id", "class_name", "probability", "probabilities", "by_class", "confidence",
    "known",
}  # fmt: skip
UNANSWERED = {"source", "error"}
VERSION = {"version", "labels", "share", "on_disk", "state"}
COMPARISON = {
    "requests", "images", "passed_over", "max_probability_change", "differences", "changed",
    "before", "after", "reasons",
}  # fmt: skip
ANSWERED = {"not_sure", "confidence", "p50_ms", "p99_ms"}
DIFFERENCE = {
    "asked_at", "request", "row", "before", "after", "probability_change", "known_before",
    "known_after", "confidence_before", "confidence_after",
}  # fmt: skip
LOAD = {
    "loop", "clients", "rate", "batch_size", "duration_s", "requests", "throughput",
    "latency_ms", "errors", "unsent",
}  # fmt: skip
SUBMISSION = {
    "pipeline", "version", "host", "namespace", "experiment", "pipeline_root",
    "service_account", "images", "steps", "parameters", "set", "schedule",
}  # fmt: skip
SUBMITTED = {
    "id", "name", "address", "pipeline_id", "version_id", "is_new", "status", "error", "steps",
}  # fmt: skip


def assert_frozen(what: str, found: Any, frozen: Any) -> None:
    """Fails with what has changed, and what to do about it."""
    if found == frozen:
        return
    changes = [f"- {name}" for name in frozen if name not in found]
    changes += [f"+ {name}" for name in found if name not in frozen]
    if isinstance(found, dict):
        changes += [
            f"  {name}: {frozen[name]!r} -> {found[name]!r}"
            for name in frozen
            if name in found and frozen[name] != found[name]
        ]
    pytest.fail(
        f"{what} changed:\n"
        + "\n".join(changes or [f"  {frozen!r} -> {found!r}"])
        + "\nUsers rely on it. If the change is meant, change the set in tests/test_surface.py and "
        "tell users in CHANGELOG.md.",
        pytrace=False,
    )


@pytest.fixture
def signs(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Runs a command in an empty folder, and returns the JSON that it prints."""
    monkeypatch.chdir(tmp_path)
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)

    def run_command(*arguments: str, code: int = 0) -> Any:
        assert main([*arguments, "--json"]) == code, capfd.readouterr().err
        return json.loads(capfd.readouterr().out)

    return run_command


# --- Commands, settings, environment --------------------------------------------------------------


def test_commands_and_their_options() -> None:
    found: dict[str, dict[str, Any]] = {}
    for name, command in app.commands.items():
        found[name] = {}
        assert isinstance(command, LazyCommand)
        for parameter in command.load().params:
            is_option = parameter.param_type_name == "option"
            default = parameter.default
            found[name][parameter.opts[0] if is_option else parameter.name] = (
                str(default) if isinstance(default, Path) else default
            )
    assert_frozen("The commands of `signs`", set(found), set(COMMANDS))
    for name, options in found.items():
        assert_frozen(f"`signs {name}`: its options, or a default", options, COMMANDS[name])


def test_settings() -> None:
    data = Data("photos", 1, ("cat", "dog"), dict.fromkeys(features.SPLITS, 1))
    names = setting_names(PipelineConfig(data, also_test=(FurtherSet("shop", 1, 1, 9),)))
    assert_frozen("The settings of --set", set(names), SETTINGS)


def test_environment_variables_that_are_read() -> None:
    sources = [
        ast.parse(path.read_text()) for room in ROOMS for path in (ROOT / room).rglob("*.py")
    ]
    constants = {
        target.id: node.value.value
        for tree in sources
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found = {
        name.value if isinstance(name, ast.Constant) else constants[name.id]
        for tree in sources
        for node in ast.walk(tree)
        for name in _variables_read(node)
        # `signs submit --token-env` has the name from its user.
        if isinstance(name, ast.Constant | ast.Name)
    }
    # Python's own folder for temporary files is the caller's, whom we only step aside for.
    assert_frozen("The environment variables that are read", found - {"TMPDIR"}, ENVIRONMENT)


def _variables_read(node: ast.AST) -> list[ast.expr]:
    """The `x` of `os.environ.get(x)`, `os.environ[x]`, `x in os.environ` and `envvar=x`."""
    if isinstance(node, ast.Call):
        named = [keyword.value for keyword in node.keywords if keyword.arg == "envvar"]
        is_read = ast.unparse(node.func) in ("os.environ.get", "os.getenv")
        return named + (node.args[:1] if is_read else [])
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        return [node.slice] if ast.unparse(node.value) == "os.environ" else []
    if isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]) == "os.environ":
        return [node.left]
    return []


# --- JSON -----------------------------------------------------------------------------------------


def test_a_run_that_was_kept_is_read_and_printed_as_it_was(signs: Callable[..., Any]) -> None:
    folder = Path("workspace/runs/photos", SUMMARY["run_id"])
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    Path("workspace/serving/photos").mkdir(parents=True)
    picture = Path("workspace/examples/photos/cat.png")
    picture.parent.mkdir(parents=True)
    picture.touch()
    [run] = signs("runs")
    here = Path("workspace").absolute()  # wherever it lay when the run was kept
    paths = {
        "pushed_to": f"{here}/serving/photos",
        "report": f"{here}/artifacts/photos/RunReport/report/12",
        "log": f"{here}/logs/{SUMMARY['run_id']}.log",
        "query_commands": ["signs serve --page", f"signs predict {picture}"],
    }
    assert_frozen("The JSON of a run", run, SUMMARY | paths)


def test_the_json_of_a_pruning(signs: Callable[..., Any]) -> None:
    version = Path("workspace/serving/photos/1")
    version.mkdir(parents=True)
    (version / "saved_model.pb").touch()
    planned = signs("prune")
    assert_frozen("The JSON of `signs prune`", set(planned), PRUNED)
    [item] = planned["items"]
    assert_frozen("A thing in it", set(item), {"kind", "path", "bytes", "kept"})


def test_the_json_of_an_ingestion_and_the_span_it_leaves(signs: Callable[..., Any]) -> None:
    ingested = signs("ingest", "synthetic:60")
    assert_frozen("The JSON of `signs ingest`", set(ingested), INGESTED)
    span = Path("workspace/data/signs-synthetic/span-1/v-1").resolve()
    assert Path(ingested["directory"]) == span
    assert Path(ingested["rejected_list"]) == span / "rejected.jsonl"
    assert Path(ingested["findings_list"]) == span / "findings.jsonl"
    left = {path.name for path in span.iterdir()}
    assert_frozen(
        "The files of a span",
        left,
        {
            *("train", "eval", "test", "manifest.json", "pictures.jsonl.gz"),
            *("rejected.jsonl", "findings.jsonl"),
        },
    )
    manifest = json.loads((span / "manifest.json").read_text())
    assert_frozen("manifest.json", set(manifest), MANIFEST)
    assert manifest["format"] == 2
    finding = manifest["findings"][0]
    assert_frozen("A finding in it", set(finding), {"kind", "count", "text", "examples"})
    for shard in manifest["shards"]:
        assert_frozen("A shard in it", set(shard), {"path", "split", "bytes", "sha256", "records"})
        assert re.fullmatch(r"(train|eval|test)/[\w.-]+", shard["path"])


def test_the_json_of_a_search_for_leaks(signs: Callable[..., Any]) -> None:
    found = signs("leaks", "--data", "synthetic:20")
    frozen = SUMMARY["leaks"]
    assert_frozen("The JSON of `signs leaks`", set(found), {"name", "span", "version", *frozen})
    for name in ("exact", "near", "burst", "label_conflicts"):
        assert_frozen(f"Its {name}", set(found[name]), set(frozen[name]))


def test_the_json_of_a_diagnosis() -> None:
    found = {field.name for field in dataclasses.fields(Finding)}
    assert_frozen("The JSON of `signs doctor`", found, {"name", "level", "found", "remedy"})


class _Model(BaseHTTPRequestHandler):
    """A model server's REST API: `cat` is the canary's answer, `dog` every other version's."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        (number,) = map(len, body["inputs"].values())
        is_cat = "canary" in self.path
        self._answer(
            {
                "outputs": {
                    features.PROBABILITIES: [[0.9, 0.1] if is_cat else [0.1, 0.9]] * number,
                    features.PREDICTED_CLASS_ID: [0 if is_cat else 1] * number,
                    features.PREDICTED_CLASS_NAME: ["cat" if is_cat else "dog"] * number,
                    features.CLASSES: [["cat", "dog"]] * number,
                    features.SCORES: [[0.9, 0.1] if is_cat else [0.1, 0.9]] * number,
                }
            }
        )

    def do_GET(self) -> None:
        self._answer({"model_version_status": [{"version": "3", "state": "AVAILABLE"}]})

    def _answer(self, answer: Any) -> None:
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.server.asked.set()  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def model_server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Model) as server:
        server.asked = threading.Event()  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def address(model_server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{model_server.server_port}"


def test_the_json_of_a_prediction(signs: Callable[..., Any], address: str) -> None:
    Image.new("RGB", (8, 8)).save("hand.png")
    [prediction] = signs("predict", "hand.png", "--address", address)
    assert_frozen("The JSON of `signs predict`", set(prediction), PREDICTION)
    Path("broken.png").write_bytes(Path("hand.png").read_bytes()[:-20])
    _, unanswered = signs("predict", "hand.png", "broken.png", "--address", address, code=1)
    assert_frozen("The JSON of an image without an answer", set(unanswered), UNANSWERED)


def test_the_json_of_a_load(signs: Callable[..., Any], address: str) -> None:
    clock = ("--clients", "1", "--duration", "0.1", "--warm-up", "0")
    load = signs("bench-serving", "synthetic", "--address", address, *clock)
    assert_frozen("The JSON of `signs bench-serving`", set(load), LOAD)
    assert_frozen("Its latencies", set(load["latency_ms"]), {"p50", "p90", "p99", "max"})


def test_the_json_of_a_rollout(signs: Callable[..., Any], address: str) -> None:
    for version in (3, 4):
        folder = Path("workspace/serving/photos", str(version))
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").touch()
    for version in signs("versions", "--address", address):
        assert_frozen("The JSON of `signs versions`", set(version), VERSION)
    for version in ("3", "4"):
        moved = signs("promote", "--version", version, "--offline")
        assert_frozen("The JSON of `signs promote`", set(moved), {"labels", "share", "shadow"})
    assert Path("workspace/serving/photos.config").is_file()
    back = signs("rollback", "--offline")
    assert_frozen("The JSON of `signs rollback`", set(back), {"labels", "share"})


def test_the_json_of_a_replay(signs: Callable[..., Any], address: str) -> None:
    entry = protos.PredictionLog()
    entry.predict_log.request.model_spec.name = "photos"
    inputs = entry.predict_log.request.inputs
    tensors.encode(np.array([b"an image"], object), inputs[features.IMAGES_INPUT])
    Path("requests-1.tfrecord").write_bytes(records.encode(entry.SerializeToString()))
    Path("workspace/serving/photos").mkdir(parents=True)
    comparison = signs("shadow", ".", "--address", address, code=1)
    assert_frozen("The JSON of `signs shadow`", set(comparison), COMPARISON)
    assert_frozen("What a version's answers were like", set(comparison["after"]), ANSWERED)
    [difference] = comparison["differences"]
    assert_frozen("A difference in it", set(difference), DIFFERENCE)


def test_the_json_of_a_submission(
    signs: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # no kubeconfig
    pipeline = str(write_pipeline(tmp_path))
    with FakeApiServer() as server:
        server.runs_look_like = [kfp_run("SUCCEEDED", kfp_step("Trainer"))]
        planned = signs("submit", pipeline, "--host", server.address, "--dry-run")
        assert_frozen("The JSON of `signs submit --dry-run`", set(planned), SUBMISSION)
        submitted = signs("submit", pipeline, "--host", server.address)
        assert_frozen("The JSON of `signs submit`", set(submitted), SUBMITTED)


# --- Exit codes -----------------------------------------------------------------------------------


def _exit_code(program: str, *arguments: str, **environment: str) -> int:
    return subprocess.run(
        [SIGNS.with_name(program), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        timeout=60,
        check=False,
    ).returncode


def test_exit_codes(tmp_path: Path) -> None:
    broken = tmp_path / "tensorflow"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('not on this machine')")
    workspace = str(tmp_path / "workspace")
    found = {
        "well": _exit_code("signs", "runs", SIGNS_WORKSPACE=workspace),
        "the machine cannot": _exit_code(
            "signs", "doctor", "--workspace", workspace, PYTHONPATH=str(tmp_path)
        ),
        "a mistake": _exit_code("signs", "runs", "--frob"),
        "a server that cannot start": _exit_code(
            "signs-model-server", "--model_config_file=/nonexistent"
        ),
    }
    assert_frozen(
        "An exit code",
        found,
        {"well": 0, "the machine cannot": 1, "a mistake": 2, "a server that cannot start": 255},
    )


def test_ctrl_c_exits_with_130(model_server: ThreadingHTTPServer, address: str) -> None:
    with subprocess.Popen(
        [SIGNS, "bench-serving", "--address", address, "--duration", "60"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert model_server.asked.wait(30)  # type: ignore[attr-defined]
            process.send_signal(signal.SIGINT)
            assert_frozen("The exit code after Ctrl-C", process.wait(30), 130)
        finally:
            process.kill()


# --- The served model, and who asks it ------------------------------------------------------------


def test_the_names_of_the_served_models_signatures() -> None:
    answers = {
        *(features.PROBABILITIES, features.PREDICTED_CLASS_ID, features.PREDICTED_CLASS_NAME),
        *(features.CLASSES, features.CONFIDENCE, features.KNOWN),
    }
    found = {
        features.SERVING_DEFAULT: ({features.EXAMPLES_INPUT}, answers),
        features.SERVE_IMAGES: ({features.IMAGES_INPUT}, answers),
        features.CLASSIFY: ({features.CLASSIFY_INPUT}, {features.CLASSES, features.SCORES}),
        features.TRANSFORM_FEATURES: ({features.EXAMPLES_INPUT}, {features.PIXELS, features.LABEL}),
    }
    frozen = {"probabilities", "class_id", "class_name", "classes", "confidence", "known"}
    assert_frozen(
        "A signature of the served model",
        found,
        {
            "serving_default": ({"examples"}, frozen),
            "serve_images": ({"image_bytes"}, frozen),
            "classify": ({"inputs"}, {"classes", "scores"}),
            "transform_features": ({"examples"}, {"pixels", "label"}),
        },
    )


def test_the_client() -> None:
    assert_frozen(
        "The names that applications import",
        set(signs_package.__all__),
        {
            "AsyncClient",
            "Client",
            "ClientError",
            "Metadata",
            "Prediction",
            "Signature",
            "TensorInfo",
            "Tls",
            "Unanswered",
            "VersionStatus",
        },
    )
    assert_frozen(
        "The names of `signs.client`", set(client.__all__), {*signs_package.__all__, "connect"}
    )
    assert inspect.signature(client.AsyncClient) == inspect.signature(client.Client)
    parameters = list(inspect.signature(client.Client).parameters.values())
    assert_frozen(
        "What `Client` takes",
        {parameter.name: parameter.default for parameter in parameters},
        {
            "address": "127.0.0.1:8500",
            "model_name": "signs",
            "version": None,
            "label": None,
            "tls": None,
            "token": None,
            "plain_token": False,
            "timeout_s": 10.0,
            "metadata": None,
            "max_attempts": 5,
            "batch_size": 32,
            "max_message_bytes": 16 * 2**20,
        },
    )
    assert_frozen(
        "What `Client` does",
        {name for name in vars(client.Client) if not name.startswith("_")},
        {"close", "metadata", "predict", "predict_each", "status", "wait_until_available"},
    )
    for method in ("close", "metadata", "predict", "predict_each", "status"):
        asked = inspect.signature(getattr(client.Client, method)).parameters
        awaited = inspect.signature(getattr(client.AsyncClient, method)).parameters
        assert asked.keys() == awaited.keys() - {"max_in_flight"}
    prediction = {field.name for field in dataclasses.fields(client.Prediction)}
    assert_frozen(
        "What `Prediction` holds",
        prediction,
        {
            *("source", "class_id", "class_name", "probabilities", "class_names"),
            *("confidence", "known"),
        },
    )
    unanswered = {field.name for field in dataclasses.fields(client.Unanswered)}
    assert_frozen("What `Unanswered` holds", unanswered, {"source", "reason", "passed_over"})


def test_the_json_of_bulk_and_lineage() -> None:
    from pipeline.bulk.answers import Predicted
    from pipeline.commands.predict_bulk import as_dict
    from pipeline.keeping.ancestry import Ancestor, Ancestry, Descendant, Material

    def names(kind: type) -> set[str]:
        return {field.name for field in dataclasses.fields(kind)}

    assert_frozen(
        "The JSON of `signs predict --bulk`",
        {"model", "version", *as_dict(Predicted(Path("answers.csv")))},
        {
            *("model", "version", "out", "pictures", "classes", "unknown", "unanswered"),
            *("passed_over", "reused"),
        },
    )
    assert_frozen(
        "The JSON of `signs lineage`",
        names(Ancestry),
        {"model", "version", "run", "materials", "made_from", "made_from_it"},
    )
    assert_frozen("A material of it", names(Material), {"name", "sha256", "source"})
    assert_frozen(
        "An ancestor of it", names(Ancestor), {"id", "component", "type", "path", "run", "live"}
    )
    assert_frozen("A descendant of it", names(Descendant), {"way", "id", "path", "run", "versions"})


# --- The workspace --------------------------------------------------------------------------------


def test_the_layout_of_a_workspace() -> None:
    workspace = Workspace(Path("w"))
    environment = workspace.environment("photos")
    found = {
        "spans": workspace.data,
        "spans of a data set": environment.data_root,
        "a run": workspace.run_directory("photos", "RUN"),
        "a run's log": workspace.log("RUN"),
        "pushed versions": workspace.serving("photos"),
        "where runs push": environment.serving_root,
        "the page's examples": workspace.examples("photos"),
        "artifacts": environment.pipeline_root,
        "unfinished trainings": environment.checkpoint_root,
        "metadata": environment.metadata_path,
        "the key that signs": workspace.private_key,
        "the key that verifies": workspace.public_key,
        "the lock": workspace.lock,
        "the server's own certificate": workspace.tls,
    }
    assert_frozen(
        "A place in the workspace",
        {name: str(path) for name, path in found.items()},
        {
            "spans": "w/data",
            "spans of a data set": "w/data/photos",
            "a run": "w/runs/photos/RUN",
            "a run's log": "w/logs/RUN.log",
            "pushed versions": "w/serving/photos",
            "where runs push": "w/serving/photos",
            "the key that signs": "w/keys/private.pem",
            "the key that verifies": "w/keys/public.pem",
            "the page's examples": "w/examples/photos",
            "artifacts": "w/artifacts/photos",
            "unfinished trainings": "w/artifacts/photos/checkpoints",
            "metadata": "w/metadata.sqlite",
            "the lock": "w/.lock",
            "the server's own certificate": "w/tls",
        },
    )
