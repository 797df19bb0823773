"""Numbers of spans and versions, and that nobody publishes while another holds the lock."""

import threading
import time
from pathlib import Path

import pytest

from data import IngestError, spans
from data.manifest import Manifest
from signs import durable
from signs.features import SPLITS


def manifest(fingerprint: str, span: int = 1, version: int = 1, seed: int = 0) -> Manifest:
    return Manifest(
        name="photos",
        span=span,
        version=version,
        class_names=("a", "b"),
        counts={split: {"a": 0, "b": 0} for split in SPLITS},
        shards=(),
        source="folder",
        is_synthetic=False,
        fingerprint=fingerprint,
        settings={"seed": seed},
        tool_version="1",
        created="2026-01-01T00:00:00+00:00",
        rejected={},
        ignored={},
    )


def publish(root: Path, fingerprint: str, seed: int = 0) -> tuple[Manifest, bool]:
    with spans.workplace(root) as folder:
        built = folder / "built"
        (built / "train").mkdir(parents=True)
        return spans.publish(
            built, root / "photos", lambda *numbers: manifest(fingerprint, *numbers, seed)
        )


def published(root: Path) -> list[tuple[int, int]]:
    return [(span, version) for span, version, _ in spans.versions(root / "photos")]


def test_content_counts_spans_and_settings_count_versions(tmp_path: Path) -> None:
    made = [publish(tmp_path, *args) for args in (("x",), ("x", 7), ("x", 7), ("y",), ("x",))]
    assert [(m.span, m.version, is_new) for m, is_new in made] == [
        (1, 1, True),
        (1, 2, True),
        (1, 2, False),
        (2, 1, True),
        (3, 1, True),
    ]
    assert published(tmp_path) == [(1, 1), (1, 2), (2, 1), (3, 1)]
    for found, _ in made:
        assert Manifest.load(spans.directory_of(tmp_path / "photos", found)) == found
    assert not list(tmp_path.glob(".ingest-*"))


def test_other_folders_are_no_versions_and_their_numbers_are_not_taken(tmp_path: Path) -> None:
    dataset = tmp_path / "photos"
    for name in ("span-4", "span-x/v-1", "span-1/w-1", "span-2/v-1/deep", "spam-3/v-3"):
        (dataset / name).mkdir(parents=True)
    assert spans.versions(dataset) == [(2, 1, dataset / "span-2" / "v-1")]
    (dataset / "span-2" / "v-1" / "manifest.json").write_text(manifest("y", 2).to_json())
    assert publish(tmp_path, "x")[0].span == 5


def test_a_span_that_was_renamed_is_told(tmp_path: Path) -> None:
    publish(tmp_path, "x")
    (tmp_path / "photos" / "span-1").rename(tmp_path / "photos" / "span-9")
    with pytest.raises(
        IngestError, match=r"span-9/v-1 is a copy of span 1, version 1: a span keep"
    ):
        publish(tmp_path, "y")


def test_publishing_waits_for_the_lock(tmp_path: Path) -> None:
    built = tmp_path / "built"
    built.mkdir()
    thread = threading.Thread(
        target=spans.publish,
        args=[built, tmp_path / "photos", lambda *numbers: manifest("x", *numbers)],
        daemon=True,
    )
    with durable.lock(tmp_path / ".lock"):
        thread.start()
        deadline = time.monotonic() + 10
        while sum(_opens(fd, tmp_path / ".lock") for fd in Path("/proc/self/fd").iterdir()) < 2:
            assert thread.is_alive(), "it has not waited"
            assert time.monotonic() < deadline
        assert published(tmp_path) == []
    thread.join(10)
    assert published(tmp_path) == [(1, 1)]


def _opens(descriptor: Path, path: Path) -> bool:
    try:
        return descriptor.readlink() == path
    except OSError:
        return False


def test_a_folder_at_work_stays_and_what_a_kill_has_left_goes(tmp_path: Path) -> None:
    (tmp_path / ".ingest-killed" / "built").mkdir(parents=True)
    with spans.workplace(tmp_path) as first:
        with spans.workplace(tmp_path) as second:
            assert sorted(tmp_path.glob(".ingest-*")) == sorted([first, second])
        assert list(tmp_path.glob(".ingest-*")) == [first]
    with pytest.raises(KeyError), spans.workplace(tmp_path):
        raise KeyError
    assert not list(tmp_path.glob(".ingest-*"))
