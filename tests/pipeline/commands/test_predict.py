"""`signs predict`, asked of a real `signs serve`."""

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.commands.predict import as_dict, render
from signs import features
from signs.client import Client, Prediction
from tests import ROOT
from tests.pipeline.commands.conftest import SIGNS
from tests.pipeline.summaries import shown


def save_model(path: Path) -> None:
    """A model that tells red images from others, with the signature of ours."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.IMAGES_INPUT)])
        def serve_images(self, image_bytes: Any) -> Any:
            def red(encoded: Any) -> Any:
                image = tf.io.decode_image(encoded, 3, expand_animations=False)
                return tf.reduce_mean(tf.cast(image[..., 0], tf.float32)) / 255.0

            share = tf.map_fn(red, image_bytes, fn_output_signature=tf.float32)
            probabilities = tf.stack([1.0 - share, share], axis=1)
            class_id = tf.argmax(probabilities, axis=1)
            return {
                features.PROBABILITIES: probabilities,
                features.PREDICTED_CLASS_ID: class_id,
                features.PREDICTED_CLASS_NAME: tf.gather(["other", "[red]"], class_id),
            }

    model = Model()
    tf.saved_model.save(model, str(path), signatures={features.SERVE_IMAGES: model.serve_images})


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of `signs serve` in a workspace with one model."""
    base_path = tmp_path / "workspace" / "serving" / "colours"
    save_model(base_path / "1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [*SIGNS, "serve", "--port", str(port), "--workspace", str(tmp_path / "workspace")],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with Client(f"127.0.0.1:{port}", model_name="colours") as client:
            assert client.wait_until_available() == 1
        yield f"127.0.0.1:{port}"
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize(
    ("known", "confidence", "words"),
    [
        (True, 0.25, ["[red]", "25.0", "%"]),
        (False, 0.99, ["not", "sure,", "perhaps", "[red]", "-"]),
        (None, None, ["[red]", "75.0", "%"]),  # the model does not tell
        (None, 0.5, ["[red]", "50.0", "%"]),
    ],
)
def test_how_sure_the_model_is(
    known: bool | None, confidence: float | None, words: list[str]
) -> None:
    prediction = Prediction("a.png", 1, "[red]", (0.25, 0.75), confidence=confidence, known=known)
    assert shown(render, [prediction])[1].split() == ["a.png", *words]
    told = as_dict(prediction)
    assert (told["known"], told["confidence"], told["probability"]) == (known, confidence, 0.75)


def test_serve_and_predict(
    served: str, signs: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "photos" / "a.png")
    Image.new("L", (9, 9), 51).save(tmp_path / "photos" / "[b].png")
    code, out, err = signs("predict", "photos", "--address", served)
    assert (code, err) == (0, "")
    assert sorted(line.split() for line in out.splitlines()) == [
        ["image", "class", "probability"],
        ["photos/[b].png", "other", "80.0", "%"],
        ["photos/a.png", "[red]", "100.0", "%"],
    ]
    code, out, err = signs("predict", "photos/a.png", "--address", served, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == [
        {
            "source": "photos/a.png",
            "class_id": 1,
            "class_name": "[red]",
            "probability": 1.0,
            "probabilities": [0.0, 1.0],
            "by_class": {},  # this model has no signature that tells them
            "confidence": None,  # nor does it tell these
            "known": None,
        }
    ]
    for name in ("a.jfif", "no suffix", "b.ppm", ".hidden.png", "broken.png", "notes.txt"):
        shutil.copy(tmp_path / "photos" / "a.png", tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("not what it was")
    with (tmp_path / "photos" / "broken.png").open("r+b") as file:
        file.truncate(60)
    code, out, err = signs("predict", "photos", "none.png", "--address", served)
    assert code == 1
    assert [line.split()[0] for line in out.splitlines()[1:]] == [
        *("photos/[b].png", "photos/a.jfif", "photos/a.png", "photos/b.ppm", "photos/no")
    ]
    assert err.splitlines() == [
        "not answered: photos/broken.png: truncated: the file ends before the picture does",
        "not answered: none.png: no such file or folder.",
        "passed over: 1 file that is no image, such as photos/notes.txt",
    ]
    code, out, err = signs("predict", "photos", "--address", served, "--json")
    assert code == 1
    assert [answer.get("error", "answered") for answer in json.loads(out)] == [
        *["answered"] * 4,
        "truncated: the file ends before the picture does",
        "answered",
    ]
    code, out, err = signs("predict", "photos", "--address", served, "--model", "cats")
    assert (code, out) == (2, "")
    assert "cats" in err
    shutil.rmtree(tmp_path / "photos")
