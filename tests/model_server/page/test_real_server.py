"""The page beside the real model server: both speak the same REST."""

import http.client
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from model_server import ServerProcess
from tests.model_server.page.conftest import png
from tests.model_server.page.test_page import as_file, choose, expect_answer
from tests.served import BLUE, GREEN, RED


@pytest.fixture(scope="module")
def rest_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def server(
    saved_model: Path, rest_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    base_path = tmp_path_factory.mktemp("signs")
    shutil.copytree(saved_model, base_path / "3")
    examples = tmp_path_factory.mktemp("examples")
    (examples / "blue.png").write_bytes(BLUE)
    flags = [f"--rest_api_port={rest_port}", "--enable_page", f"--page_examples={examples}"]
    with ServerProcess(base_path, flags=flags) as running:
        yield running


def test_nothing_but_the_page(server: ServerProcess, rest_port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", rest_port, timeout=10)
    answers = {}
    for path in (
        "/",
        "/page/page.js",
        "/page/../app.py",
        "/page/%2e%2e/app.py",
        "/v1/models/signs",
    ):
        connection.request("GET", path)
        response = connection.getresponse()
        answers[path] = (response.status, response.read()[:15])
    connection.close()
    assert answers == {
        "/": (200, b"<!doctype html>"),
        "/page/page.js": (200, b"// The page: pi"),
        "/page/../app.py": (404, b"Not found\n"),
        "/page/%2e%2e/app.py": (404, b"Not found\n"),
        "/v1/models/signs": (200, b'{\n "model_versi'),
    }


def test_pictures_are_answered(server: ServerProcess, browser: Browser, rest_port: int) -> None:
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{rest_port}/")
    expect(page.locator("#server")).to_have_text("v3")
    choose(page, as_file("a.png", RED))
    expect_answer(page, "red", "a.png: red, 98.7 %. v3 · ")
    assert page.locator("#bars .name").all_inner_texts() == ["red", "green", "blue"]
    choose(page, as_file("b.png", GREEN))
    expect_answer(page, "green")
    page.get_by_role("button", name="Example of blue").click()
    expect_answer(page, "blue", "Example of blue: blue, 98.7 %.")
    choose(page, as_file("grey.png", png(9, 9, 9)))
    expect_answer(page, "not sure", "grey.png: not sure, perhaps red. v3 · ")
    assert server.stop() == 0
    choose(page, as_file("late.png", RED))
    expect(page.locator("#reason")).to_have_text("The server does not answer. Is it still running?")
    page.close()
