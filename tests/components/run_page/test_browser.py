"""The page from disk, in a real headless browser: it opens alone, is read by all, and prints."""

from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from components.run_page import comparison, render
from components.run_page.facts import Finding
from tests.components.run_page.facts import RUN, make_facts
from tests.pages import opened, running_browser  # noqa: F401 - a fixture

_LARGEST = 5 * 2**20


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render.report(make_facts(), RUN))
    return path


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (360, "dark")])
def test_everybody_can_read_it(browser: Browser, report: Path, width: int, scheme: str) -> None:
    page = opened(browser, report, width=width, scheme=scheme)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.title() == "photos: run report 20261127-101500-ab12"
    assert page.locator("#verdict").bounding_box()["y"] < 400  # the verdict first


def test_every_link_leads_somewhere(browser: Browser, report: Path) -> None:
    page = opened(browser, report)
    for link in page.locator("nav a").all():
        assert page.locator(link.get_attribute("href")).count() == 1
    assert page.locator("nav a").count() == 10


def test_it_prints_light_and_without_links(browser: Browser, report: Path) -> None:
    page = opened(browser, report, scheme="dark")
    pdf = page.pdf(format="A4", print_background=True)
    assert pdf.startswith(b"%PDF") and len(pdf) < _LARGEST
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(255, 255, 255)"


def test_a_hundred_classes(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render.report(make_facts(classes=100, wrong=40), RUN))
    assert path.stat().st_size < _LARGEST
    page = opened(browser, path)
    assert page.locator(".matrix").count() == 2
    assert page.get_by_text("What is confused most often").count() == 2


def test_names_that_are_markup(browser: Browser, tmp_path: Path) -> None:
    """What comes from data is text: a class or a file may be called anything."""
    evil = "<img src=x onerror=alert(1)>\"'&"
    facts = make_facts()
    facts = replace(
        facts,
        name=evil,
        class_names=(evil, *facts.class_names[1:]),
        findings=(Finding("test_in_train", 1, evil),),
        answers=tuple(replace(one, source_id=evil, answer=evil) for one in facts.answers),
    )
    path = tmp_path / "report.html"
    path.write_text(render.report(facts, replace(RUN, command=evil)))
    page = opened(browser, path)
    assert page.locator("h1").inner_text() == evil
    assert page.locator("img[src=x]").count() == 0


def test_two_runs_beside_each_other(browser: Browser, tmp_path: Path) -> None:
    first, second = make_facts(wrong=9, seed=1), make_facts(wrong=2, seed=2)
    found = comparison.compare("run-one", first, "run-two", second)
    path = tmp_path / "compare.html"
    path.write_text(comparison.page(found, first, second))
    page = opened(browser, path)
    assert Axe().run(page).violations_count == 0
    assert page.get_by_role("list", name="Pictures").get_by_role("listitem").count() == len(
        found.pictures
    )
