"""The truth table of layouts: what trees of folders mean, and which are not guessed."""

import itertools
import re

import pytest

from data import IngestError
from data.sources.layouts.answers import NO_ANSWERS, Answers
from data.sources.layouts.detection import detect
from data.sources.layouts.layout import LeftOutError, MisplacedError
from data.sources.layouts.tree import Tree


def expand(pattern):
    """Expands braces, as a shell does: `{a,b}/1.jpg`, `{1..3}.jpg`."""
    pieces = []
    for text, braces in re.findall(r"([^{}]*)(?:\{([^{}]*)\})?", pattern):
        pieces.append([text])
        if match := re.fullmatch(r"(\d+)\.\.(\d+)", braces):
            pieces.append([str(number) for number in range(int(match[1]), int(match[2]) + 1)])
        elif braces:
            pieces.append(braces.split(","))
    return ["".join(choice) for choice in itertools.product(*pieces)]


def tree_of(*patterns):
    """A tree of files; what ends in a slash is an empty folder."""
    tree = Tree()
    for path in itertools.chain.from_iterable(map(expand, patterns)):
        parts = tuple(path.split("/"))
        if not parts[-1]:
            tree.add_folder(parts[:-1])
        elif parts[-1] in ("metadata.csv", "metadata.jsonl"):
            tree.add_folder(parts[:-1]).tables.append(parts[-1])
        else:
            tree.add_file(parts)
    return tree


def layout_of(*patterns, answers=NO_ANSWERS):
    return detect(tree_of(*patterns), "the folder x", answers)


# Data sets as they lie in their archives, and trees that people make. What is understood, in words.
UNDERSTOOD = {
    "one folder per class": (["{cat,dog}/{1..3}.jpg"], "class folders"),
    "ImageNet": (
        ["imagenet/{train,val}/{n01440764,n01443537}/{1..3}.JPEG"],
        "train from imagenet/train, eval from imagenet/val, test out of train",
    ),
    "ImageNet, whose val is not sorted": (
        ["ILSVRC/{train}/{n01440764,n01443537}/{1..3}.JPEG", "ILSVRC/{val,test}/{1..4}.JPEG"],
        "train from ILSVRC/train, eval and test out of train",
    ),
    "Tiny ImageNet": (
        ["train/{n01,n02}/images/{1..3}.JPEG", "{val,test}/images/{1..9}.JPEG", "wnids.txt"],
        "train from train, eval and test out of train",
    ),
    "Intel image classification, unpacked": (
        ["seg_{train,test}/{sea,street}/{1..3}.jpg", "seg_pred/{1..9}.jpg"],
        "train from seg_train, test from seg_test, eval out of train",
    ),
    "Intel image classification": (
        [
            "seg_train/seg_train/{sea,street}/{1..3}.jpg",
            "seg_test/seg_test/{sea,street}/{1..3}.jpg",
            "seg_pred/seg_pred/{1..9}.jpg",
        ],
        "train from seg_train/seg_train, test from seg_test/seg_test, eval out of train",
    ),
    "Cats and dogs, of the deep-learning courses": (
        ["{training,test}_set/{cats,dogs}/{1..3}.jpg"],
        "train from training_set, test from test_set, eval out of train",
    ),
    "Cats and dogs, filtered": (
        ["filtered/{train,validation}/{cats,dogs}/1.jpg", "x/vectorize.py"],
        "train from filtered/train, eval from filtered/validation, test out of train",
    ),
    "PetImages": (
        ["PetImages/{Cat,Dog}/{1..3}.jpg", "readme[1].txt"],
        "class folders in PetImages",
    ),
    "ASL alphabet": (
        [
            "asl_alphabet_train/asl_alphabet_train/{A,B,space}/{1..3}.jpg",
            "asl_alphabet_test/asl_alphabet_test/{A,B}_test.jpg",
        ],
        "train from asl_alphabet_train/asl_alphabet_train, eval and test out of train",
    ),
    "ASL alphabet, its train alone": (
        ["asl_alphabet_train/asl_alphabet_train/{A,B,space}/{1..3}.jpg"],
        "class folders in asl_alphabet_train/asl_alphabet_train",
    ),
    "Chest X-ray": (
        ["chest_xray/{train,test,val}/{NORMAL,PNEUMONIA}/{1..3}.jpeg"],
        "train from chest_xray/train, eval from chest_xray/val, test from chest_xray/test",
    ),
    "Brain tumour": (
        ["{Training,Testing}/{glioma,notumor}/1.jpg"],
        "train from Training, test from Testing, eval out of train",
    ),
    "Fruits-360": (
        [
            "fruits/{Training,Test}/{Apple 1,Kiwi}/1.jpg",
            "fruits/test-multiple_fruits/{1..9}.jpg",
            "fruits/papers/a.pdf",
        ],
        "train from fruits/Training, test from fruits/Test, eval out of train",
    ),
    "Sign Language MNIST as images": (
        ["train_images/{A,B}/1.png", "test_images/{A,B}/1.png"],
        "train from train_images, test from test_images, eval out of train",
    ),
    "CIFAR-10": (
        ["cifar10/{train,test}/{airplane,bird}/{1..3}.png", "cifar10/labels.txt"],
        "train from cifar10/train, test from cifar10/test, eval out of train",
    ),
    "MNIST": (
        ["mnist_png/{training,testing}/{0..9}/1.png"],
        "train from mnist_png/training, test from mnist_png/testing, eval out of train",
    ),
    "Hugging Face imagefolder": (
        ["folder/{train,validation,test}/{dog,cat}/1.png", "folder/README.md"],
        "train from folder/train, eval from folder/validation, test from folder/test",
    ),
    "Hugging Face imagefolder with a table": (["{1..3}.png", "metadata.csv"], "metadata.csv"),
    "Hugging Face imagefolder with a table for each split": (
        ["{train,test}/{1..3}.png", "{train,test}/metadata.jsonl"],
        "test/metadata.jsonl and train/metadata.jsonl",
    ),
    "Hugging Face imagefolder, its test without a table": (
        ["data/{train,test}/{1..3}.png", "data/train/metadata.csv"],
        "data/train/metadata.csv",
    ),
    "Food-101": (
        ["food-101/images/{apple_pie,waffles}/1.jpg", "food-101/meta/train.json"],
        "class folders in food-101/images",
    ),
    "CUB-200": (
        ["CUB_200_2011/images/{001.Albatross,002.Auk}/1.jpg", "CUB_200_2011/parts/parts.txt"],
        "class folders in CUB_200_2011/images",
    ),
    "EuroSAT": (["2750/{Forest,River}/1.jpg"], "class folders in 2750"),
    "YOLO's classification": (
        ["{train,val,test}/{a,b}/1.jpg"],
        "train from train, eval from val, test from test",
    ),
    "CS230": (
        ["w64/{train,val,test}_signs/{0..5}_IMG_1.jpg"],
        "train from w64/train_signs, eval from w64/val_signs, test from w64/test_signs",
    ),
    "folders that are called as CS230's, with class folders": (
        ["{train,test}_signs/{0..5}/1.jpg"],
        "train from train_signs, test from test_signs, eval out of train",
    ),
    "a class called train": (["{bus,car,train}/{1..3}.jpg"], "class folders"),
    "a class called test": (["{cat,test}/{1..3}.jpg"], "class folders"),
    "classes with folders of any depth": (
        ["cat/{1..3}.jpg", "dog/old/deep/2.jpg"],
        "class folders",
    ),
    "DIGITS's nested classes": (
        ["cat/{siamese,tabby}/1.jpg", "dog/big/great-dane/1.jpg", "dog/other.jpg", "fox/1.jpg"],
        "class folders",
    ),
    "classes of different folders": (
        ["animals/{cat,dog}/1.jpg", "vehicles/{bus,car}/1.jpg"],
        "class folders",
    ),
    "wrappers of any depth": (["a/a/b c/{cat,dog}/1.jpg"], "class folders in a/a/b c"),
    "wrappers within the splits": (
        ["train/images/{a,b}/1.jpg", "test/images/{a,b}/1.jpg"],
        "train from train/images, test from test/images, eval out of train",
    ),
    "splits within a folder of images": (
        ["images/{train2017,val2017}/{a,b}/1.jpg"],
        "train from images/train2017, eval from images/val2017, test out of train",
    ),
    "a class without test images": (
        ["train/{a,b,c}/1.jpg", "test/{a,b}/1.jpg"],
        "train from train, test from test, eval out of train",
    ),
    "an empty class folder in a split": (
        ["train/{a,b}/1.jpg", "test/a/1.jpg", "test/b/"],
        "train from train, test from test, eval out of train",
    ),
    "a stray picture beside class folders": (
        ["train/{a,b}/{1..9}.jpg", "train/preview.jpg", "test/{a,b}/1.jpg"],
        "train from train, test from test, eval out of train",
    ),
    "train alone": (["train/{a,b}/1.jpg"], "class folders in train"),
    "files without suffixes": (["{cat,dog}/img{1..3}"], "class folders"),
}

# What is refused, and why.
ASKED = {
    "Cats and dogs, of the competition": (
        ["{train,test1}/{1..3}.jpg", "sampleSubmission.csv"],
        "'test1', 'train' sound like splits, and hold no class folders",
    ),
    "the same, in folders of their own": (
        ["train/train/{1..3}.jpg", "test1/test1/{1..3}.jpg"],
        "'test1', 'train' sound like splits, and hold no class folders",
    ),
    "Chest X-ray, whose archive holds all twice": (
        [
            "chest_xray/{train,test,val}/{NORMAL,PNEUMONIA}/1.jpeg",
            "chest_xray/chest_xray/{train,test,val}/{NORMAL,PNEUMONIA}/1.jpeg",
        ],
        "which split is 'chest_xray'?",
    ),
    "PlantVillage, whose archive holds all twice": (
        ["{Pepper,Potato,Tomato}/1.jpg", "PlantVillage/{Pepper,Potato,Tomato}/1.jpg"],
        "is 'PlantVillage' a class, or are the classes in it",
    ),
    "PlantVillage, raw": (
        ["{color,grayscale,segmented}/{apple,corn}/1.jpg"],
        "'color' and 'grayscale' both hold 'apple'",
    ),
    "Flowers-102": (["jpg/image_{1..9}.jpg", "setid.mat"], "only one folder holds images, 'jpg'"),
    "Oxford pets": (
        ["images/Bengal_{1..3}.jpg", "annotations/trimaps/Bengal_{1..3}.png"],
        "'annotations' does not sound like a class",
    ),
    "Sign Language Digits": (
        ["Sign-Language/Dataset/{0..9}/1.JPG", "Sign-Language/Examples/{0..9}.JPG"],
        "is 'Dataset' a class, or are the classes in it",
    ),
    "GTSRB": (
        ["Train/{0..9}/1.png", "Test/{1..9}.png", "Meta/{0..9}.png", "Train.csv"],
        "is 'Meta' a class, or are 'Train' and what else splits?",
    ),
    "YOLO's detection": (
        ["images/{train,val}/1.jpg", "labels/{train,val}/1.txt"],
        "'train', 'val' sound like splits, and hold no class folders",
    ),
    "two trains": (["train_{a,b}/{x,y}/1.jpg", "test/{x,y}/1.jpg"], "both sound like train"),
    "no train": (["{test,val}/{x,y}/1.jpg"], "sounds like train"),
    "test alone": (["my_test/{x,y}/1.jpg"], "all of it lies in 'my_test': only test images?"),
    "names without a known word": (["fold{1,2}/{x,y}/1.jpg"], "'fold1' and 'fold2' both hold 'x'"),
    "a name of two words": (
        ["trainval/{x,y}/1.jpg", "test/{x,y}/1.jpg"],
        "which split is 'trainval'?",
    ),
    "the same beside a folder of images": (
        ["fold{1,2}/{x,y}/1.jpg", "new/{1..3}.jpg"],
        "'fold1' and 'fold2' both hold 'x'",
    ),
    "another language": (["{entrenamiento,prueba}/{x,y}/1.jpg"], "both hold 'x'"),
    "classes that overlap in part": (
        ["train/{x,y}/1.jpg", "test/{y,z}/1.jpg"],
        "'test' holds 'z', and 'train' no folder of that name",
    ),
    "classes in other letters": (
        ["train/{Cat,Dog}/1.jpg", "test/{cat,dog}/1.jpg"],
        "'test' holds 'cat', 'dog', and 'train' no folder of that name",
    ),
    "splits within the classes": (
        ["{cat,dog}/{train,test}/1.jpg"],
        "'cat' and 'dog' both hold 'test'",
    ),
    "classes that are divided by year": (["{cat,dog}/{2019,2020}/1.jpg"], "both hold '2019'"),
    "train beside a class": (["train/{x,y}/1.jpg", "unlabelled/1.jpg"], "is 'unlabelled' a class"),
    "a flat train": (["train/{1..3}.jpg", "val/{x,y}/1.jpg"], "no folder of class folders sounds"),
    "one class": (["cat/{1..3}.jpg"], "only one folder holds images, 'cat'"),
    "no folders": (["{1..3}.jpg"], "its images lie side by side, in no class folders"),
    "two tables": (["1.jpg", "metadata.csv", "metadata.jsonl"], "holds metadata.csv and metadata"),
}


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_understood(name):
    patterns, words = UNDERSTOOD[name]
    assert layout_of(*patterns).in_words == words


@pytest.mark.parametrize("name", ASKED)
def test_asked(name):
    patterns, reason = ASKED[name]
    with pytest.raises(IngestError, match=re.escape(reason)) as caught:
        layout_of(*patterns)
    lines = str(caught.value).splitlines()
    assert lines[0] == "it is not clear how the folder x is meant:"
    assert max(map(len, lines)) <= 80
    assert "Say what is meant" in str(caught.value) or "Expected a folder for each" in lines[1]


CS230 = ("w/train_signs/5_IMG_1.jpg", "w/val_signs/0_IMG_2.jpg", "w/test_signs/1_IMG_3.jpg")
SPLITS = ("train/{cat,dog}/1.jpg", "Valid/cat/2.jpg", "test/dog/3.jpg")
CLASSES = ("cat/{1..3}.jpg", "dog/old/deep/2.jpg")


@pytest.mark.parametrize(
    ("path", "patterns", "expected"),
    [
        ("w/train_signs/5_IMG_1.jpg", CS230, ("5", "train")),
        ("w/val_signs/0_IMG_2.jpg", CS230, ("0", "eval")),
        ("w/test_signs/1_IMG_3.jpg", CS230, ("1", "test")),
        ("w/train_signs/3_IMG_6237 (1).jpg", CS230, ("3", "train")),
        ("w/train_signs/12_IMG_7.jpg", CS230, ("12", "train")),
        ("train/cat/1.jpg", SPLITS, ("cat", "train")),
        ("Valid/cat/2.jpg", SPLITS, ("cat", "eval")),
        ("test/dog/3.jpg", SPLITS, ("dog", "test")),
        ("train/cat/x/y/1.jpg", SPLITS, ("cat", "train")),
        ("cat/1.jpg", CLASSES, ("cat", None)),
        ("dog/old/deep/2.jpg", CLASSES, ("dog", None)),
        # Train alone, or without eval: what is missing comes out of train, and only out of it.
        ("train/a/1.jpg", ("train/{a,b}/1.jpg",), ("a", None)),
        ("train/a/1.jpg", ("{train,test}/{a,b}/1.jpg",), ("a", None)),
        ("test/a/1.jpg", ("{train,test}/{a,b}/1.jpg",), ("a", "test")),
        # A Mac writes accents as letters of their own: one class all the same.
        ("cafe\u0301/1.jpg", ("{caf\u00e9,cafe\u0301,dog}/1.jpg",), ("caf\u00e9", None)),
    ],
)
def test_place(path, patterns, expected):
    assert layout_of(*patterns).place(tuple(path.split("/"))) == expected


@pytest.mark.parametrize(
    ("path", "patterns", "reason"),
    [
        ("w/train_signs/hand.jpg", CS230, "its name does not give a label, as in 5_IMG_1234.jpg"),
        ("w/other/5_IMG_1.jpg", CS230, "not in a train, val or test folder"),
        ("w/README.txt", CS230, "not in a train, val or test folder"),
        ("train/1.jpg", SPLITS, "not in a class folder"),
        ("README.txt", SPLITS, "not in a train, val or test folder"),
        ("1.jpg", CLASSES, "not in a class folder"),
        ("README.txt", ("all/{cat,dog}/1.jpg",), "outside the data folder 'all'"),
    ],
)
def test_misplaced(path, patterns, reason):
    with pytest.raises(MisplacedError) as caught:
        layout_of(*patterns).place(tuple(path.split("/")))
    assert str(caught.value) == reason


def test_folders_without_classes_beside_splits_are_left_out():
    layout = layout_of("seg_{train,test}/{a,b}/1.jpg", "seg_pred/{1..9}.jpg")
    with pytest.raises(LeftOutError, match="in seg_pred, which has no class folders"):
        layout.place(("seg_pred", "3.jpg"))
    assert layout.place(("seg_test", "b", "1.jpg")) == ("b", "test")


def test_answers_decide():
    overlapping = ("train/{x,y}/1.jpg", "test/{y,z}/1.jpg")
    splits = layout_of(*overlapping, answers=Answers("splits"))
    assert splits.declared == {"x", "y", "z"}
    assert layout_of(*overlapping, answers=Answers("classes")).declared == {"train", "test"}
    folds = ("all/fold{1,2,3}/{x,y}/1.jpg", "all/extra/1.jpg")
    told = Answers.parse(None, ["train=fold1", "train=all/fold2", "val=fold3/"], None)
    layout = layout_of(*folds, answers=told)
    assert (
        layout.in_words
        == "train from all/fold1, train from all/fold2, eval from all/fold3, test out of train"
    )
    assert layout.place(("all", "fold2", "y", "1.jpg")) == ("y", None)  # test comes out of it
    assert layout.place(("all", "fold3", "y", "1.jpg")) == ("y", "eval")
    with pytest.raises(LeftOutError, match="in no folder that --split names"):
        layout.place(("all", "extra", "1.jpg"))
    only = layout_of("test/{x,y}/1.jpg", answers=Answers.parse(None, ["test=test"], None))
    assert only.proportions is None
    assert only.place(("test", "x", "1.jpg")) == ("x", "test")


@pytest.mark.parametrize(
    ("layout", "splits", "reason"),
    [
        (None, ["train=nowhere"], "--split train=nowhere is not there"),
        (None, ["train=flat"], "'flat' holds images, and no class folders"),
        (None, ["train=a", "test=a/x"], "'a/x' holds images, and no class folders"),
        (None, ["train=.", "test=a"], "'a' lies in another folder of --split"),
        (None, ["train=a", "test=a"], "'a' lies in another folder of --split, or is one"),
        ("splits", [], "which split is 'a'? Its name does not say"),
    ],
)
def test_answers_that_do_not_fit(layout, splits, reason):
    with pytest.raises(IngestError, match=re.escape(reason)):
        layout_of("{a,b}/{x,y}/1.jpg", "flat/1.jpg", answers=Answers.parse(layout, splits, None))


@pytest.mark.parametrize(
    ("layout", "splits", "encoding", "message"),
    [
        (None, ["train"], None, "--split must be NAME=FOLDER .* Received: 'train'"),
        (None, ["train="], None, "--split must be NAME=FOLDER"),
        (None, ["folds=x"], None, "with the name train, eval, test"),
        ("classes", ["train=x"], None, "contradict each other"),
        (None, [], "klingon", "--zip-encoding must be a code page .* Received: 'klingon'"),
        (None, [], "hex", "--zip-encoding must be a code page"),
    ],
)
def test_answers_that_make_no_sense(layout, splits, encoding, message):
    with pytest.raises(IngestError, match=message):
        Answers.parse(layout, splits, encoding)


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ((), "the folder x holds nothing: no images"),
        (("{a,b}/",), "holds only empty folders: no images"),
        (("a/{1..3}.txt", "b/1.pdf"), r"4 files and none of them is an image: 3 \.txt, 1 \.pdf"),
        (("a/1.zip",), r"1 file and none of them is an image: 1 \.zip. Unpack the \.zip first"),
    ],
)
def test_what_is_there_is_not_denied(patterns, found):
    with pytest.raises(IngestError, match=found):
        layout_of(*patterns)


def test_images_of_an_unknown_suffix():
    """What a file holds decides: the suffixes only say which folders to look at."""
    tree = Tree(by_suffix=False)
    for path in ("a/1.dat", "a/2.dat", "b/1.dat", "b/1.txt", "c.zip", "x.json"):
        tree.add_file(tuple(path.split("/")))
    assert detect(tree, "x").declared == {"a", "b"}
    assert tree.others == {".txt": 1, ".zip": 1, ".json": 1}


def test_declared_classes_include_empty_folders():
    assert layout_of("{a,b}/1.jpg", "c/").declared == {"a", "b", "c"}
    assert layout_of("train/{a,c}/1.jpg", "train/b/", "test/c/1.jpg").declared == {"a", "b", "c"}


def test_the_question_fits_a_terminal():
    patterns = [
        "fold_one/class_{1..9}/{1..3}.jpg",
        "fold_two/class_{1..9}/{1..3}.jpg",
        f"{'a long name ' * 9}/class_1/1.jpg",
        "labels.csv",
    ]
    with pytest.raises(IngestError) as caught:
        layout_of(*patterns)
    assert (
        str(caught.value)
        == f"""it is not clear how the folder x is meant:
'a long name a long name a long name a long name a long name a long name a long
name a long name a long name ' and 'fold_one' both hold 'class_1'. Are they
splits? Their names do not say which. It holds:
  {"a long name a long name a lon.../":42}1 image below
    {"class_1/":40}1 image
  {"fold_one/":42}27 images below
    {"class_1/":40}3 images
    {"class_2/":40}3 images
    {"class_3/":40}3 images
    ... and 6 more folders
  {"fold_two/":42}27 images below
    {"class_1/":40}3 images
    {"class_2/":40}3 images
    {"class_3/":40}3 images
    ... and 6 more folders
Say what is meant, one of
  --split train=FOLDER --split test=FOLDER  (one for each folder)
  --layout classes  (each top folder is a class; we divide them)
  a table says the classes? Name it instead, unpacked: labels.csv"""
    )
