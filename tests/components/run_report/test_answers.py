"""What an answer hangs on: a stand-in for a model looks at one place, and that place is found."""

import io
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from components.run_report.answers import Model
from signs import features


class LooksAtOnePlace(Model):
    """Sure of its answer as long as it sees white at a place, given as shares of the sides."""

    def __init__(self, across: float, down: float) -> None:
        self.place = across, down

    def _ask(self, images: Sequence[bytes]) -> dict[str, np.ndarray]:
        found = []
        for image in images:
            picture = Image.open(io.BytesIO(image)).convert("L")
            x, y = (int(share * side) for share, side in zip(self.place, picture.size, strict=True))
            sure = 0.9 if picture.getpixel((x, y)) > 128 else 0.1
            found.append([1 - sure, sure])
        return {features.PROBABILITIES: np.array(found)}


@pytest.mark.parametrize("size", [(64, 64), (300, 90), (9, 40)])
@pytest.mark.parametrize(("across", "down"), [(0.1, 0.1), (0.9, 0.1), (0.5, 0.9)])
def test_the_place_that_matters_is_hot(size: tuple[int, int], across: float, down: float) -> None:
    picture = Image.new("RGB", size, "black")
    x, y = int(across * size[0]), int(down * size[1])
    wide, high = (side // 14 + 1 for side in size)
    picture.paste("white", (x - wide, y - high, x + wide, y + high))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    heat = LooksAtOnePlace(across, down).heat(buffer.getvalue())
    assert heat.shape == (5, 5)
    assert (heat.min(), heat.max()) == (0, 1)
    rows, columns = np.nonzero(heat == 1)
    assert np.mean(columns) / 4 == pytest.approx(across, abs=0.2)
    assert np.mean(rows) / 4 == pytest.approx(down, abs=0.2)


def test_an_answer_that_hangs_on_nothing_has_no_heat() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), "white").save(buffer, "PNG")
    assert not LooksAtOnePlace(0.5, 0.5).heat(buffer.getvalue()).any()
