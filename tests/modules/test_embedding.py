"""What a network sees: its last layer on top gives the network's own answer."""

from pathlib import Path

import keras
import numpy as np
import pytest

from modules.copies import TRAINED_MODEL
from modules.embedding import Embedding, EmbeddingError
from signs.image_bytes import encode_png

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


def test_the_last_layer_on_top_answers_as_the_network(tmp_path: Path) -> None:
    image = keras.Input((32, 32, 3))
    maps = keras.layers.Conv2D(5, 3, activation="relu")(image)
    network = keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(maps)))
    (tmp_path / TRAINED_MODEL).parent.mkdir()
    network.save(tmp_path / TRAINED_MODEL)
    embedding = Embedding(tmp_path)
    seen = embedding(encode_png(PIXELS))
    assert (seen.shape, seen.dtype, embedding.size) == ((5,), np.float32, 5)
    kernel, bias = network.layers[-1].get_weights()
    answer = network(PIXELS[None].astype(np.float32) / 255).numpy()[0]
    np.testing.assert_allclose(seen @ kernel + bias, answer, atol=1e-5)
    with pytest.raises(OSError, match="no picture"):
        embedding(b"nothing")


def test_where_there_is_no_network(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingError, match=r"has no assets.extra/trained.keras: name a version"):
        Embedding(tmp_path)
    (tmp_path / TRAINED_MODEL).parent.mkdir()
    (tmp_path / TRAINED_MODEL).write_bytes(b"PK")
    with pytest.raises(EmbeddingError, match="cannot be read"):
        Embedding(tmp_path)
