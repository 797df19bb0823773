"""Options of a cluster: what passes, and the line that tells each mistake."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeflow.compiling.options import (
    ClusterOptions,
    OptionsError,
    StepOptions,
    Toleration,
    TrainingOptions,
    check_image,
    load_options,
)
from tests import ROOT

IMAGE = f"ghcr.io/me/signs@sha256:{'a' * 64}"


@pytest.mark.parametrize(
    "reference",
    [
        IMAGE,
        f"signs@sha256:{'0' * 64}",
        f"localhost:5000/signs@sha256:{'0' * 64}",
        f"ghcr.io/me/signs:v1@sha256:{'0' * 64}",
    ],
)
def test_digest_is_taken(reference: str) -> None:
    check_image(reference)


@pytest.mark.parametrize(
    "reference",
    [
        "signs",
        "signs:latest",
        "ghcr.io/me/signs:1.0",
        "signs@sha256:abc",
        f"signs@sha256:{'A' * 64}",
        f"signs@md5:{'0' * 32}",
        f"@sha256:{'0' * 64}",
        f"{IMAGE}\n",
        f"a::b@sha256:{'0' * 64}",
        f"a//b@sha256:{'0' * 64}",
        f"https://ghcr.io/me/signs@sha256:{'0' * 64}",
        f"a-@sha256:{'0' * 64}",
        f"{IMAGE} --privileged",
        "",
        "{{$.inputs.parameters['other']}}",
    ],
)
def test_what_can_change_is_refused(reference: str) -> None:
    with pytest.raises(OptionsError, match=r"the image must be one for ever: .*Received: "):
        check_image(reference)


def test_tag_is_taken_where_it_is_asked_for() -> None:
    check_image("localhost:5000/me/signs:2026-11-23", allow_tag=True)
    check_image("signs:1", allow_tag=True)
    with pytest.raises(OptionsError, match=r"or --allow-tag where you never move a tag"):
        check_image("signs:1")
    for reference in ("signs:latest", "signs", "localhost:5000/signs", "signs:1\n"):
        with pytest.raises(OptionsError, match="give its digest"):
            check_image(reference, allow_tag=True)


def test_defaults() -> None:
    options = ClusterOptions(image=IMAGE)
    assert (options.pipeline_root, options.claim, options.mount) == (
        "minio://mlpipeline/v2/artifacts",
        "signs-workspace",
        "/workspace",
    )
    assert (options.retries, options.backoff_s, options.backoff_factor) == (3, 30, 2)
    assert options.training == TrainingOptions(
        cpu_request="2",
        cpu_limit="8",
        memory_request="6Gi",
        memory_limit="16Gi",
        gpu=0,
        shared_memory="1Gi",
    )


@pytest.mark.parametrize(
    ("root", "secret", "expected"),
    [
        ("minio://mlpipeline/v2", None, "mlpipeline-minio-artifact"),
        ("minio://mlpipeline/v2", "mine", "mine"),
        ("s3://bucket/runs", None, None),
        ("s3://bucket/runs", "aws", "aws"),
        ("gs://bucket", None, None),
    ],
)
def test_secret_of_the_object_store(root: str, secret: str | None, expected: str | None) -> None:
    options = ClusterOptions(image=IMAGE, pipeline_root=root, secret=secret)
    assert options.object_store_secret == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pipeline_root": "file:///tmp/x"}, "pipeline_root must be a bucket .*'file:///tmp/x'"),
        ({"pipeline_root": "/tmp/x"}, "pipeline_root must be a bucket"),
        ({"pipeline_root": "s3://"}, "pipeline_root must be a bucket"),
        ({"pipeline_root": "s3://b/../etc"}, "pipeline_root must be a bucket"),
        ({"pipeline_root": "s3://bucket/a?endpoint=x"}, "pipeline_root must be a bucket"),
        ({"pipeline_root": "s3://bucket/a\n"}, "pipeline_root must be a bucket"),
        ({"claim": "Signs_Workspace"}, "claim must be a name of Kubernetes.*'Signs_Workspace'"),
        ({"claim": ""}, "claim must be a name of Kubernetes"),
        ({"mount": "workspace"}, "mount must be an absolute folder"),
        ({"mount": "/"}, "mount must be an absolute folder"),
        ({"mount": "/minio/x"}, "mount must not lie in /minio, .*/app, which a step has already"),
        ({"mount": "/app"}, "mount must not lie in"),
        ({"mount": "/signs/../minio"}, "mount must be an absolute folder"),
        ({"retries": 101}, r"retries must be in \[0, 100\]. Received: 101"),
        ({"retries": True}, "retries: Input should be a valid integer. Received: True"),
        ({"retries": "3"}, "retries: Input should be a valid integer. Received: '3'"),
        ({"claim": True}, "claim: Input should be a valid string. Received: True"),
        ({"backoff_s": 0}, r"backoff_s must be in \[1, 86400\]. Received: 0"),
        ({"backoff_factor": 1.5}, "backoff_factor: .*integer.*1.5"),
        ({"secret": "a b"}, "secret must be a name of Kubernetes"),
        ({"secret_env": {"1X": "key"}}, "secret_env must be environment variables"),
        ({"signing_secret": "UPPER"}, "signing_secret must be a name of Kubernetes"),
        ({"image_pull_secrets": ["UPPER"]}, "image_pull_secrets must be a name of Kubernetes"),
        ({"run_as_user": 0}, r"run_as_user must be a number above 0 \(root\). Received: 0"),
        ({"stepz": {}}, "there is no option 'stepz'"),
        ({"steps": {"cpu": 2}}, "there is no option 'steps.cpu'"),
        ({"steps": {"cpu_limit": "lots"}}, "steps: cpu_limit must be a quantity .*'lots'"),
        ({"steps": {"cpu_limit": "0"}}, "steps: cpu_limit must be above 0"),
        ({"steps": {"memory_limit": "-1Gi"}}, "steps: memory_limit must be a quantity"),
        ({"steps": {"memory_limit": "nan"}}, "steps: memory_limit must be a quantity"),
        ({"steps": {"memory_limit": "1Gi"}}, "memory_request must not exceed memory_limit. .*2Gi"),
        ({"training": {"gpu": 65}}, r"training: gpu must be in \[0, 64\]. Received: 65"),
        ({"training": {"gpu": "one"}}, "training.gpu: .*Received: 'one'"),
        ({"training": {"shared_memory": "big"}}, "shared_memory must be a quantity"),
        ({"training": {"node_selector": {"a b": "c"}}}, "node_selector must be keys as in"),
        ({"training": {"node_selector": {"a": "b\n"}}}, r"node_selector\[a\] must be"),
        (
            {"steps": {"tolerations": [{"key": "x", "operator": "Exists", "value": "y"}]}},
            "the toleration of x has operator Exists, which takes no value",
        ),
        ({"steps": {"tolerations": [{"key": "x", "effect": "Never"}]}}, "effect: .*'Never'"),
        (
            {"steps": {"tolerations": [{"key": "x", "kye": "x"}]}},
            "option 'steps.tolerations.0.kye'",
        ),
    ],
)
def test_bad_value_is_told(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message) as caught:
        ClusterOptions.from_dict({"image": IMAGE, **values})
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def test_missing_image_is_told() -> None:
    with pytest.raises(
        OptionsError, match="--image is missing: the image that holds this checkout"
    ):
        load_options(None)


def test_file_is_read_and_overridden(tmp_path: Path) -> None:
    file = tmp_path / "options.yaml"
    file.write_text(
        f"""
        image: {IMAGE}
        pipeline_root: s3://bucket/runs
        secret: aws-keys
        steps: {{cpu_limit: 2, tolerations: [{{key: spot, operator: Exists}}]}}
        training:
          gpu: 2
          node_selector: {{cloud.google.com/gke-accelerator: nvidia-l4}}
        """
    )
    options = load_options(file, image=None, pipeline_root="gs://other", training={"gpu": 1})
    assert options == ClusterOptions(
        image=IMAGE,
        pipeline_root="gs://other",
        secret="aws-keys",
        steps=StepOptions(cpu_limit="2", tolerations=(Toleration("spot", "Exists"),)),
        training=TrainingOptions(
            gpu=1, node_selector={"cloud.google.com/gke-accelerator": "nvidia-l4"}
        ),
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- a\n- b\n", r"options.yaml must hold `name: value` lines. Received: \['a', 'b'\]"),
        (b"image: [", "options.yaml cannot be read: while parsing a flow"),
        (b"\xff\xfe\x00", "options.yaml cannot be read: "),
        (b"image: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        (b"1: 2", "options.yaml: "),
        (b"training: 3\n", "options.yaml: training: "),
    ],
)
def test_bad_file_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "options.yaml"
    file.write_bytes(content)
    with pytest.raises(OptionsError, match=message):
        load_options(file, image=IMAGE, training={"gpu": 1} if b"training" in content else None)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"workers": 0}, r"workers must be in \[1, 64\]. Received: 0"),
        ({"workers": "two"}, "training.workers: Input should be a valid integer"),
        ({"job": "PyTorchJob"}, "training.job: Input should be 'TrainJob' or 'TFJob'"),
    ],
)
def test_a_job_that_there_is_not(training: dict[str, object], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        load_options(None, image=IMAGE, training=training)


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=r"none.yaml cannot be read: No such file or directory"):
        load_options(tmp_path / "none.yaml", image=IMAGE)


def test_example_shows_every_option_and_its_default() -> None:
    text = (ROOT / "kubeflow" / "cluster-example.yaml").read_text()
    example = load_options(ROOT / "kubeflow" / "cluster-example.yaml")
    shown = yaml.safe_load(text)
    assert set(shown) == {field.name for field in fields(ClusterOptions)}
    assert set(shown["training"]) == {field.name for field in fields(TrainingOptions)}
    default = ClusterOptions(image=example.image)
    for name in {*shown} - {"training", "image_pull_secrets", "run_as_user", "run_as_group"}:
        if name != "secret":
            assert getattr(example, name) == getattr(default, name), name
    assert example.object_store_secret == default.object_store_secret
    assert example.training == replace(
        default.training,
        gpu=1,
        node_selector={"cloud.google.com/gke-accelerator": "nvidia-l4"},
        tolerations=(Toleration("cloud.google.com/gke-spot", value="true", effect="NoSchedule"),),
    )
