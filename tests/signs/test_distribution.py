"""signs-client as an application has it: built, installed beside nothing else, and asked.

No other test runs the sources of `signs` on a Python that is not the project's.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests import ROOT
from tests.served import GREEN

OWN_MB, ALL_MB = 2, 120
ASK = """
import time
began = time.perf_counter()
from signs import AsyncClient, Client
took_s = time.perf_counter() - began

import asyncio, importlib, json, pkgutil, sys
import signs
from pathlib import Path

for module in pkgutil.walk_packages(signs.__path__, "signs."):
    if module.name != "signs.records":  # of the extra "records"
        importlib.import_module(module.name)

async def ask(address, image):
    async with AsyncClient(address) as client:
        return (await client.predict(image))[0].class_name

names = []
image = Path(sys.argv[1]).read_bytes()
for address in sys.argv[2:]:
    with Client(address) as client:
        client.wait_until_available(30)
        names.append(client.predict(image)[0].class_name)
    names.append(asyncio.run(ask(address, image)))
print(json.dumps({"import_s": took_s, "names": names}))
"""


def run(*command: object, **options: object) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=300, **options
    )
    if re.search("(?i)dns error|error sending request|failed to connect|network", done.stderr):
        pytest.skip("no package index can be reached from here")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder with the wheel and the source archive."""
    folder = tmp_path_factory.mktemp("distribution")
    shutil.copytree(ROOT / "signs", folder / "signs", ignore=shutil.ignore_patterns("__pycache__"))
    for kind in ("sdist", "wheel"):
        code = f"from setuptools import build_meta; build_meta.build_{kind}('..')"
        run(sys.executable, "-c", code, cwd=folder / "signs")
    return folder


def test_it_holds_the_client_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = [info for info in archive.infolist() if "dist-info" not in info.filename]
    names = {info.filename for info in files}
    git = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "signs")
    outside = ("signs/README.md", "signs/pyproject.toml", "signs/protos/generator/")
    assert names == {
        name
        for name in run(*git, cwd=ROOT).split()
        if (ROOT / name).is_file() and not name.startswith(outside)
    }
    assert sum(info.file_size for info in files) < OWN_MB * 1e6
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        assert not [name for name in archive.getnames() if "generator" in name]


def interpreter(version: str) -> Path:
    """A CPython of this version."""
    versions = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    found = [*versions.glob(f"{version}.*/bin/python"), shutil.which(f"python{version}")]
    for path in filter(None, found):
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([path, "-c", code], capture_output=True, text=True, timeout=60)
        if done.stdout.strip() == version:
            return Path(path)
    pytest.skip(f"this machine has no Python {version}")


@pytest.mark.parametrize(
    ("version", "resolution"),
    [("3.10", "lowest"), *((version, "highest") for version in ("3.10", "3.11", "3.12", "3.13"))],
)
def test_an_empty_environment_asks_a_server(
    version, resolution, built, server, rest_port, tmp_path
):
    """`lowest` has the oldest packages that pyproject.toml allows."""
    uv = Path(sys.executable).with_name("uv")
    (wheel,) = built.glob("*.whl")
    (tmp_path / "hand.png").write_bytes(GREEN)
    run(uv, "venv", "--quiet", "--python", interpreter(version), tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    run(uv, "pip", "install", "--quiet", f"--resolution={resolution}", "--python", python, wheel)
    (packages,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    sizes = {
        folder: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
        for folder in (packages / "signs", packages)
    }
    addresses = (server.address, f"http://127.0.0.1:{rest_port}")
    # Not from the checkout, which has a folder `signs` too.
    told = json.loads(run(python, "-c", ASK, "hand.png", *addresses, cwd=tmp_path))
    own, everything = sizes.values()
    print(
        f"Python {version}, {resolution}: {own:.2f} MB, {everything:.0f} MB in all, imported in "
        f"{told['import_s']:.2f} s: {told['names']}"
    )
    assert told["names"] == ["green"] * 4
    assert own < OWN_MB
    assert everything < ALL_MB
