# make run         - set everything up, then run the whole pipeline (DATA=path for your own images)
# make test        - set everything up, then lint, check types and imports, and test (WORKERS=2)
# make test-native - make test in a root of Debian 13, with its Python 3.13 and glibc 2.41
# make test-image  - build the image and run the pipeline in it (root; Debian's docker.io, mmdebstrap)
# make test-engine - run the DAG on Prism, an engine of Beam's, with two pools of workers (needs Go)
# make test-cluster - run the manifests and runs on Kubernetes' own programs (root; Go, kubectl)
# make protos      - write TF Serving's messages in signs/protos anew from the locked packages
# make lock        - write the locks in requirements/ anew (ARGS=--upgrade for newer versions)

PYTHON ?=
DATA ?= synthetic
WORKERS ?= 2

BIN := .venv/bin
UV := $(BIN)/uv

ENGINE := .engine

.PHONY: help setup run test test-native test-image test-cluster test-engine test-slow lint browser lock protos \
    setup-gpu clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

# Any Python runs the installer, which finds the one for .venv. It does nothing where that was done.
setup:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 6))' 2>/dev/null; then \
	        exec env PYTHONSAFEPATH= $$python -B -m requirements.install $(PYTHON); \
	    fi; \
	done; \
	echo "Cannot be set up here: no Python is on the PATH. Install CPython 3.13, 3.12 or 3.11." >&2; \
	exit 2

$(UV):
	@$(MAKE) setup

setup-gpu: setup
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --require-hashes \
	    --requirement requirements/gpu.txt

run: setup
	$(BIN)/signs run --data "$(DATA)" $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The web page is tested in a browser. Where there is none and we may, Debian's is installed; those
# tests are skipped without it.
browser:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! command -v chromium >/dev/null; then \
	    echo "Installing Debian's chromium: the web page is tested in it"; \
	    (timeout 60 apt-get update && DEBIAN_FRONTEND=noninteractive \
	        timeout 600 apt-get install --yes --no-install-recommends chromium) >/dev/null 2>&1 \
	        || echo "It could not be installed: the page's tests will be skipped"; \
	fi

test: lint browser
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile \
	    --no-loadscope-reorder --max-worker-restart 0 --durations 15 --durations-min 5 $(ARGS)

test-native:
	tests/native.sh make test WORKERS=$(WORKERS) ARGS="$(ARGS)"

# The daemon's data stay in .native/image (12 GB), so that a second run builds what has changed.
test-image: setup
	$(BIN)/python -m pytest tests/image --timeout 7200 $(ARGS)

# The programs stay in build/cluster: the first run builds them, for half an hour of one core.
test-cluster: setup
	$(BIN)/python -m pytest tests/cluster --timeout 3600 $(ARGS)

test-slow: setup
	$(BIN)/python -m pytest -m slow $(ARGS)

# Prism comes as source, of the version of the environment's Beam: two minutes of a core, once.
$(ENGINE)/prism: | setup
	GOBIN="$(CURDIR)/$(ENGINE)" go install "github.com/apache/beam/sdks/v2/go/cmd/prism@v$$($(BIN)/python \
	    -c 'from importlib import metadata; print(metadata.version("apache-beam"))')"

test-engine: setup $(ENGINE)/prism
	PRISM="$(CURDIR)/$(ENGINE)/prism" $(BIN)/python -m pytest -rA tests/engine/whole_dag.py $(ARGS)

protos: setup
	$(BIN)/python -m signs.protos.generator

# The native lock is for all its Pythons and systems at once. Versions that are locked stay unless
# ARGS says otherwise.
COMPILE = $(UV) pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links \
    --python-version 3.11 --custom-compile-command "make lock" $(ARGS)
OLD_GLIBC := --python-platform x86_64-manylinux_2_28

lock: | $(UV)
	$(COMPILE) --universal requirements/project.in --output-file requirements/native.txt
	$(COMPILE) $(OLD_GLIBC) --override requirements/old-glibc-overrides.txt \
	    requirements/project.in --output-file requirements/old-glibc.txt
	$(COMPILE) $(OLD_GLIBC) --constraint requirements/native.txt \
	    --constraint requirements/old-glibc.txt requirements/gpu.in \
	    --output-file requirements/gpu.txt
	$(COMPILE) --universal --no-deps requirements/cpu.in --output-file requirements/cpu.txt
	$(COMPILE) --universal requirements/uv.in --output-file requirements/uv.txt

# Both names are of folders that make alone fills; nothing is ever mounted in the second from outside.
clean:
	rm -rf .venv .native $(ENGINE) build *.egg-info
