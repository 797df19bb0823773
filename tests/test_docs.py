"""What documents say is so: links lead somewhere, files exist, commands and options are known."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_server.options import FLAGS
from pipeline.commands.main import app
from tests import ROOT
from tests.kubeflow.command_lines import unknown_options

_NOT_OURS = {"workspace", "build", "dist", "__pycache__"}


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name in _NOT_OURS or path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _files(path)
        else:
            yield path.relative_to(ROOT)


FILES = sorted(_files(ROOT))
FOLDERS = {parent for path in FILES for parent in path.parents}
DOCUMENTS = sorted(path for path in FILES if path.suffix == ".md")
TEXTS = {path: (ROOT / path).read_text() for path in DOCUMENTS}
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Files that commands write or take.
WRITTEN = {"pipeline.yaml", "options.yaml"}
# A machine's own folders, an index of packages.
PRIVATE = re.compile(r"/home/\w+/|/Users/\w+/|/root/(?!\.cache)|index-url\s*=|://\S*/simple\b")


def _blocks(*languages: str) -> list[str]:
    return [
        block
        for text in TEXTS.values()
        for language, block in BLOCK.findall(text)
        if language in languages
    ]


def _anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", BLOCK.sub("", TEXTS[path]), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", TEXTS[path])):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        place = (ROOT / path.parent / name).resolve() if name else (ROOT / path).resolve()
        assert place.exists(), f"{path} links to {target}, which does not exist"
        if anchor:
            assert anchor in _anchors(place.relative_to(ROOT)), f"{path}: no section {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_a_link_that_names_a_file_leads_to_it(path: Path) -> None:
    """`[docs/x.md](y.md)` once a file has moved."""
    for words, target in re.findall(r"\[`?([\w/.-]+\.\w+)`?\]\(([^)\s#]+)", TEXTS[path]):
        place = (ROOT / path.parent / target).resolve().relative_to(ROOT)
        assert place.as_posix().endswith(words), f"{path}: {words} links to {place}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_files_and_folders_that_are_named_exist(path: Path) -> None:
    names = re.findall(r"`(\w[\w/.-]*\.(?:ipynb|js|md|py|toml|txt|ya?ml))`", TEXTS[path])
    for name in set(names) - WRITTEN - {"utils.py"}:
        assert any(f"/{file}".endswith(f"/{name}") for file in FILES), f"{path} names {name}"
    if str(path) in ("README.md", "CONTRIBUTING.md", "docs/architecture.md"):
        for name in set(re.findall(r"`(\w[\w/-]*)/`", TEXTS[path])) - _NOT_OURS:
            assert any(f"/{folder}".endswith(f"/{name}") for folder in FOLDERS), f"{path}: {name}/"


def _commands() -> list[str]:
    """The command lines of `signs` in blocks and in running text, after that word."""
    blocks = [
        re.search(r"(?:^|-- |\.venv/bin/)signs ([a-z-].*)", line)
        for block in _blocks("", "sh")
        for line in block.splitlines()
    ]
    inline = [found for text in TEXTS.values() for found in re.finditer(r"`signs ([^`]+)`", text)]
    return sorted({found[1] for found in (*blocks, *inline) if found})


@pytest.mark.parametrize("command", _commands())
def test_signs_knows_the_command_and_its_options(command: str) -> None:
    words = shlex.split(command, comments=True)
    if words[0].startswith("-"):
        assert words[0] in ("--help", "--version")
        return
    flags = {f"--{flag.name}" for flag in FLAGS} if words[0] == "serve" else set()
    assert set(unknown_options(app, words)) - flags == set()


def test_what_make_is_asked_for_is_a_target() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = {
        name
        for text in TEXTS.values()
        for name in re.findall(r"(?:^|`)make ([a-z][a-z-]*)", text, re.MULTILINE)
    }
    assert len(asked) > 4
    assert asked <= targets


def test_python_in_documents_is_python() -> None:
    blocks = _blocks("python")
    assert len(blocks) > 1
    for block in blocks:
        ast.parse(block)


def test_no_text_tells_of_a_machine_or_an_index_of_packages() -> None:
    for path in FILES:
        if path.parts[0] != "tests" and path.suffix not in (".png", ".svg"):
            found = PRIVATE.search((ROOT / path).read_text(errors="replace"))
            assert found is None, f"{path}: {found}"
