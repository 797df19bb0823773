"""Processes that fail are one error that says which way; what is done is told."""

from pathlib import Path

import pytest

from data import IngestError, processes


def test_what_a_worker_says_last_is_told(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(IngestError) as caught:
        processes._in_processes(missing, [0, 1, 2], 2)
    assert str(caught.value) == (
        "a conversion process failed (1): FileNotFoundError: [Errno 2] No such file or directory: "
        f"'{missing}/plan.pickle'"
    )


def test_progress_ends_at_all_and_never_beyond(tmp_path: Path) -> None:
    (tmp_path / "progress").write_bytes(bytes(7))
    seen: list[tuple[int, int | None]] = []
    with processes.watched(tmp_path / "progress", 5, lambda *args: seen.append(args)):
        pass
    assert seen[-1] == (5, 5)
    assert {done for done, _ in seen} <= {5}
