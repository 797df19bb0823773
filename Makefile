# make run   - set everything up, then run the whole pipeline (DATA=path for your own images)
# make test  - set everything up, then lint, check types and imports, and test (WORKERS=2)
# make protos - write TF Serving's messages in signs/protos anew from the locked packages
# make lock  - pin requirements.txt anew from requirements.in and overrides.txt

PYTHON ?= python3.11
DATA ?= synthetic
WORKERS ?= 2
UV_VERSION := 0.13.9

BIN := .venv/bin
UV := $(BIN)/uv
READY := .venv/.ready

.PHONY: help setup run test test-slow lint browser lock protos setup-gpu clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

setup: $(READY)

$(UV):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "CPython 3.11 is needed, found " + sys.version)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# The lock is installed as it stands (no resolving) and byte-compiled: `import tfx` takes three
# times as long where .pyc files are missing and cannot be written.
$(READY): requirements.txt setup.py signs/pyproject.toml Makefile | $(UV)
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --compile-bytecode -r requirements.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable ./signs --editable .
	@touch $@

setup-gpu: $(READY)
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -r requirements-gpu.txt

run: $(READY)
	$(BIN)/signs run --data "$(DATA)" $(ARGS)

lint: $(READY)
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
	    --max-worker-restart 0 $(ARGS)

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow $(ARGS)

protos: $(READY)
	$(BIN)/python -m signs.protos.generator

lock: | $(UV)
	$(UV) pip compile --quiet --python-version 3.11 --no-emit-index-url --no-emit-find-links \
	    --custom-compile-command "make lock" \
	    --override overrides.txt requirements.in --output-file requirements.txt
	$(UV) pip compile --quiet --python-version 3.11 --no-emit-index-url --no-emit-find-links \
	    --custom-compile-command "make lock" \
	    --constraint requirements.txt requirements-gpu.in --output-file requirements-gpu.txt

clean:
	rm -rf .venv build *.egg-info
