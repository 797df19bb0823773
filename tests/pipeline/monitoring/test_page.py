"""The monitor's page from disk, in a real headless browser."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser

from data.statistics.compare import Distance
from data.statistics.report import Anomaly, Example, Numbers, Words
from pipeline.monitoring.monitor import ASKED, Monitored
from pipeline.monitoring.page import render
from pipeline.monitoring.requests import Asked, Requests
from tests.pages import opened, running_browser  # noqa: F401 - a fixture

DARK = Example("request 7, image 0", ASKED, "<b>dog", "brightness", 0.0371)
FOUND = Monitored(
    model="pets",
    version=3,
    images=120,
    passed_over=4,
    distances=(
        Distance("brightness", "jensen_shannon_divergence", 0.42, 0.15),
        Distance("embedding", "kolmogorov_smirnov", 0.21, 0.3),
    ),
    not_sure=0.05,
    confidence=0.93,
    classes={"<b>dog": 100, "cat": 14},
    anomalies=(
        Anomaly(
            *("skew", "brightness", ASKED, "train", "jensen_shannon_divergence", 0.42, 0.15),
            *("brightness of the asked pictures is not that of train", (DARK,)),
        ),
    ),
    odd={"low_information": (replace(DARK, feature="contrast"),)},
    reasons=("brightness of the asked pictures is not that of train",),
    notes=("a note",),
    pictures={
        "brightness": Numbers(2, 0.2, 0.1, 0.1, 0.2, 0.3, ((0.1, 0.2, 1), (0.2, 0.3, 1))),
        "class_name": Words({"<b>dog": 100, "cat": 14}),
    },
    training={
        "brightness": Numbers(2, 0.6, 0.1, 0.5, 0.6, 0.7, ((0.5, 0.6, 1), (0.6, 0.7, 1))),
        "class_name": Words({"<b>dog": 50, "cat": 50}),
    },
)


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (360, "dark")])
def test_everybody_can_read_it(
    browser: Browser,
    tmp_path: Path,
    width: int,
    scheme: str,
) -> None:
    noise = np.random.default_rng(0).integers(0, 20, (40, 60, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    path = tmp_path / "monitor.html"
    path.write_text(render(FOUND, Requests(3, [Asked(DARK.id, buffer.getvalue(), "<b>dog")])))
    page = opened(browser, path, width=width, scheme=scheme)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.title() == "pets v3: what it is asked"
    assert page.locator(".badge").inner_text() == "Not what it was trained on"
    assert page.get_by_role("img", name="request 7, image 0").count() == 2
    assert page.get_by_role("row", name="<b>dog 87.7 % 50.0 %").count() == 1  # names are text
