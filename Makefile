# make demo   set up .venv, then discover Bi-Se phases (21 minutes with set-up on two cores of a slow machine)
# make test   set up .venv with the test tools, then run the whole test suite
# make test-fast   run only unit tests: none is slow, needs MongoDB, trains networks, starts processes or runs rounds
# make lint   run ruff and mypy      make setup   set up only .venv    make clean   remove .venv and caches
# make docs   set up .venv with the tools of the documentation, run the notebooks, build the site in site/; a warning is an error
# PYTHON=/path/to/python chooses the interpreter of .venv.
.PHONY: demo test test-fast lint docs setup clean
.DELETE_ON_ERROR:

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
DEMO_ARGS ?=
PYTEST_ARGS ?=

demo: .venv/.runtime
	$(BIN)/ccdcgan-al run Bi-Se $(DEMO_ARGS)

test: .venv/.test
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-fast: .venv/.test
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile -m 'not slow and not integration' --timeout 60 $(PYTEST_ARGS)

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	find ccdcgan_al workflows launchpad -name '*.py' | xargs $(BIN)/numpydoc lint

docs: .venv/.docs
	$(BIN)/mkdocs build --strict

setup: .venv/.runtime

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 to 3.13 with the modules venv and ensurepip was found;" \
		"install one (Debian: apt-get install python3 python3-venv), or give its path: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv .venv

# stamp files: an installation is repeated only if a lock file or pyproject.toml is newer
.venv/.runtime: requirements.lock pyproject.toml | .venv/bin/python
	$(PIP) install -q -r requirements.lock
	$(PIP) install -q --no-deps --no-build-isolation -e .
	touch $@

.venv/.test: requirements-test.lock .venv/.runtime
	$(PIP) install -q -r requirements-test.lock
	touch $@

.venv/.docs: requirements-docs.lock .venv/.runtime
	$(PIP) install -q -r requirements-docs.lock
	touch $@

clean:
	rm -rf .venv site .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
