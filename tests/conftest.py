"""Fixtures that every test may use."""

import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from signs.heavy_imports import heavy_imports
from tests import ROOT

pytest_plugins = ["tests.served", "tests.s3.server"]

# What takes longest is begun first: else one worker ends alone with it. xdist keeps the order under
# `--no-loadscope-reorder` (see the Makefile).
LONGEST_FIRST = [
    "tests/pipeline/test_end_to_end.py",
    "tests/kubeflow/standin/test_whole_dag.py",
    "tests/pipeline/test_tuning.py",
    "tests/modules/machines/test_distributed.py",
    "tests/modules/training/test_loop.py",
    "tests/modules/training/test_input.py",
    "tests/notebooks/test_resnet_blocks.py",
    "tests/modules/machines/test_devices.py",
    "tests/modules/test_trainer.py",
    "tests/model_server/test_descriptors.py",
]

SIGNS_DATA = ROOT.parent / "shared" / "data" / "signs"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Imports all test files, and with them TensorFlow and TFX."""
    with heavy_imports():
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the files that take longest before all others, which stay in their order."""
    place = {ROOT / name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture(scope="session")
def signs_data() -> Path:
    """The folder that holds the real SIGNS files; skips the test where it is absent."""
    if not (SIGNS_DATA / "64x64_SIGNS.zip").exists():
        pytest.skip("the real SIGNS images are not beside this checkout (../shared/data/signs)")
    return SIGNS_DATA


@pytest.fixture(scope="session")
def other_hands() -> Path:
    """Photographs of other people's hands, by sign; skips the test where they are absent."""
    folder = SIGNS_DATA.with_name("other_hands")
    if not folder.is_dir():
        pytest.skip("the other hands are not beside this checkout (../shared/data/other_hands)")
    return folder


@pytest.fixture(autouse=True)
def _signals_are_heard() -> Iterator[None]:
    """Ctrl-C and a closed terminal act as they do in a terminal, wherever the tests are started.

    A shell starts its background jobs with SIGINT ignored, and nohup with SIGHUP; libraries set
    handlers of their own and leave them. Tests that send a signal would wait for ever.
    """
    handlers = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGHUP: signal.SIG_DFL,
        signal.SIGTERM: signal.SIG_DFL,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
