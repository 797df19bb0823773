"""Pipelines of shell commands, in the form that `signs compile` writes: quick to run."""

from pathlib import Path
from typing import Any

import yaml

TITLE = "title: tfx.{}\ntype: object\n"


def step(
    script: str,
    *,
    after: tuple[str, ...] = (),
    inputs: dict[str, tuple[str, str]] | None = None,
    outputs: tuple[str, ...] = (),
    parameters: dict[str, Any] | None = None,
    from_pipeline: dict[str, str] | None = None,
    cache: bool = False,
    retries: int = 0,
    retry_within_s: int = 3600,
    platform: dict[str, Any] | None = None,
    image: str = "signs@sha256:0",
) -> dict[str, Any]:
    """One step that runs `script` in a shell.

    `$1` is what becomes of `{{$}}`. `inputs` are (producer, key) by name; `parameters` are
    constants, `from_pipeline` names of the pipeline's parameters.
    """
    return dict(locals())


def write(
    path: Path,
    steps: dict[str, dict[str, Any]],
    *,
    parameters: dict[str, Any] | None = None,
    name: str = "tiny",
) -> Path:
    """Writes the two documents of a pipeline. `parameters` are defaults by name."""
    kinds = {str: "STRING", int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE", type(None): "STRING"}
    definitions = {}
    for parameter, default in (parameters or {}).items():
        definitions[parameter] = {"parameterType": kinds[type(default)]}
        if default is not None:
            definitions[parameter]["defaultValue"] = default
    document: dict[str, Any] = {
        "pipelineInfo": {"name": name},
        "schemaVersion": "2.1.0",
        "sdkVersion": "tiny",
        "components": {},
        "deploymentSpec": {"executors": {}},
        "root": {"inputDefinitions": {"parameters": definitions}, "dag": {"tasks": {}}},
    }
    executors = {}
    for task, given in steps.items():
        constants = given["parameters"] or {}
        from_pipeline = given["from_pipeline"] or {}
        inputs = given["inputs"] or {}
        document["components"][task] = {
            "executorLabel": f"{task}_executor",
            "inputDefinitions": {
                "artifacts": {key: _schema("Model") for key in inputs},
                "parameters": {
                    **{key: {"parameterType": kinds[type(v)]} for key, v in constants.items()},
                    **{key: definitions[source] for key, source in from_pipeline.items()},
                },
            },
            "outputDefinitions": {"artifacts": {key: _schema("Model") for key in given["outputs"]}},
        }
        document["deploymentSpec"]["executors"][f"{task}_executor"] = {
            "container": {
                "image": given["image"],
                "command": ["sh", "-euc", given["script"], task],
                "args": ["{{$}}"],
            }
        }
        spec: dict[str, Any] = {
            "taskInfo": {"name": task},
            "componentRef": {"name": task},
            "dependentTasks": sorted({*given["after"], *(one for one, _ in inputs.values())}),
            "cachingOptions": {"enableCache": given["cache"]},
            "inputs": {
                "parameters": {
                    **{k: {"runtimeValue": {"constant": v}} for k, v in constants.items()},
                    **{k: {"componentInputParameter": v} for k, v in from_pipeline.items()},
                },
                "artifacts": {
                    key: {"taskOutputArtifact": {"producerTask": one, "outputArtifactKey": output}}
                    for key, (one, output) in inputs.items()
                },
            },
        }
        if given["retries"]:
            spec["retryPolicy"] = {
                "maxRetryCount": given["retries"],
                "backoffDuration": "30s",
                "backoffFactor": 2,
                "backoffMaxDuration": f"{given['retry_within_s']}s",
            }
        document["root"]["dag"]["tasks"][task] = spec
        if given["platform"]:
            executors[f"{task}_executor"] = given["platform"]
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}
    path.write_text(yaml.safe_dump_all([document, platform]))
    return path


def _schema(name: str) -> dict[str, Any]:
    return {"artifactType": {"instanceSchema": TITLE.format(name)}}
