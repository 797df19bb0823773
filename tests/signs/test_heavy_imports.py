"""Python's collector rests during heavy imports, and leaves what they made alone."""

import gc

import pytest

from signs.heavy_imports import heavy_imports


@pytest.fixture(autouse=True)
def thaw():
    yield
    gc.unfreeze()


def test_nothing_is_collected_within_the_block_and_all_is_frozen_after_it() -> None:
    with heavy_imports():
        assert not gc.isenabled()
        made = [[] for _ in range(10)]
    assert gc.isenabled()
    assert gc.get_freeze_count() > 1000
    assert not any(one is made for one in gc.get_objects())


def test_an_import_that_fails_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError), heavy_imports():
        raise ImportError
    assert gc.isenabled()
