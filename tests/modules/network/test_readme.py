"""The README's example of the network runs as it stands there."""

import re

import keras
import numpy as np

from tests import ROOT


def test_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    [code] = [example for example in examples if "modules.network" in example]
    names: dict[str, object] = {}
    exec(code, names)
    model = names["model"]
    assert isinstance(model, keras.Model)
    assert model.count_params() == 23_600_006
    pixels = np.random.default_rng(0).uniform(size=(2, 64, 64, 3)).astype(np.float32)
    loaded = keras.models.load_model("resnet50.keras")
    np.testing.assert_allclose(loaded(pixels), model(pixels), atol=1e-6)
