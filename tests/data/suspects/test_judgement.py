"""What all others say of a label: the closed form against the same judge, trained without it."""

import numpy as np

from data.suspects.descriptor import BY_SHAPE_AND_COLOUR, describe
from data.suspects.judgement import probabilities, similarity
from signs.image_bytes import encode_png
from tests.data.leaks.pictures import scene

COPIES = (0, 1, 2, 0, 4, 5, 0, 7)
LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2])


def test_it_says_what_scikit_learns_judge_says_that_never_saw_the_picture_and_its_copies() -> None:
    from sklearn.kernel_ridge import KernelRidge

    descriptors = np.array([describe(encode_png(scene(seed))) for seed in range(8)])
    assert descriptors.shape == (8, BY_SHAPE_AND_COLOUR.size)
    alike = similarity(descriptors, BY_SHAPE_AND_COLOUR.parts)
    said = probabilities(alike, LABELS, COPIES)
    for index, copies in enumerate(COPIES):
        others = np.array(COPIES) != copies
        judge = KernelRidge(alpha=0.1, kernel="precomputed")
        judge.fit(alike[np.ix_(others, others)], np.eye(3)[LABELS[others]] - 1 / 3)
        expected = np.clip(judge.predict(alike[index : index + 1, others])[0] + 1 / 3, 1e-4, 1)
        np.testing.assert_allclose(said[index], expected / expected.sum(), atol=1e-5)


def test_of_pictures_that_are_all_equal_nothing_is_said() -> None:
    descriptors = np.array([describe(encode_png(np.zeros((40, 30, 3), np.uint8)))] * 4)
    alike = similarity(descriptors, BY_SHAPE_AND_COLOUR.parts)
    said = probabilities(alike, np.array([0, 0, 1, 1]), (0, 0, 0, 0))
    np.testing.assert_allclose(said, 0.5)
