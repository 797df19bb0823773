"""Tables of path, label and split: named themselves, or as metadata in a folder or a zip."""

import io
import unicodedata
import zipfile
from collections import Counter

import pytest

from data import IngestError
from data.converting.convert import ingest
from data.sources import open_source
from data.sources.source import Ignored, Item, Rejection
from data.sources.table import Row, has_labels, rows
from tests.data.images import by_id, jpeg, write_tree


def read(text, name="labels.csv"):
    content = text if isinstance(text, bytes) else text.encode()
    return list(rows(io.BytesIO(content), (name,)))


def survey(path):
    found = []
    source = open_source(path)
    surveyed = source.survey(found.append)
    return source, surveyed, [e for e in found if isinstance(e, Item | Rejection | Ignored)]


CAT = Row(("a", "1.jpg"), "cat", "train")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("path,label,split\na/1.jpg,cat,train\n", "x.csv"),
        ("file_name;class;subset\r\na\\1.jpg;cat;training\r\n", "x.csv"),
        ("Image\tCategory\tSplit\n./a/1.jpg\t cat \tTRAIN\n", "x.tsv"),
        ('\ufeff"split","filename","class_name"\n\ntrain,a/1.jpg,cat', "x.csv"),
        ("id,width,file,label,split\n7,64,a/1.jpg,cat,train,more", "x.csv"),
        ('{"file_name": "a/1.jpg", "label": "cat", "split": "train"}\n\n', "x.jsonl"),
        ('\ufeff{"Path": "a/1.jpg", "w": [1], "LABEL": "cat", "split": "train"}', "x.ndjson"),
    ],
)
def test_forms_of_tables(text, name):
    assert read(text, name) == [CAT]
    assert has_labels(io.BytesIO(text.encode()), name)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/data/1.jpg,cat,train", Rejection("/data/1.jpg", "outside the folder of the table")),
        ("C:\\1.jpg,cat,train", Rejection("C:\\1.jpg", "outside the folder of the table")),
        ("../1.jpg,cat,train", Rejection("../1.jpg", "outside the folder of the table")),
        ("1.jpg,,train", Rejection("1.jpg", "no label")),
        (",cat,train", Rejection("labels.csv, line 2", "no path")),
        ("1.jpg,cat,fold3", Rejection("1.jpg", "'fold3' is not train, eval or test")),
        ("1.jpg,cat", Row(("1.jpg",), "cat", None)),
        ('"a, b.jpg","c ""d""",val', Row(("a, b.jpg",), 'c "d"', "eval")),
    ],
)
def test_rows(line, expected):
    assert read(f"path,label,split\n{line}\n") == [expected]


def test_labels_in_json_are_texts_or_numbers():
    lines = [f'{{"image": "1.jpg", "label": {label}}}' for label in ("3", '"b"', "[1]", "null")]
    assert [getattr(row, "class_name", row) for row in read("\n".join(lines), "x.jsonl")] == [
        "3",
        "b",
        Rejection("1.jpg", "no label"),
        Rejection("1.jpg", "no label"),
    ]


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"1.jpg,cat\n", "x.csv", "the first line of x.csv must name the columns path and label"),
        (b"", "x.csv", "the first line of x.csv must name the columns"),
        (b"path,label\nz,\xff\n", "x.csv", "x.csv is not UTF-8 .*: save it as UTF-8"),
        ("path,label\n".encode("utf-16"), "x.csv", "x.csv is not UTF-8"),
        (b'path,label\n"' + b"a" * 200_000, "x.csv", "x.csv, line .*: field larger than"),
        (b"{'path': 1}", "x.jsonl", "x.jsonl, line 1: no JSON"),
        (b"[1]\n", "x.jsonl", "x.jsonl, line 1: must be an object"),
    ],
)
def test_tables_that_cannot_be_read(content, name, message):
    with pytest.raises(IngestError, match=message):
        read(content, name)


def test_a_table_of_its_own(tmp_path):
    lines = [f"images/{n}.jpg,{'cat' if n % 2 else 'dog'}" for n in range(40)]
    tree = write_tree(
        tmp_path / "pets",
        {f"images/{n}.jpg": jpeg(n) for n in range(50)}
        | {"labels.csv": "\n".join(["path,label", *lines]).encode()},
    )
    done = ingest(tree / "labels.csv", tmp_path / "root")
    assert (done.name, done.manifest.class_names) == ("pets", ("cat", "dog"))
    assert done.manifest.examples == 40
    assert done.manifest.split_size("test") > 0
    assert by_id(done)["images/7.jpg"].class_name == "cat"
    assert ingest(tree / "labels.csv", tmp_path / "root").reused
    # Another label of the same file is other content.
    table = "\n".join(["path,label", "images/0.jpg,cat", *lines[1:]])
    write_tree(tree, {"labels.csv": table.encode()})
    assert ingest(tree / "labels.csv", tmp_path / "root").span == 2


def test_splits_of_a_table(tmp_path):
    rows_ = ["path,label,split", "1.jpg,a,train", "2.jpg,b,test", "3.jpg,b,", "2.jpg,a,test"]
    tree = write_tree(
        tmp_path,
        {f"{n}.jpg": jpeg(n) for n in range(4)} | {"birds.csv": "\n".join(rows_).encode()},
    )
    _, surveyed, found = survey(tree / "birds.csv")
    assert surveyed.name == "birds"
    # Eval comes out of train, as from folders.
    assert (surveyed.proportions.train, surveyed.proportions.test) == (0.8, 0.0)
    assert [(e.source_id, e.split) for e in found[:2]] == [("1.jpg", None), ("2.jpg", "test")]
    assert found[2:] == [Rejection("3.jpg", "no split"), Rejection("2.jpg", "named a second time")]


def test_files_that_are_not_there_are_rejected_by_name(tmp_path):
    tree = write_tree(tmp_path, {"1.jpg": jpeg(1), "x.csv": b"path,label\n1.jpg,a\n2.jpg,b\n"})
    assert survey(tree / "x.csv")[2][1] == Rejection("2.jpg", "no such file")
    write_tree(tmp_path, {"y.csv": b"path,label\n8.jpg,a\n9.jpg,b\n"})
    with pytest.raises(IngestError, match=r"y.csv holds 2 entries, all no such file\."):
        ingest(tree / "y.csv", tmp_path / "root")


def test_names_in_another_form_of_accents(tmp_path):
    on_disk = unicodedata.normalize("NFD", "é.jpg")
    table = f"path,label\n{unicodedata.normalize('NFC', 'é.jpg')},a\n".encode()
    tree = write_tree(tmp_path, {on_disk: jpeg(1), "x.csv": table})
    source, _, (item,) = survey(tree / "x.csv")
    assert source.read(item) == jpeg(1)


ZERO = b'{"file_name": "0.jpg", "label": 0}\n'
HUGGING_FACE = {
    "train/metadata.jsonl": ZERO + b'{"file_name": "1.jpg", "label": 1}',
    "test/metadata.jsonl": ZERO + b'{"file_name": "9.jpg", "label": 1}',
    **{f"{split}/{n}.jpg": jpeg(n + len(split)) for split in ("train", "test") for n in range(3)},
    "README.md": b"---",
}


def as_folder(tmp_path, files):
    return write_tree(tmp_path / "x", files)


def as_zip(tmp_path, files):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return tmp_path / "x.zip"


@pytest.mark.parametrize("pack", [as_folder, as_zip])
def test_an_imagefolder_with_a_table_for_each_split(tmp_path, pack):
    source, surveyed, found = survey(pack(tmp_path, HUGGING_FACE))
    assert surveyed.class_names == ("0", "1")
    assert surveyed.description.endswith("test/metadata.jsonl and train/metadata.jsonl")
    items = {e.source_id: e for e in found if isinstance(e, Item)}
    assert {name: (item.class_name, item.split) for name, item in items.items()} == {
        "test/0.jpg": ("0", "test"),
        "train/0.jpg": ("0", None),
        "train/1.jpg": ("1", None),
    }
    assert source.read(items["train/1.jpg"]) == jpeg(6)
    assert Counter(e for e in found if not isinstance(e, Item)) == {
        Rejection("test/9.jpg", "no such file"): 1,
        Ignored("in no table"): 3,
    }


@pytest.mark.parametrize("pack", [as_folder, as_zip])
def test_an_imagefolder_with_one_table(tmp_path, pack):
    files = {f"deep/{n}.jpg": jpeg(n) for n in range(4)}
    table = "file_name,label\n" + "".join(f"deep/{n}.jpg,{'ab'[n % 2]}\n" for n in range(4))
    _, surveyed, found = survey(pack(tmp_path, {**files, "metadata.csv": table.encode()}))
    assert [(e.source_id, e.class_name) for e in found] == [
        (f"deep/{n}.jpg", "ab"[n % 2]) for n in range(4)
    ]
    assert surveyed.proportions.train == 0.8


@pytest.mark.parametrize("pack", [as_folder, as_zip])
def test_a_table_without_labels_leaves_them_to_the_folders(tmp_path, pack):
    files = {f"{c}/{n}.jpg": jpeg(n) for c in "ab" for n in range(2)}
    captions = b"file_name,text\na/0.jpg,one\n"
    _, surveyed, found = survey(pack(tmp_path, {**files, "metadata.csv": captions}))
    assert surveyed.class_names == ("a", "b")
    assert found[-1] == Rejection("metadata.csv", "not in a class folder")


def test_answers_are_not_for_tables(tmp_path):
    from data.sources.layouts.answers import Answers

    path = write_tree(tmp_path, {"x.csv": b"path,label\n"}) / "x.csv"
    with pytest.raises(IngestError, match="a table says classes and splits itself"):
        open_source(path, answers=Answers("classes"))
    with pytest.raises(IngestError, match=r"--zip-encoding is for \.zip files"):
        open_source(tmp_path, answers=Answers(zip_encoding="gbk"))
    with pytest.raises(IngestError, match=r"are for folders and \.zip files"):
        open_source("synthetic", answers=Answers("classes"))
