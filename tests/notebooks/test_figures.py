"""Figures show what they are given: texts, lines and frames are looked at, not pixels."""

import base64
import io
import itertools
from collections.abc import Iterator

import keras
import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from modules.network import convolutional_block, identity_block
from notebooks import figures


@pytest.fixture(autouse=True)
def _the_style_stays_here() -> Iterator[None]:
    with matplotlib.rc_context():
        yield


def texts(axis: Axes) -> list[str]:
    return [text.get_text() for text in axis.texts if text.get_text()]


def drawn(picture: figures.Picture) -> Figure:
    """Lays the figure out and draws it, where a faulty one fails."""
    picture.figure.draw_without_rendering()
    return picture.figure


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(count, 8, 8, 3)).astype(np.float32)


def test_the_style_needs_no_font_of_the_machine():
    figures.use_book_style()
    assert matplotlib.rcParams["font.family"] == ["STIXGeneral"]
    path = matplotlib.font_manager.findfont("STIXGeneral", fallback_to_default=False)
    assert path.startswith(matplotlib.get_data_path())


def test_gradients_are_told_apart_without_colour():
    panels = {
        "left": {"plain": [1e-9, 1e-3], "residual": [1.0, 2.0]},
        "right": {"plain": [1.0], "residual": [1.0]},
    }
    left, right = drawn(figures.plot_gradients(panels)).axes
    assert [axis.get_title() for axis in (left, right)] == ["left", "right"]
    assert left.get_yscale() == "log"
    assert left.get_ylim() == right.get_ylim()
    np.testing.assert_array_equal(left.lines[0].get_data(), [[1, 2], [1e-9, 1e-3]])
    assert len({(line.get_linestyle(), line.get_marker()) for line in left.lines}) == 2
    assert [text.get_text() for text in right.get_legend().texts] == ["plain", "residual"]


def test_curves_mark_guessing_and_the_sizes_trained_at():
    panels = {"loss": {"train": [3, 2, 1]}, "accuracy": {"train": [0, 0.5, 1]}}
    figure = figures.plot_curves(panels, chance={"loss": 1.79}, sizes=[40, 40, 64])
    loss, accuracy = drawn(figure).axes
    assert texts(loss) == ["guessing", "40 px", "64 px"]
    assert texts(accuracy) == ["40 px", "64 px"]
    assert [axis.get_ylabel() for axis in (loss, accuracy)] == ["loss", "accuracy"]
    np.testing.assert_array_equal(accuracy.lines[0].get_data(), [[1, 2, 3], [0, 0.5, 1]])


def test_curves_at_one_size_have_no_marks():
    (axis,) = drawn(figures.plot_curves({"loss": {"train": [2, 1]}}, sizes=[64, 64])).axes
    assert texts(axis) == []


def test_blocks_are_drawn_as_they_are_built():
    x = keras.Input((8, 8, 16))
    identity = keras.Model(x, identity_block(x, 3, (4, 4, 16), 3, "b"))
    x = keras.Input((15, 15, 8))
    convolutional = keras.Model(x, convolutional_block(x, 3, (4, 4, 16), 3, "a", s=2))
    above, below = drawn(figures.draw_blocks({"I": identity, "C": convolutional})).axes
    assert texts(above) == [
        "$x$",
        "8 × 8 × 16",
        "conv 1×1, 4\nbatch norm\nReLU",
        "conv 3×3, 4\nbatch norm\nReLU",
        "conv 1×1, 16\nbatch norm",
        "identity",
        "ReLU",
        "$y$",
        "8 × 8 × 16",
        "$F(x)$",
    ]
    assert texts(below) == [
        "$x$",
        "15 × 15 × 8",
        "conv 1×1, 4, /2\nbatch norm\nReLU",
        "conv 3×3, 4\nbatch norm\nReLU",
        "conv 1×1, 16\nbatch norm",
        "conv 1×1, 16, /2\nbatch norm",
        "ReLU",
        "$y$",
        "8 × 8 × 16",
        "$F(x)$",
    ]


def test_stages_carry_their_shapes():
    stages = [("stage 2", "3 blocks", (15, 15, 256)), ("head", "softmax", (6,))]
    (axis,) = drawn(figures.draw_stages(stages)).axes
    assert texts(axis) == ["stage 2", "3 blocks", "15 × 15 × 256", "head", "softmax", "6"]
    assert len(axis.patches) == 3 * len(stages)  # three faces of a solid


def test_classes_have_a_row_each_with_empty_places():
    figure = drawn(figures.show_classes(images(3), np.array([0, 1, 0]), ["fist", "one"], columns=2))
    assert [axis.get_ylabel() for axis in figure.axes] == ["fist", "", "one", ""]
    assert [len(axis.images) for axis in figure.axes] == [1, 1, 1, 0]


def test_a_row_sets_the_first_image_apart():
    figure = drawn(figures.show_row(list(images(3)), ["original", "changed"]))
    shown = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title(loc="left") for axis in shown] == ["original", "changed", ""]
    gaps = [
        right.get_position().x0 - left.get_position().x1
        for left, right in itertools.pairwise(shown)
    ]
    assert gaps[0] > gaps[1]


def test_wrong_predictions_are_framed_and_maps_are_stretched_over_the_image():
    maps = np.zeros((2, 2, 2), np.float32)
    maps[:, 0, 0] = 1
    figure = figures.show_predictions(images(2), maps, ["2 (0.9)", "1 (0.5)"], [True, False])
    right, wrong, right_map, wrong_map = drawn(figure).axes
    assert [axis.get_title() for axis in (right, wrong)] == ["2 (0.9)", "1 (0.5)"]
    for axis, framed in ((right, False), (right_map, False), (wrong, True), (wrong_map, True)):
        spines = axis.spines.values()
        assert all(spine.get_visible() is framed for spine in spines)
        if framed:
            assert {to_hex(spine.get_edgecolor()) for spine in spines} == {figures.VERMILION}
    heat = right_map.images[1].get_array()
    assert heat.shape == (8, 8)
    assert heat[0, 0] > 0.9 > 0.1 > heat[-1, -1]
    assert right_map.images[1].get_alpha()[-1, -1] < 0.1  # where it is low, the image is seen


def test_confusions_are_counted_by_row():
    matrix = np.array([[2, 1], [0, 0]])
    (axis,) = drawn(figures.show_confusion(matrix, ["a", "b"])).axes
    assert texts(axis) == ["2", "1", "·", "·"]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted class", "true class")
    (frame,) = [patch for patch in axis.patches if not patch.get_fill()]
    assert frame.get_xy() == (1 - 0.46, 0 - 0.46)


def test_a_picture_is_an_image_with_its_words():
    figure = figures.show_row(list(images(2)), ['a "cat" & <b>']).figure
    picture = figures.Picture(figure, 'a "cat" & <b>')
    html = picture._repr_html_()
    assert html.startswith(
        '<img alt="a &quot;cat&quot; &amp; &lt;b&gt;" src="data:image/png;base64,'
    )
    assert html.count("<") == 1
    shown = Image.open(io.BytesIO(base64.b64decode(html.partition("base64,")[2].rstrip('">'))))
    assert shown.size > (500, 200)
    assert shown.getpixel((0, 0))[:3] == (255, 255, 255)
    assert repr(picture) == 'a "cat" & <b>'


x = keras.Input((8, 8, 16))
IDENTITY = keras.Model(x, identity_block(x, 3, (4, 4, 16), 3, "b"))
CONVOLUTIONAL = keras.Model(x, convolutional_block(x, 3, (4, 4, 16), 3, "a", s=2))
HEAT = np.zeros((2, 6, 6), np.float32)
HEAT[0, 0, 3] = HEAT[1, 5, 0] = 1


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (
            figures.plot_gradients({"left": {"plain": [1e-9, 2e-3]}, "right": {"plain": [1, 30]}}),
            "Norms of the gradients by layer, logarithmic. "
            "left: plain, from 1e-09 at the input to 2e-03 at the output. "
            "right: plain, from 1e+00 at the input to 3e+01 at the output.",
        ),
        (
            figures.plot_curves(
                {"loss": {"train": [2, 1, 0.5], "eval": [3, 0.25]}}, chance={"loss": 1.79}
            ),
            "Curves, first and last epoch. loss, train: from 2.00 to 0.50. "
            "loss, eval: from 3.00 to 0.25. loss of guessing: 1.79.",
        ),
        (
            figures.draw_blocks({"I": IDENTITY, "C": CONVOLUTIONAL}),
            "Diagrams of blocks. "
            "I: x, 8 × 8 × 16, goes through conv 1×1, 4, then conv 3×3, 4, then conv 1×1, 16; "
            "to that is added x itself; a ReLU of the sum is y, 8 × 8 × 16. "
            "C: x, 8 × 8 × 16, goes through conv 1×1, 4, /2, then conv 3×3, 4, then conv 1×1, 16; "
            "to that is added x after conv 1×1, 16, /2; a ReLU of the sum is y, 4 × 4 × 16.",
        ),
        (
            figures.draw_stages([("stem", "conv", (15, 15, 64)), ("head", "softmax", (6,))]),
            "Solids as large as what each stage puts out. "
            "stem (conv): 15 × 15 × 64. head (softmax): 6.",
        ),
        (
            figures.show_classes(images(2), np.array([0, 1]), ["fist", "one"]),
            "Rows of up to 5 images, one for each class: fist, one.",
        ),
        (
            figures.show_row(list(images(3)), ["original", "changed"]),
            "3 images side by side, the first set apart: original, changed.",
        ),
        (
            figures.show_predictions(images(2), HEAT, ["2 (0.9)", "1 (0.5)\nis 3"], [True, False]),
            "Images, and where Grad-CAM is high in each. "
            "2 (0.9), right, highest at the top centre. "
            "1 (0.5) is 3, wrong, highest at the bottom left.",
        ),
        (
            figures.show_confusion(np.array([[2, 1], [0, 4]]), ["a", "b"]),
            "Confusion matrix, true classes by predicted ones. "
            "a: 2 of 3 right, 1 taken for b. b: 4 of 4 right.",
        ),
    ],
)
def test_the_words_tell_the_same_numbers(picture, words):
    assert picture.alt == words
