"""Addresses and the mounts that stand for them, both ways."""

from pathlib import Path

import pytest

from kubeflow.object_store import AddressError, in_container, is_address, to_path, to_uri

PAIRS = [
    ("minio://mlpipeline/v2/artifacts/m", "/minio/mlpipeline/v2/artifacts/m"),
    ("s3://bucket/a b/ä", "/s3/bucket/a b/ä"),
    ("gs://bucket/model", "/gcs/bucket/model"),
]


@pytest.mark.parametrize(("uri", "path"), PAIRS)
def test_both_ways(uri: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIGNS_MOUNTS", raising=False)
    assert in_container(uri) == path
    assert to_path(uri) == Path(path)
    assert to_uri(path) == uri
    monkeypatch.setenv("SIGNS_MOUNTS", "/tmp/task.1/mounts")
    assert to_path(uri) == Path("/tmp/task.1/mounts" + path)
    assert to_uri("/tmp/task.1/mounts" + path) == uri
    assert to_uri("/tmp/task_1/mounts" + path) == "/tmp/task_1/mounts" + path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pushed /minio/b/x and '/gcs/b/y'", "pushed minio://b/x and 'gs://b/y'"),
        ('["/s3/b/x"]', '["s3://b/x"]'),
        ("/workspace/serving/signs/1700000000", "/workspace/serving/signs/1700000000"),
        ("/workspace/minio/b", "/workspace/minio/b"),
        ("minio://b/s3/x", "minio://b/s3/x"),
        ("./s3/x", "./s3/x"),
        ("/minio-backup/x", "/minio-backup/x"),
        ("", ""),
    ],
)
def test_only_mounts_become_addresses(
    text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIGNS_MOUNTS", raising=False)
    assert to_uri(text) == expected


@pytest.mark.parametrize("uri", ["hdfs://b/x", "file:///x", "/minio/b/x", "oci://b/x", ""])
def test_other_addresses_are_refused(uri: str) -> None:
    with pytest.raises(AddressError, match="minio://, s3:// or gs://") as told:
        to_path(uri)
    assert str(told.value).startswith(f"{uri!r} is no address that Kubeflow Pipelines mounts")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("minio://bucket", True),
        ("gs://bucket/a/b", True),
        ("s3://", False),
        ("s3:///key", False),
        ("oci://bucket/a", False),
        ("minio://bucket/a b", False),
        ("see s3://bucket", False),
    ],
)
def test_addresses(text: str, expected: bool) -> None:
    assert is_address(text) is expected
