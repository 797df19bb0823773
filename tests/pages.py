"""A page from disk in a real headless browser: it must open alone and without a complaint."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.model_server.page.conftest import FLAGS


@pytest.fixture(scope="module", name="browser")
def running_browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium: install Debian's package of that name")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


def opened(browser: Browser, path: Path, *, width: int = 1200, scheme: str = "light") -> Page:
    """The page, loaded; it must have asked for nothing but itself, and logged nothing."""
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: told.append(request.url))
    page.goto(path.as_uri())
    assert [one for one in told if not one.startswith("data:")] == [path.as_uri()]
    broken = "[...document.images].filter((one) => !one.complete || !one.naturalWidth).length"
    assert page.evaluate(broken) == 0
    across = "document.documentElement.scrollWidth"
    assert page.evaluate(across) <= width  # what is wider scrolls by itself
    return page
