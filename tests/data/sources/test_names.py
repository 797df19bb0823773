import pytest

from data.sources.names import display_name, natural_order, split_of


@pytest.mark.parametrize(
    ("names", "split"),
    [
        (
            "train Train TRAIN training Training trainset TrainSet training_set train_images",
            "train",
        ),
        ("seg_train asl_alphabet_train train2017 x-train-2 01_train traindata train.imgs", "train"),
        ("val valid validation Validation val_signs val2017 dev eval evaluation validset", "eval"),
        ("test testing Testing seg_test test_set test-multiple testimages X_test", "test"),
        ("", None),
        ("cat value valley tested contest latest trainee restrain détente seg_pred fold1", None),
        ("trainval train_test train_val testtrain", None),
        ("Trainingsdaten prueba 训练集", None),
    ],
)
def test_split_of(names, split):
    for name in names.split(" "):
        assert split_of(name) == split, name


def test_display_name():
    assert display_name("cafe\u0301") == "caf\u00e9"
    assert display_name("b\udcff") == "b\\xff"


def test_natural_order():
    names = ["10", "2", "b10", "b9", "1", "B2", "ä", "²", "b", ""]
    assert natural_order(names) == ("", "1", "2", "10", "b", "B2", "b9", "b10", "²", "ä")
    assert natural_order(["a", "A"]) == natural_order(["A", "a"]) == ("A", "a")
