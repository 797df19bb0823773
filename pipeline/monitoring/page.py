"""What `signs monitor` found, as one HTML file that needs nothing else."""

import base64
import io
from collections.abc import Iterator
from importlib.resources import files

import jinja2
from PIL import Image

from data.statistics.compare import share
from data.statistics.report import Numbers, Words
from pipeline.monitoring.monitor import Monitored
from pipeline.monitoring.requests import Requests

_PARTS = 20  # of a histogram
_SHOWN = 12  # of a kind of odd pictures


def render(found: Monitored, requests: Requests) -> str:
    """Returns the page; the pictures that it names are in it."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(
        files("pipeline.monitoring").joinpath("page.html").read_text(encoding="utf-8")
    )
    named = {one.id for anomaly in found.anomalies for one in anomaly.examples}
    named |= {one.id for examples in found.odd.values() for one in examples[:_SHOWN]}
    pictures = {one.id: _thumbnail(one.image) for one in requests.asked if one.id in named}
    bars = {
        name: [*_bars(one, found.training[name])]
        for name, one in found.pictures.items()
        if name in found.training
    }
    distances = {one.feature: one for one in found.distances}
    return template.render(
        found=found, pictures=pictures, bars=bars, distances=distances, shown=_SHOWN
    )


def _bars(asked: Numbers | Words, trained: Numbers | Words) -> Iterator[tuple[str, float, float]]:
    """Yields (what, share of what was asked, share of the training), shares in [0, 1]."""
    if isinstance(asked, Words) and isinstance(trained, Words):
        for word in dict.fromkeys([*trained.counts, *asked.counts]):
            yield word, share(asked, word), share(trained, word)
    elif isinstance(asked, Numbers) and isinstance(trained, Numbers):
        low, high = min(asked.min, trained.min), max(asked.max, trained.max)
        width = (high - low) / _PARTS or 1.0
        for part in range(_PARTS):
            start = low + part * width
            what = f"{start:.3g} to {start + width:.3g}"
            end = start + width
            yield what, _within(asked, start, end), _within(trained, start, end)


def _within(one: Numbers, start: float, end: float) -> float:
    """The share between two values, as if each part of the histogram were level."""
    total = 0.0
    for low, high, count in one.histogram:
        if high > low:
            total += count * max(0.0, min(end, high) - max(start, low)) / (high - low)
        elif start <= low < end:
            total += count
    return total / (one.count or 1)


def _thumbnail(image: bytes) -> str:
    with Image.open(io.BytesIO(image)) as picture:
        picture.thumbnail((96, 96))
        small = io.BytesIO()
        picture.convert("RGB").save(small, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(small.getvalue()).decode()
