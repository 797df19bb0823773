"""The notebook is run in a kernel of its own, over few images and small networks."""

import ast
import base64
import inspect
import json
import re
from html.parser import HTMLParser

import nbclient
import nbformat
import pytest

from modules.network import blocks
from tests import ROOT

NOTEBOOK = ROOT / "notebooks" / "resnet_blocks.ipynb"

# Takes the place of the notebook's own settings.
SMALL_SETTING = """
DATA = "synthetic:120"
RECIPE = Recipe(blocks=(1, 1), width=4, epochs=3, sizes=((1.0, 1.0),), splits=("train",))
TRAINED = None
OTHER_HANDS = "synthetic:24"
SHALLOW, DEEP = (1,), (3, 3)
WIDTH, EPOCHS, SMALL = 4, 2, 16

# Trainings leave the images as they are: the graph of all changes takes seconds to build.
import tensorflow as tf
from modules.training import input as training_input
training_input.augment = lambda images, _, *, size, **draws: (
    tf.image.resize(images[..., :3], [size, size])
)
"""

# What the tests look at, as JSON in the last output. The network ends in an average and a head, so
# that Grad-CAM of its last map must be the class activation map (Zhou et al. 2016).
REPORT = """
last = [layer.name for layer in network.layers if layer.name.endswith("_out")][-1]
some, predicted = images[TEST][:4], probabilities.argmax(axis=1)
found = grad_cam(network, some, predicted[:4], last)
head = network.layers[-1].kernel.value
activations = keras.Model(network.input, network.get_layer(last).output)(some, training=False)
cams = tf.einsum("nhwk,kn->nhw", activations, tf.gather(head, predicted[:4], axis=1))
cams = np.maximum(cams, 0)
cams = cams / (cams.max(axis=(1, 2), keepdims=True) + 1e-9)
same_weights = all(
    np.array_equal(kept, weight)
    for layer in without(residual, Add).layers
    for kept, weight in zip(layer.get_weights(), residual.get_layer(layer.name).get_weights())
)
print(json.dumps({
    "norms": norms,
    "curves": curves,
    "parameters": total,
    "shapes": [list(stage[2]) for stage in stages],
    "identity": bool(np.array_equal(block(signal), signal)),
    "history": {name: len(values) for name, values in history.items()},
    "predicted": len(predicted),
    "others": list(other_images.shape),
    "images": {split: len(labels[split]) for split in labels},
    "maps": list(grad_cam(network, some, predicted[:4], last_of_stage_3).shape),
    "cam_error": float(np.abs(found - cams).max()),
    "cam_peak": float(found.max()),
    "same_weights": same_weights,
    "adds_left": sum(isinstance(layer, Add) for layer in without(residual, Add).layers),
}))
"""


@pytest.fixture(scope="module")
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


class _Images(HTMLParser):
    """The attributes of each `<img>`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.found.append(dict(attributes))


def images(notebook: nbformat.NotebookNode) -> list[dict[str, str | None]]:
    parser = _Images()
    for output in outputs(notebook):
        parser.feed(output.get("data", {}).get("text/html", ""))
    return parser.found


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def pictures(notebook: nbformat.NotebookNode) -> list[bytes]:
    return [base64.b64decode(image["src"].partition("base64,")[2]) for image in images(notebook)]


def markdown(notebook: nbformat.NotebookNode) -> list[str]:
    """What cells show as Markdown, in their order."""
    return [
        output.data["text/markdown"]
        for output in outputs(notebook)
        if "text/markdown" in output.get("data", {})
    ]


def run(notebook: nbformat.NotebookNode, settings: str, report: str) -> nbformat.NotebookNode:
    """Runs all cells, as they are committed, after other settings and before a report."""
    copy = nbformat.from_dict(json.loads(json.dumps(notebook)))
    place = next(
        index
        for index, cell in enumerate(copy.cells)
        if "parameters" in cell.metadata.get("tags", ())
    )
    code = nbformat.v4.new_code_cell
    # Without a search for garbage TensorFlow is imported in two thirds of the time.
    before, after = code("import gc; gc.disable()"), code("gc.enable()")
    copy.cells[place + 1 : place + 2] = [before, code(settings), copy.cells[place + 1], after]
    copy.cells.append(code("import json\n" + report))
    client = nbclient.NotebookClient(
        copy,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    )
    return client.execute()


@pytest.fixture(scope="module")
def executed(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    return run(notebook, SMALL_SETTING, REPORT)


@pytest.fixture(scope="module")
def report(executed: nbformat.NotebookNode) -> dict:
    return json.loads(executed.cells[-1].outputs[-1]["text"])


def test_gradients_vanish_without_shortcuts_and_batch_norm(report):
    norms = report["norms"]["without batch norm"]
    assert len(norms["plain"]) == len(norms["with shortcuts"]) == 1 + 3 * 6
    assert norms["plain"][0] < 0.1 * norms["with shortcuts"][0]


def test_gradients_grow_towards_the_input_without_shortcuts(report):
    norms = report["norms"]["with batch norm"]
    growth = {name: values[0] / values[-1] for name, values in norms.items()}
    assert growth["plain"] > 1.5 * growth["with shortcuts"] > 1


def test_the_plain_network_is_the_residual_one_without_additions(report):
    assert report["same_weights"]
    assert report["adds_left"] == 0


def test_curves_of_every_network(report):
    assert {name: len(losses) for name, losses in report["curves"].items()} == {
        "5 layers, plain": 2,
        "20 layers, plain": 2,
        "20 layers, with shortcuts": 2,
        "20 layers, with shortcuts and zero scales": 2,
    }


def test_resnet50_is_the_course_s(report):
    assert report["parameters"] == 23_600_006
    assert report["shapes"] == [
        [64, 64, 3],
        [15, 15, 64],
        [15, 15, 256],
        [8, 8, 512],
        [4, 4, 1024],
        [2, 2, 2048],
        [1, 1, 2048],
        [6],
    ]


def test_a_block_can_start_as_the_identity(report):
    assert report["identity"]


def test_training_and_predictions(report):
    assert report["images"] == {"train": 96, "eval": 12, "test": 12}
    assert {
        report["history"][name] for name in ("loss", "accuracy", "val_loss", "val_accuracy")
    } == {3}
    assert report["predicted"] == 12
    assert report["maps"] == [4, 8, 8]
    assert report["others"] == [24, 64, 64, 3]  # all of a further test set is one


def test_grad_cam_of_the_last_map_is_the_class_activation_map(report):
    assert report["cam_peak"] == pytest.approx(1, abs=1e-3)
    assert report["cam_error"] < 1e-3


def test_drawings_are_said_to_be_drawings(executed):
    assert any("drawn hands, not photographs" in text for text in markdown(executed))


def test_nothing_but_results_is_printed(executed):
    assert [output for output in outputs(executed) if output.get("name") == "stderr"] == []


FIGURES = 11


def test_all_figures_are_drawn(executed):
    assert len(pictures(executed)) == FIGURES


@pytest.mark.parametrize("which", ["notebook", "executed"])
def test_every_figure_has_its_words(which, request):
    shown = request.getfixturevalue(which)
    alts = [image.get("alt") for image in images(shown)]
    assert len(set(alts)) == FIGURES  # each has its own
    assert all(len(alt) > 40 for alt in alts)
    # There is no other way to show a figure: Jupyter would show it without words.
    assert not any(
        kind.startswith("image/") for output in outputs(shown) for kind in output.get("data", {})
    )
    assert not any("![" in cell.source or "<img" in cell.source for cell in shown.cells)


@pytest.mark.parametrize("which", ["notebook", "executed"])
def test_the_blocks_own_code_is_shown_before_they_are_used(which, request):
    """The committed notebook too: it is run again when the code of a block changes."""
    cells = code_cells(request.getfixturevalue(which))
    for name in ("identity_block", "bottleneck", "convolutional_block"):
        source = f"```python\n{inspect.getsource(getattr(blocks, name))}```"
        [shown] = [
            number
            for number, cell in enumerate(cells)
            if any(output.get("data", {}).get("text/markdown") == source for output in cell.outputs)
        ]
        used = [number for number, cell in enumerate(cells) if uses_blocks(cell.source)]
        assert shown < min(used)


def uses_blocks(source: str) -> bool:
    called = {
        node.func.id
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return bool(called & {"identity_block", "convolutional_block", "build_resnet", "ResNet50"})


def test_what_the_text_says_of_the_curves_is_what_was_measured(notebook):
    table = next(text for text in markdown(notebook) if text.startswith("| network | loss after"))
    rows = [row.strip("| ").split(" | ") for row in table.splitlines()[2:]]
    last = {name: float(value) for name, _, value in rows}
    guessing = 1.79
    assert last["50 layers, plain"] > guessing - 0.1
    assert 1.3 < last["50 layers, with shortcuts"] < 1.7
    assert last["50 layers, with shortcuts"] < last["50 layers, plain"]
    assert last["50 layers, with shortcuts"] > last["14 layers, plain"]
    assert last["50 layers, with shortcuts and zero scales"] < last["14 layers, plain"]


def test_the_committed_notebook_was_run_from_top_to_bottom(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert len(pictures(notebook)) == FIGURES
    assert {output.output_type for output in outputs(notebook)} == {
        *("display_data", "execute_result", "stream")
    }
    assert all(output.get("name") != "stderr" for output in outputs(notebook))


def test_the_committed_notebook_is_light_and_tells_nothing_of_a_machine(notebook):
    assert sum(len(picture) for picture in pictures(notebook)) < 800_000
    without_pictures = json.loads(json.dumps(notebook))
    for cell in without_pictures["cells"]:
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop("text/html", None)
    assert not re.search(
        r"(?<![\w:/.])/(home|root|tmp|work|Users|usr|opt|var)\b", json.dumps(without_pictures)
    )


def test_without_other_hands_the_notebook_goes_on(notebook):
    """Of the notebook only the cell that would show them is run."""
    [cell] = [cell for cell in code_cells(notebook) if cell.source.startswith("if OTHER_HANDS:")]
    shown = []
    exec(cell.source, {"OTHER_HANDS": None, "display": shown.append, "Markdown": str})
    assert shown == ["`OTHER_HANDS` is not set: nothing is shown here."]


def test_the_committed_notebook_shows_drawings(notebook):
    assert any("drawn hands, not photographs" in str(cell.outputs) for cell in code_cells(notebook))


@pytest.mark.real_data
def test_photographs_are_read(notebook, signs_data):
    """Of the notebook only the cells up to the images are run."""
    head = json.loads(json.dumps(notebook))
    last = next(i for i, cell in enumerate(head["cells"]) if "show_classes" in cell["source"])
    head["cells"] = head["cells"][: last + 1]
    done = run(
        nbformat.from_dict(head),
        f"DATA = {str(signs_data / '64x64_SIGNS.zip')!r}",
        "print(json.dumps([drawn, {split: len(labels[split]) for split in labels}]))",
    )
    assert json.loads(done.cells[-1].outputs[-1]["text"]) == [
        "",
        {"train": 864, "eval": 216, "test": 120},
    ]
