import pytest

from data.splits import Proportions


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), (0.8, 0.1, 0.1)),
        (("train",), (0.8, 0.1, 0.1)),
        (("train", "test"), (0.8, 0.2, 0.0)),
        (("train", "eval"), (0.8, 0.0, 0.2)),
        (("train", "eval", "test"), None),
        (("test",), None),
        (("eval", "test"), None),
    ],
)
def test_what_is_missing_is_taken_from_train(given, expected):
    proportions = Proportions.missing(given)
    found = proportions and (proportions.train, proportions.eval, proportions.test)
    assert found == expected


def test_split_depends_on_content_and_seed_only():
    proportions = Proportions()
    contents = [str(number).encode() for number in range(2000)]
    first = [proportions.split_of(content, 0) for content in contents]
    assert first == [proportions.split_of(content, 0) for content in contents]
    assert first != [proportions.split_of(content, 1) for content in contents]
    for split, share in proportions.as_dict().items():
        assert abs(first.count(split) / 2000 - share) < 0.03


@pytest.mark.parametrize("parts", [(0.5, 0.1, 0.1), (1.2, -0.1, -0.1)])
def test_proportions_add_up_to_1(parts):
    with pytest.raises(ValueError, match="must be positive and add up to 1"):
        Proportions(*parts)
