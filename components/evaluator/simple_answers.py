"""What answers without any learning would score on the test images: what an accuracy is worth.

training and test Samples -> thumbnails of 16 x 16 pixels -> the most frequent class, the nearest

A model that is no better than these has learnt nothing that its images need a network for.
"""

import io
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from data.sample import Sample, read_samples
from modules.evaluation.verdict import SimpleAnswers

# Spans are shuffled, so that the first are as good as any. It takes 1 to 2 s on one core.
_MOST_TRAINING, _MOST_TEST = 4000, 1000
_SIDE = 16


def simple_answers(training: Iterable[Path], test: Path) -> SimpleAnswers:
    """Scores the two answers.

    Args:
        training: folders of gzipped TFRecord files of tf.train.Examples, to learn from.
        test: such a folder, to be judged by.

    Returns:
        The accuracies, on at most 1,000 test images and from at most 4,000 training images.
    """
    known, known_labels = _thumbnails(_samples(training), _MOST_TRAINING)
    asked, labels = _thumbnails(read_samples(test), _MOST_TEST)
    commonest = int(np.bincount(known_labels).argmax())
    # |a - k|^2 without |a|^2, which is the same for each k.
    distances = (known**2).sum(axis=1) - 2 * asked @ known.T
    nearest = known_labels[distances.argmin(axis=1)]
    return SimpleAnswers(
        majority=float((labels == commonest).mean()),
        nearest_neighbour=float((labels == nearest).mean()),
        test_images=len(labels),
        training_images=len(known_labels),
    )


def _samples(folders: Iterable[Path]) -> Iterator[Sample]:
    return itertools.chain.from_iterable(map(read_samples, folders))


def _thumbnails(samples: Iterable[Sample], most: int) -> tuple[np.ndarray, np.ndarray]:
    """The images as float32 [images, 768] in [0, 1], and their labels as int64 [images]."""
    pixels, labels = [], []
    for sample in itertools.islice(samples, most):
        with Image.open(io.BytesIO(sample.image)) as image:
            image.draft("RGB", (_SIDE, _SIDE))  # a JPEG is decoded no larger than it must be
            small = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX)
            pixels.append(np.asarray(small, np.float32).ravel() / 255)
        labels.append(sample.label)
    return np.stack(pixels), np.array(labels, np.int64)
