from collections import Counter

import numpy as np

from data import synthetic

MEANS = [127.9, 109.5, 219.0, 94.5, 84.0, 102.0]


def test_an_image_is_a_function_of_seed_and_index():
    image = synthetic.draw(0, 5)
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, synthetic.draw(0, 5))
    assert (image != synthetic.draw(1, 5)).any()
    assert (image != synthetic.draw(0, 11)).any()
    assert synthetic.draw(-1, 0).shape == (64, 64, 3)


def test_the_pictures_are_the_ones_of_this_generator_version():
    """Raise GENERATOR_VERSION with these numbers: otherwise old spans pass for new ones."""
    means = [round(float(synthetic.draw(0, index).mean()), 1) for index in range(6)]
    assert synthetic.GENERATOR_VERSION == 2
    np.testing.assert_allclose(means, MEANS, atol=0.2)


def test_classes_and_splits_are_balanced():
    counts = Counter(
        (synthetic.split_of(index), synthetic.label_of(index)) for index in range(1200)
    )
    for label in range(6):
        found = [counts[split, label] for split in ("train", "eval", "test")]
        assert found == [160, 20, 20]
    assert {synthetic.split_of(index) for index in range(18)} == {"train", "eval", "test"}


def test_hands_differ_and_are_neither_blank_nor_alike():
    images = np.stack([synthetic.draw(3, index) for index in range(60)]).astype(float)
    assert images.std(axis=(1, 2, 3)).min() > 5
    assert len({image.tobytes() for image in images}) == 60


def test_more_fingers_cover_more_edges_of_the_picture():
    """A learner needs a signal: what a class shows on average differs from the others."""
    means = [
        np.mean([synthetic.draw(9, label + 6 * k).mean(-1) for k in range(40)], 0)
        for label in range(6)
    ]
    for label in range(5):
        assert np.abs(means[label] - means[label + 1]).max() > 15


def test_montage_has_a_row_per_class(tmp_path):
    picture = synthetic.montage(columns=3, size=40)
    assert picture.size == (28 + 3 * 44, 6 * 44 + 4)
