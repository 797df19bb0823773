"""The names of a model's classes, read from its files."""

import shutil
from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_transform as tft

from modules.calibration import Calibration
from modules.exported import ExportedModelError, class_names_of
from modules.network import build_resnet
from modules.signatures import ServedModel, export

CLASSES = ["b", "grün", "手"]


@pytest.fixture(scope="module")
def exported(transform_graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    network = build_resnet((16, 16, 3), 3, blocks=(1,), width=4)
    transform = tft.TFTransformOutput(str(transform_graph))
    export(ServedModel(network, transform, CLASSES, Calibration(1, 0)), folder)
    return folder


def test_an_exported_model_tells_its_classes(exported: Path) -> None:
    assert class_names_of(exported) == tuple(CLASSES)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (shutil.rmtree, "has lost its files"),
        (lambda model: shutil.rmtree(model / "variables"), "has lost its files"),
        (
            lambda model: (model / "saved_model.pb").write_bytes(b"\xff" * 99),
            "has a saved_model.pb that cannot be read",
        ),
        (lambda model: (model / "saved_model.pb").write_bytes(b""), "does not tell its classes"),
    ],
)
def test_a_damaged_model_does_not(exported: Path, tmp_path: Path, damage, words: str) -> None:
    model = shutil.copytree(exported, tmp_path / "model")
    damage(model)
    with pytest.raises(ExportedModelError, match=f"^{words}$"):
        class_names_of(model)


class _Lists(tf.Module):
    """A model of somebody else, whose functions share some lists of strings."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.one = tf.Variable(1.0)
        self.lists = [tf.constant(["a", "b"]) for _ in range(count)]

    @tf.function(input_signature=[])
    def answer(self) -> list[tf.Tensor]:
        return [tf.reverse(one, [0]) for one in self.lists]


@pytest.mark.parametrize("count", [0, 2])
def test_a_model_of_somebody_else_does_not(tmp_path: Path, count: int) -> None:
    tf.saved_model.save(_Lists(count), str(tmp_path))
    with pytest.raises(ExportedModelError, match="does not tell its classes"):
        class_names_of(tmp_path)
