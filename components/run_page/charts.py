"""Drawings for a page: numbers in, SVG out. Their colours are the style's, light and dark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from data.statistics.shares import Shares

_WIDTH, _HEIGHT = 420, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 10, 34


@dataclass(frozen=True)
class Bin:
    """Answers of about the same confidence, in [low, high)."""

    low: float
    high: float
    images: int
    confidence: float  # mean
    accuracy: float


def track(
    value: float | None,
    low: float | None,
    high: float | None,
    limit: float | None,
    passes: bool | None,
) -> Markup:
    """A value in [0, 1] with its interval and its limit, on a line from 0 to 1."""
    state = {True: "good", False: "bad", None: "plain"}[passes]
    parts = [_mark("rail", 0, 100, 4)]
    if low is not None and high is not None:
        parts.append(_mark(f"range {state}", _pc(low), _pc(high - low), 2))
    if value is not None:
        parts.append(_mark(f"value {state}", _pc(value) - 0.6, 1.2, 0))
    if limit is not None:
        parts.append(_mark("limit", _pc(limit) - 0.25, 0.5, 0))
    return Markup(
        '<svg class="track" viewBox="-1 0 102 10" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(parts)}</svg>"
    )


def curves(
    series: Mapping[str, Sequence[float]],
    label: str,
    *,
    of_one: bool = False,
    across: str = "epoch",
    marks: Mapping[int, str] | None = None,
    end: tuple[float, float, float] | None = None,
) -> Markup:
    """Lines over epochs.

    Args:
        series: values by name; the first is drawn strongest.
        label: what the picture shows, for who cannot see it.
        of_one: whether values are shares, on an axis from 0 to 1.
        across: the name of the axis.
        marks: words along it by place; None numbers the values from 1.
        end: a value of after the last epoch, and its interval.
    """
    drawn = {name: values for name, values in series.items() if len(values)}
    finite = [value for values in drawn.values() for value in values if np.isfinite(value)]
    if not finite:
        return Markup("")
    bottom, top = (0.0, 1.0) if of_one else (min(0.0, *finite, 0.0), max(finite) * 1.05 or 1.0)
    longest = max(len(values) for values in drawn.values())

    def x(index: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (index / max(1, longest - 1))

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - (value - bottom) / (top - bottom))

    parts = []
    for step in range(5):
        at = bottom + (top - bottom) * step / 4
        words = f"{100 * at:.0f} %" if of_one else f"{at:.2g}"
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}"'
            f' y1="{y(at):.1f}" y2="{y(at):.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y(at) + 4:.1f}" text-anchor="end">{words}</text>'
        )
    if marks is None:
        marks = {place: str(place + 1) for place in (0, longest // 2, longest - 1)}
    for place, words in marks.items():
        anchor = "start" if place == 0 else "end" if place == longest - 1 else "middle"
        parts.append(
            f'<text x="{x(place):.1f}" y="{_HEIGHT - 18}" text-anchor="{anchor}">'
            f"{escape(words)}</text>"
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle">{escape(across)}</text>'
    )
    for number, values in enumerate(drawn.values()):
        points = " ".join(
            f"{x(index):.1f},{y(min(max(value, bottom), top)):.1f}"
            for index, value in enumerate(values)
            if np.isfinite(value)
        )
        parts.append(f'<polyline class="line n{number}" points="{points}"/>')
    if end is not None:
        value, low, high = end
        parts.append(
            f'<line class="end" x1="{x(longest - 1):.1f}" x2="{x(longest - 1):.1f}"'
            f' y1="{y(low):.1f}" y2="{y(high):.1f}"/>'
            f'<circle class="end" cx="{x(longest - 1):.1f}" cy="{y(value):.1f}" r="4"/>'
        )
    return _svg(_WIDTH, _HEIGHT, label, parts)


def reliability(bins: Sequence[Bin], label: str) -> Markup:
    """Accuracy over confidence: on the diagonal, a model is as good as it says."""
    side, left, top = 260, 46, 10
    parts = []
    for step in range(5):
        at = step / 4
        parts.append(
            f'<line class="grid" x1="{left}" x2="{left + side}" y1="{top + side * (1 - at)}"'
            f' y2="{top + side * (1 - at)}"/>'
            f'<text x="{left - 6}" y="{top + side * (1 - at) + 4}" text-anchor="end">'
            f"{100 * at:.0f} %</text>"
            f'<text x="{left + side * at}" y="{top + side + 16}" text-anchor="middle">'
            f"{100 * at:.0f} %</text>"
        )
    for one in bins:
        height = side * one.accuracy
        width = side * (one.high - one.low)
        parts.append(
            f'<rect class="bar" x="{left + side * one.low + 1:.1f}" y="{top + side - height:.1f}"'
            f' width="{width - 2:.1f}" height="{height:.1f}"/>'
            f'<text class="count" x="{left + side * one.low + width / 2:.1f}"'
            f' y="{top + side - 6}" text-anchor="middle">{one.images:,}</text>'
        )
    parts.append(
        f'<line class="diagonal" x1="{left}" y1="{top + side}" x2="{left + side}" y2="{top}"/>'
        f'<text x="{left + side / 2}" y="{top + side + 32}" text-anchor="middle">confidence</text>'
    )
    return _svg(left + side + 14, top + side + 38, label, parts)


def bins_of(confidence: Sequence[float], right: Sequence[bool], count: int = 10) -> list[Bin]:
    """Sorts answers by how sure they are, into bins of equal width; empty ones are left out."""
    sure, good = np.asarray(confidence, float), np.asarray(right, bool)
    places = np.clip((sure * count).astype(int), 0, count - 1)
    return [
        Bin(
            place / count,
            (place + 1) / count,
            int((places == place).sum()),
            float(sure[places == place].mean()),
            float(good[places == place].mean()),
        )
        for place in range(count)
        if (places == place).any()
    ]


def matrix(counts: Sequence[Sequence[int]], label: str) -> Markup:
    """A confusion matrix of many classes: a square for every pair that occurs."""
    classes = len(counts)
    parts = [f'<rect class="ground" x="0" y="0" width="{classes}" height="{classes}"/>']
    for row, values in enumerate(counts):
        whole = max(1, sum(values))
        for column, count in enumerate(values):
            if count:
                kind = "right" if row == column else "wrong"
                parts.append(
                    f'<rect class="{kind}" x="{column}" y="{row}" width="1" height="1"'
                    f' fill-opacity="{0.25 + 0.75 * count / whole:.2f}"/>'
                )
    return _svg(classes, classes, label, parts, "matrix")


def histogram(found: Shares, label: str) -> Markup:
    """Shares of a number's parts, a line for each of the sets of pictures."""
    marks = {0: found.parts[0], len(found.parts) - 2: found.parts[-1]}
    return curves(found.of, f"{label}: shares of the pictures", across="", marks=marks)


def _svg(
    width: float, height: float, label: str, parts: Sequence[str], kind: str = "chart"
) -> Markup:
    return Markup(
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img"'
        f' aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _mark(kind: str, x: float, width: float, y: float) -> str:
    """A rectangle in the middle of a line that is 10 high."""
    return f'<rect class="{kind}" x="{x:.2f}" y="{y}" width="{width:.2f}" height="{10 - 2 * y}"/>'


def _pc(share: float) -> float:
    return round(100 * min(max(share, 0.0), 1.0), 2)
