"""A saved network needs Keras, and nothing of this project."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import keras
import numpy as np
import pytest

from modules.network import ResNet50, build_resnet, for_training

# Run without `site`, so that no .pth file leads to the checkout, and isolated, so that neither the
# folder nor the environment does.
ELSEWHERE = """
import gc, importlib.util, sys
gc.disable()  # which takes a third of TensorFlow's import
sys.path.append(sys.argv[1])
ours = ("modules", "signs", "data", "components", "pipeline")
assert not any(importlib.util.find_spec(name) for name in ours)
import json, keras, numpy as np
pixels = np.load("pixels.npy")
answers = {}
for name in json.loads(sys.argv[2]):
    if name.endswith(".json"):
        with open(name) as file:
            model = keras.models.model_from_json(file.read())
        model.load_weights(name.replace(".json", ".weights.h5"))
    else:
        model = keras.models.load_model(name)
    answers[name] = model.predict(pixels, verbose=0)
np.savez("answers.npz", **answers)
"""


def pixels(count: int = 4) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(count, 64, 64, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def resnet50() -> keras.Model:
    return ResNet50()


@pytest.fixture(scope="module")
def small() -> keras.Model:
    """One that was trained, as the pipeline trains."""
    keras.utils.set_random_seed(0)
    model = build_resnet((64, 64, 3), 6, blocks=(1, 1), width=4)
    trained = for_training(model)
    trained.compile("sgd", "sparse_categorical_crossentropy")
    trained.fit(pixels(), np.arange(4), epochs=2, verbose=0)
    return model


def test_saved_models_answer_alike_in_a_process_without_the_project(tmp_path, small):
    small.save(tmp_path / "small.keras")
    small.save(tmp_path / "small.h5")
    small.save_weights(tmp_path / "small.weights.h5")
    (tmp_path / "small.json").write_text(small.to_json())
    np.save(tmp_path / "pixels.npy", pixels())
    names = ["small.keras", "small.h5", "small.json"]
    packages = sysconfig.get_path("purelib")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ELSEWHERE, packages, json.dumps(names)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "answers.npz") as answers:
        for name in names:
            expected = small.predict(pixels(), verbose=0)
            assert np.abs(expected[0] - expected[1]).max() > 1e-4
            np.testing.assert_allclose(answers[name], expected, atol=1e-6, err_msg=name)


def test_every_layer_is_keras_s_own(resnet50):
    assert {type(layer) for layer in resnet50.layers} == {
        *(keras.layers.InputLayer, keras.layers.ZeroPadding2D, keras.layers.Conv2D),
        *(keras.layers.BatchNormalization, keras.layers.Activation, keras.layers.MaxPooling2D),
        *(keras.layers.Add, keras.layers.AveragePooling2D, keras.layers.Flatten),
        keras.layers.Dense,
    }


@pytest.mark.parametrize(
    "again",
    [keras.models.clone_model, lambda model: keras.Model.from_config(model.get_config())],
    ids=["clone", "config"],
)
def test_a_network_can_be_built_again(small, again):
    other = again(small)
    assert other.get_config() == small.get_config()
    other.set_weights(small.get_weights())
    np.testing.assert_allclose(other(pixels()), small(pixels()), atol=1e-6)


def test_old_weights_files_load(tmp_path, small):
    """Keras 2's layout of HDF5, by the layers' names too."""
    small.save(tmp_path / "small.h5")
    for by_name in (False, True):
        other = build_resnet((64, 64, 3), 6, blocks=(1, 1), width=4)
        other.load_weights(Path(tmp_path / "small.h5"), by_name=by_name)
        np.testing.assert_allclose(other(pixels()), small(pixels()), atol=1e-6)


def test_a_summary_reads_like_the_paper_s_table():
    lines: list[str] = []
    ResNet50().summary(line_length=120, print_fn=lines.append)
    text = "\n".join(lines)
    assert 'Model: "ResNet50"' in text
    assert "Total params: 23,600,006" in text
    assert "Non-trainable params: 53,120" in text
    rows = [line.split("│")[1:4] for line in text.splitlines() if line.startswith("│")]
    shapes = {name.split()[0]: shape.strip() for name, shape, _ in rows if name.strip()}
    assert shapes["conv1"] == "(None, 32, 32, 64)"
    ends = [shapes[f"res{stage}_out"] for stage in ("2c", "3d", "4f", "5c")]
    sides = [
        f"(None, {side}, {side}, {channels})"
        for side, channels in zip((15, 8, 4, 2), (256, 512, 1024, 2048), strict=True)
    ]
    assert ends == sides
