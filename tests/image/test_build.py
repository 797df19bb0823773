"""The image: layers, what a change of code costs, two builds, what is in it."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.image.build import BuildError, Image, build, files
from tests.image.containers import mib
from tests.image.docker import Docker

Say = Callable[[str], None]
# What may differ: dates of folders that COPY makes (BuildKit 0.13 and newer sets them, if asked:
# `--output type=image,rewrite-timestamp=true`), what Docker puts into a container, and the one
# package that is compiled, in a folder of a random name.
_MADE_BY_COPY = {"opt", "opt/signs", "app"}
_OF_A_CONTAINER = re.compile(
    r"\.dockerenv|dev|dev/.*|proc|sys|etc|etc/(hostname|hosts|mtab|resolv.conf)"
)
_COMPILED = re.compile(r".*/(farmhash\..*\.so|pyfarmhash-.*/RECORD)")


def test_size_and_layers(image: Image, say: Say) -> None:
    say(f"\nthe image, built in {image.seconds:.0f} s: {mib(image.size)} MiB")
    for layer in image.layers:
        say(f"  {mib(layer.size):>6} MiB  {layer.made_by[:60]}")
    base, packages, code, folder = (layer.size for layer in image.layers)
    assert folder == 0  # WORKDIR's
    assert base < 400 * 2**20
    assert packages < 1800 * 2**20
    assert code < 20 * 2**20


def test_a_change_of_code_is_a_layer_of_megabytes(
    docker: Docker, base: str, context: Path, image: Image, say: Say
) -> None:
    changed = context / "modules" / "preprocessing.py"
    before = changed.read_text()
    changed.write_text(f"{before}\nCHANGED = True\n")
    try:
        other = build(docker, base, context)
    finally:
        changed.write_text(before)
    say(f"\none line of code: {other.seconds:.0f} s, {mib(other.layers[2].size)} MiB")
    assert other.layers[:2] == image.layers[:2]
    assert other.layers[2].digest != image.layers[2].digest


def test_what_is_not_as_locked_is_not_installed(docker: Docker, base: str, context: Path) -> None:
    lock = context / "requirements" / "uv.txt"
    before = lock.read_text()
    lock.write_text(re.sub(r"sha256:[0-9a-f]{8}", "sha256:00000000", before))
    try:
        with pytest.raises(BuildError, match="DO NOT MATCH THE HASHES"):
            build(docker, base, context)
    finally:
        lock.write_text(before)


def test_each_module_is_imported(docker: Docker, image: Image) -> None:
    """No package is missing, and each library that was stripped is still one."""
    program = (
        "import importlib, pathlib\n"
        "for file in sorted(pathlib.Path().glob('[a-z]*/**/*.py')):\n"
        "    if file.name not in ('__main__.py', 'setup.py') and file.parts[0] != 'installed':\n"
        "        name = '.'.join(file.with_suffix('').parts)\n"
        "        importlib.import_module(name.removesuffix('.__init__'))\n"
        "import fastavro, fontTools.misc.bezierTools, pyarrow.flight, pyarrow.parquet, rapidjson\n"
        "import tensorflow.lite, tfx_bsl.public.tfxio, zstandard\n"
        "print('all')\n"
    )
    run = ("run", "--rm", "--network=none", "--read-only", "--tmpfs=/tmp", image.id)
    assert docker.output(*run, "python", "-W", "ignore", "-c", program).endswith("all\n")


def test_the_bill_names_what_is_there(docker: Docker, image: Image) -> None:
    """Counted by dpkg itself, and by the folders of the environment."""
    run = ("run", "--rm", "--network=none", image.id)
    bill = json.loads(docker.output(*run, "cat", "/app/image.cdx.json"))
    purls = [part["purl"] for part in bill["components"] if "purl" in part]
    debian = docker.output(*run, "dpkg-query", "--show", "--showformat=${Package}=${Version}\n")
    assert sum(purl.startswith("pkg:deb/") for purl in purls) == len(debian.split())
    installed = docker.output(*run, "sh", "-c", "ls -d /opt/signs/lib/python3*/*/*.dist-info")
    own = {"pkg:pypi/signs-pipeline", "pkg:pypi/signs-client"}
    python = [purl for purl in purls if purl.startswith("pkg:pypi/")]
    assert len(python) == len(installed.split()) + len(own)
    assert own <= {purl.partition("@")[0] for purl in python}
    assert "pkg:pypi/tensorflow-cpu@2.21.0" in python
    assert not [purl for purl in python if re.match("pkg:pypi/(tensorflow|pytest|mypy)@", purl)]


def test_two_builds_are_alike(
    docker: Docker, base: str, context: Path, image: Image, say: Say
) -> None:
    """Again from nothing: no cache of layers, none of packages."""
    first = files(docker, image.id)
    docker.client("builder", "prune", "--all", "--force")
    again = build(docker, base, context, "--no-cache")
    second = files(docker, again.id)
    differ = {
        name
        for name in {*first, *second}
        if first.get(name) != second.get(name) and not _OF_A_CONTAINER.fullmatch(name)
    }
    say(f"\ntwice built, the second time in {again.seconds:.0f} s: {len(first)} files and folders")
    for name in sorted(differ)[:20]:
        say(f"  differs: /{name}: {first.get(name)} {second.get(name)}")
    assert {name for name in differ if not _COMPILED.fullmatch(name)} <= _MADE_BY_COPY
