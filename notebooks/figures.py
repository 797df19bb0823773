"""The figures of the notebooks: numbers, images and Keras models in, pictures with words out.

The words are made of the same numbers as the figure, so that they never tell of another one.

One style for all of them: serif letters, hairlines, no frames, and the palette of Okabe and Ito
(2008), in which a colour-blind reader, or a grey print, still tells the lines apart by their dashes
and markers.
"""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from matplotlib.ticker import MaxNLocator
from PIL import Image

INK, GREY, PALE = "#1a1a1a", "#7f7f7f", "#d9d9d9"
BLUE, VERMILION, GREEN, SKY = "#0072b2", "#d55e00", "#009e73", "#56b4e9"
_LINES = (
    {"color": BLUE, "linestyle": "-", "marker": "o"},
    {"color": VERMILION, "linestyle": "--", "marker": "s"},
    {"color": GREEN, "linestyle": "-.", "marker": "^"},
    {"color": INK, "linestyle": ":", "marker": "D"},
)
_WIDTH = 6.8  # inches: the text column of a book
_STYLE: dict[str, Any] = {
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.2,
}


@dataclass(frozen=True, repr=False)
class Picture:
    """A figure, and for whoever cannot see it, what it shows.

    Jupyter gets it as HTML: neither JupyterLab nor nbconvert reads an alt text beside an image/png.
    """

    figure: Figure
    alt: str

    def __repr__(self) -> str:  # a terminal shows the words
        return self.alt

    def _repr_html_(self) -> str:
        file = io.BytesIO()
        self.figure.savefig(
            file,
            format="png",
            bbox_inches="tight",
            metadata={"Software": None},  # the same figure is the same file
            pil_kwargs={"optimize": True},
        )
        data = base64.b64encode(file.getvalue()).decode()
        return f'<img alt="{html.escape(self.alt)}" src="data:image/png;base64,{data}">'


def use_book_style() -> None:
    """Sets Matplotlib's defaults for all figures of this module."""
    matplotlib.style.use(_STYLE)


def plot_gradients(panels: Mapping[str, Mapping[str, Sequence[float]]]) -> Picture:
    """Draws gradient norms by layer, one panel beside the other, on one logarithmic axis.

    Args:
        panels: panel's title -> network -> norm of the loss's gradient with respect to the kernel
            of each convolution, from the input to the output; all positive.
    """
    figure = Figure(figsize=(_WIDTH, 2.9), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)
    for axis, (title, networks) in zip(axes[0], panels.items(), strict=True):
        for (network, norms), line in zip(networks.items(), _LINES, strict=False):
            axis.semilogy(range(1, len(norms) + 1), norms, label=network, **line, markersize=2)
        axis.set_title(title)
        axis.set_xlabel("convolution, from the input to the output")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(axis="y", color=PALE, linewidth=0.5)
    axes[0][0].set_ylabel(r"$\|\,\partial\mathcal{L}/\partial W\,\|_2$")
    axes[0][-1].legend(loc="best")
    told = [
        f"{title}: {network}, from {norms[0]:.0e} at the input to {norms[-1]:.0e} at the output"
        for title, networks in panels.items()
        for network, norms in networks.items()
    ]
    return Picture(figure, _sentences("Norms of the gradients by layer, logarithmic", *told))


def plot_curves(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    chance: Mapping[str, float] | None = None,
    sizes: Sequence[int] = (),
) -> Picture:
    """Draws training curves, one panel for each quantity.

    Args:
        panels: what is on the vertical axis -> name of the curve -> its value after each epoch; the
            same names in each panel.
        chance: for some of the panels, the value that guessing gives.
        sizes: pixels a side that each epoch was trained at; where they change, a line is drawn.
    """
    figure = Figure(figsize=(_WIDTH, 2.7), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)
    for axis, (panel, curves) in zip(axes[0], panels.items(), strict=True):
        for (name, values), line in zip(curves.items(), _LINES, strict=False):
            axis.plot(range(1, len(values) + 1), values, label=name, **line)
        if chance and panel in chance:
            axis.axhline(chance[panel], color=GREY, linewidth=0.7, linestyle=(0, (1, 3)))
            axis.annotate(
                "guessing",
                (1, chance[panel]),
                xycoords=("axes fraction", "data"),
                xytext=(3, 0),
                textcoords="offset points",
                color=GREY,
                fontsize=8,
                va="center",
            )
        _mark_sizes(axis, sizes)
        axis.set_xlabel("epoch")
        axis.set_ylabel(panel)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0][0].legend()
    told = [
        f"{panel}, {name}: from {values[0]:.2f} to {values[-1]:.2f}"
        for panel, curves in panels.items()
        for name, values in curves.items()
    ]
    told += [f"{panel} of guessing: {value:.2f}" for panel, value in (chance or {}).items()]
    return Picture(figure, _sentences("Curves, first and last epoch", *told))


def _mark_sizes(axis: Axes, sizes: Sequence[int]) -> None:
    starts = [i for i in range(len(sizes)) if i == 0 or sizes[i] != sizes[i - 1]]
    if len(starts) < 2:
        return
    for epoch in starts:
        if epoch:
            axis.axvline(epoch + 0.5, color=PALE, linewidth=0.7, zorder=0)
        axis.annotate(
            f"{sizes[epoch]} px",
            (epoch + 0.6, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            color=GREY,
            fontsize=8,
        )


def draw_blocks(blocks: Mapping[str, Any]) -> Picture:
    """Draws residual blocks, one below the other, as they are built.

    Args:
        blocks: title -> a `keras.Model` of one block alone, from `modules.network`.
    """
    figure = Figure(figsize=(_WIDTH, 2.2 * len(blocks)), layout="constrained")
    axes = figure.subplots(len(blocks), 1, squeeze=False)
    told = []
    for axis, (title, block) in zip(axes[:, 0], blocks.items(), strict=True):
        branch, shortcut = _draw_block(axis, block)
        axis.set_title(title, loc="left", fontstyle="italic")
        told.append(
            f"{title}: x, {_map(block.input_shape[1:])}, goes through {', then '.join(branch)}; "
            f"to that is added x {shortcut}; a ReLU of the sum is y, "
            f"{_map(block.output_shape[1:])}"
        )
    return Picture(figure, _sentences("Diagrams of blocks", *told))


def _draw_block(axis: Axes, block: Any) -> tuple[list[str], str]:
    """Draws a block; returns its branch and its shortcut in words."""
    axis.set(xlim=(0, 10), ylim=(-0.95, 2.05), aspect="equal")
    axis.axis("off")
    convolutions = [
        layer for layer in block.layers if "_branch" in layer.name and hasattr(layer, "strides")
    ]
    branch = [layer for layer in convolutions if not layer.name.endswith("branch1")]
    shortcut = [layer for layer in convolutions if layer.name.endswith("branch1")]
    add, above, height = 7.75, 1.45, 0.95

    axis.text(0.1, 0.14, r"$x$", ha="left", va="bottom", fontsize=12)
    axis.text(0.1, -0.14, _map(block.input_shape[1:]), ha="left", va="top", fontsize=8)
    _arrow(axis, (0.1, 0), (1.75, 0))
    for index, layer in enumerate(branch):
        left = 1.75 + 1.95 * index
        lines = [_convolution(layer), "batch norm"] + ["ReLU"] * (index < len(branch) - 1)
        _box(axis, left, 0, 1.55, height, lines, "#dcebf5")
        _arrow(axis, (left + 1.55, 0), (left + 1.95 if index < 2 else add - 0.16, 0))

    axis.add_patch(Circle((1.35, 0), 0.05, color=INK))
    axis.plot([1.35, 1.35], [0, above], color=INK, linewidth=0.9)
    if shortcut:
        _box(axis, 3.55, above, 1.85, 0.66, [_convolution(shortcut[0]), "batch norm"], "#fbe3d3")
        _arrow(axis, (1.35, above), (3.55, above))
        axis.plot([5.4, add], [above, above], color=INK, linewidth=0.9)
    else:
        axis.plot([1.35, add], [above, above], color=INK, linewidth=0.9)
        axis.text(4.45, above + 0.08, "identity", ha="center", va="bottom", fontsize=9)
    _arrow(axis, (add, above), (add, 0.16))
    axis.add_patch(Circle((add, 0), 0.16, facecolor="white", edgecolor=INK, linewidth=0.9))
    for ends in (((add - 0.09, add + 0.09), (0, 0)), ((add, add), (-0.09, 0.09))):
        axis.plot(*ends, color=INK, linewidth=0.9)
    _arrow(axis, (add + 0.16, 0), (8.2, 0))
    _box(axis, 8.2, 0, 0.7, 0.42, ["ReLU"], "#eeeeee")
    _arrow(axis, (8.9, 0), (9.95, 0))
    axis.text(9.95, 0.14, r"$y$", ha="right", va="bottom", fontsize=12)
    axis.text(9.95, -0.14, _map(block.output_shape[1:]), ha="right", va="top", fontsize=8)
    axis.plot([1.75, 1.75, 7.2, 7.2], [-0.58, -0.66, -0.66, -0.58], color=GREY, linewidth=0.7)
    axis.text(4.475, -0.72, r"$F(x)$", ha="center", va="top", fontsize=11)
    return [_convolution(layer) for layer in branch], (
        f"after {_convolution(shortcut[0])}" if shortcut else "itself"
    )


def _convolution(layer: Any) -> str:
    side = layer.kernel_size[0]
    stride = f", /{layer.strides[0]}" if layer.strides[0] > 1 else ""
    return f"conv {side}×{side}, {layer.filters}{stride}"


def _map(shape: Sequence[int | None]) -> str:
    return " × ".join(str(side) for side in shape)


def _box(
    axis: Axes, left: float, middle: float, width: float, height: float, lines: list[str], fill: str
) -> None:
    axis.add_patch(
        FancyBboxPatch(
            (left, middle - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=fill,
            edgecolor=INK,
            linewidth=0.7,
        )
    )
    text = "\n".join(lines)
    axis.text(left + width / 2, middle, text, ha="center", va="center", fontsize=8.5)


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axis.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=7,
            shrinkA=0,
            shrinkB=0,
            linewidth=0.9,
            color=INK,
        )
    )


def draw_stages(stages: Sequence[tuple[str, str, Sequence[int]]]) -> Picture:
    """Draws a network as a row of solids, one for the output of each stage.

    The height of a solid grows with the square root of the map's side, its width with the square
    root of the channels: true proportions would not fit on a page. What is called a stage is
    tinted.

    Args:
        stages: name, what it consists of, and the shape of its output: height, width and
            channels, or channels alone.
    """
    figure = Figure(figsize=(_WIDTH, 2.5), layout="constrained")
    axis = figure.subplots()
    axis.axis("off")
    axis.set_aspect("equal")
    largest = max(shape[0] for *_, shape in stages if len(shape) == 3)
    x = 0.0
    for name, consists, shape in stages:
        side, channels = (shape[0], shape[-1]) if len(shape) == 3 else (1, shape[0])
        height, width = 2.4 * (side / largest) ** 0.5, 0.022 * channels**0.5
        fill = np.array([0.86, 0.92, 0.96]) if name.startswith("stage") else np.full(3, 0.93)
        cell = max(width + 0.36 * height, 1.02)
        left = x + (cell - width - 0.3 * height) / 2
        _solid(axis, left, width, height, fill)
        centre = x + cell / 2
        axis.text(centre, -1.5, name, ha="center", va="top", fontsize=9)
        axis.text(centre, -1.78, consists, ha="center", va="top", fontsize=8, color="#555555")
        axis.text(centre, -2.04, _map(shape), ha="center", va="top", fontsize=7.5)
        x += cell + 0.12
    axis.set(xlim=(-0.05, x), ylim=(-2.25, 1.5))
    told = [f"{name} ({consists}): {_map(shape)}" for name, consists, shape in stages]
    return Picture(figure, _sentences("Solids as large as what each stage puts out", *told))


def _solid(axis: Axes, left: float, width: float, height: float, fill: np.ndarray) -> None:
    dx, dy = 0.3 * height, 0.22 * height
    right, low, high = left + width, -(height + dy) / 2, (height - dy) / 2
    front = [(left, low), (right, low), (right, high), (left, high)]
    top = [(left, high), (right, high), (right + dx, high + dy), (left + dx, high + dy)]
    side = [(right, low), (right, high), (right + dx, high + dy), (right + dx, low + dy)]
    for face, shade in ((front, 1.0), (top, 1.03), (side, 0.88)):
        axis.add_patch(
            Polygon(face, facecolor=np.clip(fill * shade, 0, 1), edgecolor=INK, linewidth=0.6)
        )


def show_classes(
    images: np.ndarray, labels: np.ndarray, class_names: Sequence[str], columns: int = 5
) -> Picture:
    """Shows the first images of every class, a row for each.

    Args:
        images: float32 [n, size, size, 3] in [0, 1].
        labels: int [n].
        class_names: one per class.
        columns: images in a row; a class that has fewer leaves places empty.
    """
    rows = len(class_names)
    figure = Figure(figsize=(0.8 * columns, 0.8 * rows))
    axes = figure.subplots(
        rows, columns, squeeze=False, gridspec_kw={"wspace": 0.06, "hspace": 0.06}
    )
    for label, row in enumerate(axes):
        chosen = images[labels == label][:columns]
        for place, axis in enumerate(row):
            _image(axis, chosen[place] if place < len(chosen) else None)
        row[0].set_ylabel(class_names[label], rotation=0, ha="right", va="center", labelpad=8)
    return Picture(
        figure,
        f"Rows of up to {columns} images, one for each class: {', '.join(class_names)}.",
    )


def show_row(images: Sequence[np.ndarray], titles: Sequence[str] = ()) -> Picture:
    """Shows images side by side, the first set apart.

    Args:
        images: each float32 [size, size, 3] in [0, 1].
        titles: text above the images, from the left; may be fewer.
    """
    figure = Figure(figsize=(_WIDTH, _WIDTH / len(images)))
    axes = figure.subplots(
        1,
        len(images) + 1,
        squeeze=False,
        gridspec_kw={"wspace": 0.08, "width_ratios": [1, 0.08] + [1] * (len(images) - 1)},
    )
    axes[0][1].axis("off")
    shown = [axes[0][0], *axes[0][2:]]
    for index, (axis, image) in enumerate(zip(shown, images, strict=True)):
        _image(axis, image)
        if index < len(titles):
            axis.set_title(titles[index], loc="left", fontsize=9)
    told = f": {', '.join(titles)}" if titles else ""
    return Picture(figure, f"{len(images)} images side by side, the first set apart{told}.")


def show_predictions(
    images: np.ndarray, maps: np.ndarray, captions: Sequence[str], right: Sequence[bool]
) -> Picture:
    """Shows images with, below each, where its Grad-CAM is high: the brighter, the higher.

    Args:
        images: float32 [n, size, size, 3] in [0, 1].
        maps: float32 [n, rows, columns], not negative, each scaled to a maximum of 1.
        captions: one per image.
        right: whether each prediction is right: the frame of a wrong one is thick and vermilion.
    """
    count, size = len(images), images.shape[1]
    figure = Figure(figsize=(_WIDTH, 2.1 * _WIDTH / count))
    axes = figure.subplots(2, count, squeeze=False, gridspec_kw={"wspace": 0.08, "hspace": 0.08})
    for index, (above, below) in enumerate(axes.T):
        _image(above, images[index])
        above.set_title(captions[index], fontsize=9, pad=3)
        _image(below, images[index] @ np.array([0.299, 0.587, 0.114]) * 0.8)
        smooth = Image.fromarray(maps[index]).resize((size, size), Image.Resampling.BICUBIC)
        heat = np.asarray(smooth).clip(0, 1)
        below.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.8 * heat)
        if not right[index]:
            for axis in (above, below):
                axis.spines[:].set(visible=True, color=VERMILION, linewidth=2)
    told = [
        f"{' '.join(caption.split())}, {'right' if is_right else 'wrong'}, "
        f"highest at the {_place(heat)}"
        for caption, is_right, heat in zip(captions, right, maps, strict=True)
    ]
    return Picture(figure, _sentences("Images, and where Grad-CAM is high in each", *told))


def _place(heat: np.ndarray) -> str:
    """Where a map is highest, in words: its rows and columns as thirds."""
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    down = ("top", "middle", "bottom")[int(3 * row) // heat.shape[0]]
    across = ("left", "centre", "right")[int(3 * column) // heat.shape[1]]
    return f"{down} {across}"


def show_confusion(matrix: np.ndarray, class_names: Sequence[str]) -> Picture:
    """Shows how often each class was taken for which.

    Args:
        matrix: int [classes, classes]; rows are true classes, columns are predictions.
        class_names: one per class.
    """
    figure = Figure(figsize=(3.4, 3.4), layout="constrained")
    axis = figure.subplots()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1.15)
    for (row, column), count in np.ndenumerate(matrix):
        color = "white" if share[row, column] > 0.6 else INK
        text = str(count) if count else "·"
        axis.text(column, row, text, ha="center", va="center", color=color)
        if count and row != column:
            corner = (column - 0.46, row - 0.46)
            axis.add_patch(
                Rectangle(corner, 0.92, 0.92, fill=False, edgecolor=VERMILION, linewidth=1.2)
            )
    axis.set_xticks(range(len(class_names)), class_names)
    axis.set_yticks(range(len(class_names)), class_names)
    axis.set_xlabel("predicted class")
    axis.set_ylabel("true class")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    told = []
    for name, row, counts in zip(class_names, range(len(matrix)), matrix, strict=True):
        taken = [
            f"{count} taken for {other}"
            for other, count in zip(class_names, counts, strict=True)
            if count and other != name
        ]
        told.append(", ".join([f"{name}: {counts[row]} of {counts.sum()} right", *taken]))
    return Picture(figure, _sentences("Confusion matrix, true classes by predicted ones", *told))


def _image(axis: Axes, image: np.ndarray | None) -> None:
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    if image is not None:
        axis.imshow(image, cmap="gray", vmin=0, vmax=1)


def _sentences(title: str, *told: str) -> str:
    return ". ".join([title, *told]) + "."
