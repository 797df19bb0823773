"""What the serving check makes of the answers it got; the whole of it runs in the DAG's test."""

from pathlib import Path

import numpy as np
import pytest

from components.serving_check import executor
from components.serving_check.executor import TOLERANCE, compare
from components.serving_check.server import borrowed, lent, quick_server
from model_server import ServerProcess
from model_server.process import ServerProcessError
from tests.served import GREEN, RED
from trust.keys import make_keys

EXPECTED = np.array([[0.7, 0.3], [0.2, 0.8]], np.float32)


def test_equal_answers_are_blessed() -> None:
    result = compare(EXPECTED, EXPECTED.copy())
    assert result.blessed
    assert result.images == 2
    assert result.largest_difference == 0


@pytest.mark.parametrize(
    ("change", "blessed"), [(TOLERANCE / 2, True), (-TOLERANCE / 2, True), (TOLERANCE * 2, False)]
)
def test_the_largest_difference_decides(change: float, blessed: bool) -> None:
    served = EXPECTED.copy()
    served[1, 0] += change
    assert compare(EXPECTED, served).blessed is blessed


def test_a_refusal_names_the_image_and_the_difference() -> None:
    served = EXPECTED[:, ::-1].copy()
    assert compare(EXPECTED, served).reason == (
        "served probabilities differ from the trained model's by 0.6, more than 1e-05 (image 1)"
    )


def test_nan_is_refused() -> None:
    served = EXPECTED.copy()
    served[0, 0] = np.nan
    assert not compare(EXPECTED, served).blessed


def test_missing_answers_are_refused() -> None:
    result = compare(EXPECTED, EXPECTED[:1])
    assert not result.blessed
    assert result.reason == "served (1, 2) probabilities, expected (2, 2)"


def test_the_check_asks_the_server_that_was_lent_to_it_and_leaves_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped: list[ServerProcess] = []
    monkeypatch.setattr(ServerProcess, "stop", lambda self: stopped.append(self))
    server = ServerProcess()
    with lent(server), borrowed() as found:
        assert found is server
    assert not stopped
    with borrowed() as own:
        assert own is not server
    assert stopped == [own]


def test_where_there_are_keys_a_signed_copy_is_served_to_a_server_that_takes_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, saved_model: Path
) -> None:
    monkeypatch.setattr(
        executor, "expected_probabilities", lambda *given: np.float32([[1, 0, 0], [0, 1, 0]])
    )
    keys, unsigned = tmp_path / "keys", tmp_path / "unsigned"
    make_keys(keys)
    unsigned.mkdir()
    (unsigned / "1").symlink_to(saved_model)
    with quick_server(keys) as server, lent(server):
        result = executor.check(saved_model, tmp_path, tmp_path, [RED, GREEN], keys)
        assert result.images == 2
        with pytest.raises(ServerProcessError, match="unsigned/1 is not signed"):
            server.serve(unsigned, "unsigned")
    assert not (saved_model / "model.sig").exists()
