"""The daemon, the base and the image, each once."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from signs import durable
from tests import ROOT
from tests.image.base import make_base
from tests.image.build import Image, build, checkout
from tests.image.docker import PATH, PROGRAMS, Docker

FOLDER = ROOT / ".native" / "image"  # the daemon's: kept, with what it has built


def pytest_collection_modifyitems() -> None:
    """Says what is missing here, before anything is begun."""
    if missing := [name for name in PROGRAMS if not shutil.which(name, path=PATH)]:
        pytest.exit(
            f"make test-image needs {', '.join(missing)}: apt-get install docker.io mmdebstrap", 2
        )
    if os.geteuid():
        pytest.exit("make test-image needs root, for a Docker daemon of its own: sudo make ...", 2)


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with durable.lock(FOLDER / ".lock", timeout_s=0):
        daemon = Docker(FOLDER)
        try:
            yield daemon
        finally:
            daemon.client("image", "prune", "--force", check=False)  # those without a name
            daemon.stop()


@pytest.fixture(scope="session")
def base(docker: Docker) -> str:
    return make_base(docker, FOLDER)


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(tmp_path_factory.mktemp("context"))


@pytest.fixture(scope="session")
def image(docker: Docker, base: str, context: Path) -> Image:
    return build(docker, base, context, "--tag=signs:test")


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Iterator[object]:
    """Prints, whatever pytest does with what is printed."""

    def out(text: str) -> None:
        with capsys.disabled():
            print(text, flush=True)

    yield out
