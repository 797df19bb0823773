"""Paths of a container become paths of this machine, and nothing else does."""

from pathlib import Path

import pytest

from kubeflow.standin.mounts import Mounts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/workspace/data/signs", "/v/data/signs"),
        ("/workspace", "/v"),
        ('{"base": "/workspace/x", "n": "\\"/workspace\\""}', '{"base": "/v/x", "n": "\\"/v\\""}'),
        ("/minio/bucket/a", "/task/minio/bucket/a"),
        ("/app/data:/app", "/code/data:/code"),
        ("/gcs/x", "/task/gcs/x"),
        # Not of the container's mounts.
        ("minio://workspace/minio/x", "minio://workspace/minio/x"),
        ("minio://mlpipeline/workspace/x", "minio://mlpipeline/workspace/x"),
        ("/workspaces/x", "/workspaces/x"),
        ("/home/workspace/x", "/home/workspace/x"),
        ("/tmp/x", "/tmp/x"),
        ("./app/x", "./app/x"),
    ],
)
def test_rewriting(text: str, expected: str) -> None:
    mounts = Mounts(Path("/task"), {"/workspace": Path("/v"), "/app": Path("/code")})
    assert mounts.rewrite(text) == expected


def test_a_mount_inside_another_goes_before_it() -> None:
    mounts = Mounts(Path("/task"), {"/a": Path("/outer"), "/a/b": Path("/inner")})
    assert mounts.here("/a/b/c") == Path("/inner/c")
    assert mounts.here("/a/c") == Path("/outer/c")
