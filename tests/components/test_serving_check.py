"""What the serving check makes of the answers it got; the whole of it runs in the DAG's test."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from components.serving_check import executor
from components.serving_check.comparison import (
    BFLOAT16_TOLERANCE,
    TOLERANCE,
    Answers,
    Result,
    compare,
)
from components.serving_check.server import borrowed, lent, quick_server
from model_server import ServerProcess
from model_server.process import ServerProcessError
from tests.served import GREEN, RED
from trust.keys import make_keys

EXPECTED = Answers(
    np.array([[0.7, 0.3], [0.49, 0.51]], np.float32),
    np.array([0.8, 0.6], np.float32),
    np.array([True, False]),
)


def served(change: float = 0.0, known: bool = False) -> Answers:
    """As expected, but for the second image."""
    probabilities = EXPECTED.probabilities + np.array([[0, 0], [change, -change]], np.float32)
    return Answers(probabilities, EXPECTED.confidence, np.array([True, known]))


def test_equal_answers_are_blessed() -> None:
    result = compare(EXPECTED, served())
    assert result == Result(
        True, "served as trained: probabilities differ by 0.0e+00 at most", "float32", 2, 0, 0, 0, 0
    )


@pytest.mark.parametrize(
    ("change", "float32", "bfloat16"),
    [
        (TOLERANCE / 2, True, True),
        (-TOLERANCE / 2, True, True),
        (TOLERANCE * 2, False, True),
        (-BFLOAT16_TOLERANCE * 0.99, False, True),
        (BFLOAT16_TOLERANCE * 0.45, False, True),
        (BFLOAT16_TOLERANCE * 0.55, False, False),  # another class
        (-BFLOAT16_TOLERANCE * 1.01, False, False),
        (np.nan, False, False),
    ],
)
def test_the_largest_difference_and_the_classes_decide(
    change: float, float32: bool, bfloat16: bool
) -> None:
    assert compare(EXPECTED, served(change)).blessed is float32
    assert compare(EXPECTED, served(change), "bfloat16").blessed is bfloat16


def test_a_refusal_names_the_image_and_the_difference() -> None:
    assert compare(EXPECTED, served(-0.25)).reason == (
        "served probabilities differ from the trained model's by 0.25, more than 1e-05 (image 1)"
    )
    assert compare(EXPECTED, served(0.015), "bfloat16").reason == (
        "1 of 2 images got another class served"
    )


def test_what_is_known_is_counted_and_decides_nothing() -> None:
    result = compare(EXPECTED, served(known=True), "bfloat16")
    assert (result.blessed, result.changed_known, result.changed_classes) == (True, 1, 0)


def test_missing_answers_are_refused() -> None:
    one = Answers(*(part[:1] for part in dataclasses.astuple(EXPECTED)))
    result = compare(EXPECTED, one)
    assert not result.blessed
    assert result.reason == "served (1, 2) probabilities, expected (2, 2)"


@pytest.mark.parametrize(
    ("choice", "able", "differs", "served_in", "why_not"),
    [
        ("auto", True, (), ["bfloat16"], None),
        ("auto", True, ("bfloat16",), ["bfloat16", "float32"], "more than 0.02 (image 1)"),
        ("auto", True, ("bfloat16", "float32"), ["bfloat16", "float32"], "more than 0.02"),
        ("auto", False, (), ["float32"], "this processor has no instructions for it"),
        ("float32", True, (), ["float32"], None),
        ("bfloat16", False, (), ["bfloat16"], None),
        ("bfloat16", True, ("bfloat16",), ["bfloat16"], None),
    ],
)
def test_which_copy_is_served(
    monkeypatch: pytest.MonkeyPatch,
    choice: executor.Choice,
    able: bool,
    differs: tuple[str, ...],
    served_in: list[str],
    why_not: str | None,
) -> None:
    asked: list[str] = []

    def answers(
        server: object, model: Path, precision: str, images: list[bytes], keys: Path | None
    ) -> Answers:
        asked.append(precision)
        return served(0.3 if precision in differs else 0)

    monkeypatch.setattr(executor, "has_bfloat16", lambda: able)
    monkeypatch.setattr(executor, "_served", answers)
    monkeypatch.setattr(executor, "expected_answers", lambda *inputs: EXPECTED)
    with lent(ServerProcess()):
        result = executor.check(Path(), Path(), Path(), [], choice)
    assert asked == served_in
    assert result.precision == served_in[-1]
    assert result.blessed is (served_in[-1] not in differs)
    assert (why_not or "None") in str(result.without_bfloat16)


def test_the_copy_in_float32_answers_after_the_one_in_bfloat16(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, saved_model: Path
) -> None:
    """One server is given both. Here the one in bfloat16 is much less sure."""
    import tensorflow as tf

    model = tmp_path / "Format-Serving"
    model.symlink_to(saved_model)
    other = tf.saved_model.load(str(saved_model))
    other.scale.assign(1.0)
    tf.saved_model.save(other, f"{model}-bfloat16", signatures=other.signatures)
    with quick_server() as server, lent(server):
        trained = executor._served(server, model, "float32", [RED, GREEN], None)
        monkeypatch.setattr(executor, "has_bfloat16", lambda: True)
        monkeypatch.setattr(executor, "expected_answers", lambda *inputs: trained)
        result = executor.check(model, tmp_path, tmp_path, [RED, GREEN], "auto")
    assert (result.precision, result.blessed, result.largest_difference) == ("float32", True, 0)
    assert result.without_bfloat16 is not None and "(image 0)" in result.without_bfloat16


def test_what_is_stamped_is_the_copy_and_what_goes_along(tmp_path: Path) -> None:
    model = tmp_path / "Format-Serving"
    for name, folder in (("float32", model), ("bfloat16", tmp_path / "Format-Serving-bfloat16")):
        folder.mkdir()
        (folder / "saved_model.pb").write_text(name)
    (model / "assets.extra").mkdir()
    (model / "assets.extra" / "trained.keras").write_text("trained")
    for precision in ("float32", "bfloat16"):
        target = tmp_path / "blessing" / precision
        executor.stamp(model, precision, target)
        assert (target / "saved_model.pb").read_text() == precision
        assert (target / "assets.extra" / "trained.keras").read_text() == "trained"


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
    monkeypatch.setattr(executor, "expected_answers", lambda *inputs: EXPECTED)
    keys, unsigned = tmp_path / "keys", tmp_path / "unsigned"
    make_keys(keys)
    unsigned.mkdir()
    (unsigned / "1").symlink_to(saved_model)
    with quick_server(keys) as server, lent(server):
        result = executor.check(saved_model, tmp_path, tmp_path, [RED, GREEN], keys=keys)
        assert result.images == 2
        with pytest.raises(ServerProcessError, match="unsigned/1 is not signed"):
            server.serve(unsigned, "unsigned")
    assert not (saved_model / "model.sig").exists()
