"""Objects in, the same objects out; folders are not objects."""

from pathlib import Path

import pytest

from kubeflow.standin.store import Store, StoreError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_folder_comes_back_without_its_empty_folders(store: Store, tmp_path: Path) -> None:
    made = tmp_path / "made"
    (made / "deep" / "er").mkdir(parents=True)
    (made / "empty").mkdir()
    (made / "one").write_text("1")
    (made / "deep" / "er" / "two").write_text("2")
    store.upload(made, "minio://bucket/key/of")
    store.download("minio://bucket/key/of", tmp_path / "back")
    assert tree(tmp_path / "back") == {"one": "1", "deep/er/two": "2"}
    assert not (tmp_path / "back" / "empty").exists()
    assert store.path("minio://bucket/key/of/one").read_text() == "1"


def test_a_file_comes_back_as_a_file(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    store.upload(tmp_path / "file", "gs://bucket/file")
    store.download("gs://bucket/file", tmp_path / "back" / "file")
    assert (tmp_path / "back" / "file").read_text() == "x"


def test_a_key_is_no_prefix_of_a_longer_name(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    store.upload(tmp_path / "a", "s3://bucket/model")
    store.upload(tmp_path / "a", "s3://bucket/model_run/a")
    assert [path.name for path in store.files("s3://bucket/model_run")] == ["a"]
    assert [path.name for path in store.files("s3://bucket/model")] == ["model"]


def test_nothing_there_is_nothing_downloaded(store: Store, tmp_path: Path) -> None:
    store.download("minio://bucket/none", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_nothing_there_cannot_be_uploaded(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.upload(tmp_path / "none", "minio://bucket/none")


def test_an_object_is_replaced_as_a_whole(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("long text")
    store.upload(tmp_path / "a", "minio://bucket/a")
    with store.path("minio://bucket/a").open() as reader:
        (tmp_path / "a").write_text("short")
        store.upload(tmp_path / "a", "minio://bucket/a")
        assert reader.read() == "long text"
    assert tree(store.root) == {"minio/bucket/a": "short"}


@pytest.mark.parametrize(
    "uri", ["/minio/bucket/a", "file:///a", "minio://bucket/../other/a", "minio://", "minio://../a"]
)
def test_what_is_no_address_of_an_object_is_refused(store: Store, uri: str) -> None:
    with pytest.raises(StoreError, match=r"not the URI of an object|leaves its bucket"):
        store.path(uri)
