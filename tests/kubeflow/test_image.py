"""The image's recipe: linted, and tried as far as that goes without a container runtime.

What COPY would take, as .dockerignore lets it through, is laid out as in the image, and run there.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

DOCKERFILE = ROOT / "kubeflow" / "Dockerfile"
PACKAGES = (
    "components",
    "data",
    "drawing",
    "model_server",
    "modules",
    "pipeline",
    "serving",
    "signs",
    "trust",
    "kubeflow",
)

Instruction = tuple[str, str]


def _stages(text: str) -> list[list[Instruction]]:
    """The instructions of each stage; those before the first FROM are left out."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    stages: list[list[Instruction]] = []
    for line in filter(str.strip, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages.append([])
        if stages:
            stages[-1].append((word, " ".join(rest.split())))
    return stages


(BASE, *_), LOCKED, CODE, FINAL = _stages(DOCKERFILE.read_text())


def _lint(path: Path) -> tuple[int, set[str]]:
    hadolint = Path(sys.executable).with_name("hadolint")
    linted = subprocess.run([hadolint, path], capture_output=True, text=True, check=False)
    return linted.returncode, set(re.findall(r"\b(?:DL|SC)\d{4}\b", linted.stdout))


def test_the_linter_has_nothing_to_say():
    assert _lint(DOCKERFILE) == (0, set())


@pytest.mark.parametrize(
    ("right", "wrong", "code"),
    [
        (r"--no-deps --require-hashes \\\s+--requirement /locks/uv.txt", "uv", "DL3013"),
        (" --no-cache-dir", "", "DL3042"),
        (" --no-install-recommends", "", "DL3015"),
        (r"python:3[\w.-]+@sha256:\w+", "python:latest", "DL3007"),
        ("USER 10001:10001", "USER 0:0", "DL3002"),
        ("COPY components", "ADD components", "DL3020"),
        (r"WORKDIR /app", "WORKDIR app", "DL3000"),
        (r'CMD \["signs", "--help"\]', "CMD signs --help", "DL3025"),
    ],
)
def test_the_linter_finds_a_fault(tmp_path, right, wrong, code):
    text, count = re.subn(right, wrong, DOCKERFILE.read_text())
    assert count
    (tmp_path / "Dockerfile").write_text(text)
    assert _lint(tmp_path / "Dockerfile") == (1, {code})


def test_one_base_by_its_digest():
    assert re.fullmatch(r"python:3\.13\.\d+-slim-trixie@sha256:[0-9a-f]{64} AS base", BASE[1])
    assert [stage[0][1] for stage in (LOCKED, CODE, FINAL)] == [
        "base AS packages", "packages AS code", "base",
    ]  # fmt: skip


def test_the_last_stage_runs_nothing_and_is_nobody_in_particular():
    assert {word for word, _ in FINAL} == {"FROM", "LABEL", "COPY", "ENV", "WORKDIR", "USER", "CMD"}
    assert ("USER", "10001:10001") in FINAL
    assert [rest for word, rest in FINAL if word == "COPY"] == [
        "--from=packages /opt/signs /opt/signs",
        "--from=code /app /app",
    ]


def test_the_packages_know_no_code():
    assert [rest.split()[0] for word, rest in LOCKED if word == "COPY"] == ["requirements/uv.txt"]
    copied = [rest.split()[0] for word, rest in CODE if word == "COPY"]
    assert copied == ["setup.py", *PACKAGES]


def test_all_that_is_installed_from_a_lock_is_checked():
    commands = re.split("&&|;;|esac", " ".join(rest for word, rest in LOCKED if word == "RUN"))
    installs = [command for command in commands if "pip install" in command]
    assert [re.findall(r"--requirement \"?/locks/([^.]+)", command) for command in installs] == [
        ["uv"], ["native", "${VARIANT}"],
    ]  # fmt: skip
    assert all("--require-hashes" in command and "--no-deps" in command for command in installs)
    (own,) = [rest for word, rest in CODE if "pip install" in rest]
    assert "--no-build-isolation" in own  # what builds it is locked as well


def test_nothing_tells_where_packages_come_from():
    text = DOCKERFILE.read_text()
    assert "://" not in text
    assert "index-url" not in text


def test_what_is_left_out_is_what_no_step_imports():
    """As the lock's own comments have it: a package, and below it who asks for it."""
    lock = (ROOT / "requirements" / "native.txt").read_text()
    asked_by = {}
    for entry in re.split(r"\n(?=\S)", lock):
        name = entry.partition("==")[0]
        asked_by[name] = set(re.findall(r"^    #(?:   | via )(?!  )(?:via )?(\S.*)$", entry, re.M))
    wanted = (ROOT / "requirements" / "project.in").read_text()
    left_out = set(
        re.findall(r"^[\w-]+$", wanted.partition("# Development\n")[2].partition("\n\n")[0], re.M)
    )
    left_out |= {"ipykernel", "nbclient"}
    # These are asked for by packages that we need, for what we do not do.
    left_out |= {"google-cloud-aiplatform", "jedi", "libclang", "tensorboard-data-server"}
    while more := {
        name
        for name, asking in asked_by.items()
        if name not in left_out and asking and asking <= left_out
    }:
        left_out |= more
    listed = (ROOT / "requirements" / "not-in-image.txt").read_text()
    assert set(re.findall(r"^[\w.-]+$", listed, re.M)) == left_out


def test_no_step_imports_what_is_left_out():
    left_out = {
        "hypothesis",
        "importlinter",
        "jedi",
        "kubernetes_validate",
        "mypy",
        "nbclient",
        "playwright",
        "pytest",
    }
    for path in (file for package in PACKAGES for file in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not left_out & {name.partition(".")[0] for name in names}, path


# What goes in


def _ignored(name: str) -> bool:
    """Whether `.dockerignore` keeps a file out: the last pattern that is for it, or a folder of it.

    Patterns start at the context's root (moby/patternmatcher, MatchesOrParentMatches).
    """
    places = [name, *map(str, Path(name).parents)]
    ignored = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = re.escape(line.removeprefix("!"))
            pattern = pattern.replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
            if any(re.fullmatch(pattern, place) for place in places if place != "."):
                ignored = not line.startswith("!")
    return ignored


def _lay_out(context: Path, root: Path) -> None:
    """Does what the build stage's COPYs do; `root` stands for `/`."""
    files = [path.relative_to(context) for path in context.rglob("*") if path.is_file()]
    taken = [file for file in files if not _ignored(str(file))]
    for sources, target in (
        (rest.split()[:-1], rest.split()[-1]) for word, rest in CODE if word == "COPY"
    ):
        for source in sources:
            found = [file for file in taken if file.is_relative_to(source)]
            assert found, f"COPY finds no {source}"
            for file in found:
                into = (
                    root
                    / target.lstrip("/")
                    / (file.relative_to(source) if file != Path(source) else file)
                )
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(context / file, into)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that stands for the image's `/`."""
    root = tmp_path_factory.mktemp("image")
    context = root / "context"
    context.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(lambda name: (ROOT / name).is_file(), listed.stdout.splitlines()):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, context / name)
    _lay_out(context, root)
    shutil.rmtree(context)
    return root


def test_the_app_holds_the_code_and_nothing_else(image):
    assert sorted(path.name for path in (image / "app").iterdir()) == sorted(
        [*PACKAGES, "setup.py", "pyproject.toml"]
    )
    suffixes = {path.suffix for path in (image / "app").rglob("*") if path.is_file()}
    assert suffixes <= {
        ".py", ".pyi", ".typed", ".toml", ".md", ".pbtxt", ".binpb", ".html", ".css", ".js", ".svg",
        ".txt",
    }  # fmt: skip
    assert not (image / "app/kubeflow/manifests").exists()
    assert (image / "app/data/schema/schema.pbtxt").is_file()
    assert (image / "app/model_server/page/index.html").is_file()


@pytest.mark.parametrize(
    "name",
    [
        ".git/config", ".venv/bin/python", "workspace/data/signs/span-1/v-1/manifest.json",
        "docs/serving.md", "tests/conftest.py", "pipeline.yaml", ".env", "kubeflow/.env",
        "kubeflow/manifests/base/access.yaml", "kubeflow/Dockerfile",
        "kubeflow/cluster-example.yaml", "modules/__pycache__/features.cpython-311.pyc",
        "signs_pipeline.egg-info/PKG-INFO",
    ],
)  # fmt: skip
def test_the_build_does_not_see(name):
    assert _ignored(name)


def _run(image: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs a command with the environment of the image."""
    (env,) = [rest for word, rest in FINAL if word == "ENV"]
    environment = {**dict(pair.split("=", 1) for pair in env.split()), **more}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment["PYTHONPATH"] = str(image / "app")
    return subprocess.run(
        command, cwd=image / "app", env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_python_finds_the_code_in_the_app(image, package):
    ran = _run(image, "python", "-c", f"import {package}; print({package}.__path__[0])")
    assert ran.stdout.strip() == str(image / "app" / package), ran.stderr


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["signs", "--help"], "doctor"),
        (["signs", "submit", "--help"], "--host"),
        (["signs", "ingest", "--help"], "--max-rejected"),
        (["signs", "versions", "--help"], "--address"),
    ],
)
def test_a_command_of_the_manifests_starts(image, command, text):
    ran = _run(image, *command)
    assert ran.returncode == 0, ran.stderr
    assert text in ran.stdout


def test_the_entrypoint_starts(image):
    """Far enough to miss its arguments: it asks for them before it imports TFX."""
    ran = _run(image, "python", "-m", "kubeflow.step.entrypoint")
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert "--executor_class_path" in ran.stderr


COMPILE = """
import sys

import kubeflow.commands.main
import kubeflow.step.adapter  # what a step needs; TFX itself is the lock's
from kubeflow.compiling.compiler import compile_pipeline
from kubeflow.compiling.options import ClusterOptions, TrainingOptions
from pipeline.config import Data, default_config, override

data = Data("signs", None, ("zero", "one"), {"train": 8, "eval": 4, "test": 4})
config = override(default_config(data), ["warm_start=true", "tune.trials=2", "schema=infer"])
training = TrainingOptions(gpu=1, node_selector={"pool": "gpu", "a": "b"})
options = ClusterOptions(image=f"signs@sha256:{'0' * 64}", training=training)
text = compile_pipeline(config, options)
"""


def test_the_app_compiles_the_same_bytes_as_the_checkout(image):
    """In another process, of another language, at another place."""
    odd = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    ran = _run(image, "python", "-c", f"{COMPILE}\nsys.stdout.write(text)", **odd)
    assert ran.returncode == 0, ran.stderr
    here: dict[str, str] = {}
    exec(COMPILE, here)
    assert ran.stdout == here["text"]
    assert str(ROOT) not in ran.stdout and str(image) not in ran.stdout


def test_bytecode_is_trusted_and_made_by_one_process():
    text = " ".join(rest for stage in (LOCKED, CODE) for _, rest in stage)
    compiled = re.findall(r"-m compileall ([^&]*)", text)
    assert compiled and all("--invalidation-mode unchecked-hash" in one for one in compiled)
    assert not [one for one in compiled if re.search(r"-j|--workers", one)]
    assert "PYTHONDONTWRITEBYTECODE=1" in text and "--compile-bytecode" not in text
