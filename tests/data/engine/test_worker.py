"""Where a worker stands."""

from pathlib import Path

import pytest

from data.engine.worker import stand_in


def test_relative_paths_are_those_of_whoever_sent_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    stand_in(str(tmp_path))
    assert Path.cwd() == tmp_path


def test_a_folder_that_only_the_sender_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir("/")
    stand_in("/not/here")
    assert Path.cwd() == Path("/")
    assert "no folder /not/here: relative paths lead nowhere" in capsys.readouterr().out
