"""KFP's own backend and the stand-in, for the tests that hold one against the other."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import ROOT

if TYPE_CHECKING:
    from tests.kubeflow.backend.backend import Backend
    from tests.kubeflow.backend.standin import Standin


@pytest.fixture
def standin(tmp_path: Path) -> "Standin":
    from tests.kubeflow.backend.standin import Standin

    return Standin(tmp_path)


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory, s3_program: Path) -> Path:
    """KFP's compiler, driver and launcher, and the S3 server, built from Go's module proxy."""
    from tests.kubeflow.backend.backend import build_programs

    folder = build_programs(tmp_path_factory.mktemp("kfp"))
    (folder / s3_program.name).symlink_to(s3_program)
    return folder


@pytest.fixture
def backend(programs: Path, tmp_path: Path) -> "Iterator[Backend]":
    from tests.kubeflow.backend import pod
    from tests.kubeflow.backend.backend import Backend

    if not pod.can_run(tmp_path / "probe"):
        pytest.skip("this machine gives no mount namespaces (unshare)")
    seen = tmp_path / "seen-kfp"
    seen.mkdir()
    with Backend(
        programs,
        tmp_path / "backend",
        claims={"signs-workspace": tmp_path / "volume"},
        secrets={"mlpipeline-minio-artifact": {"accesskey": "a", "secretkey": "b"}},
        image={"/app": ROOT, "/seen": seen},
        working_directory="/app",
    ) as backend:
        yield backend
