PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed
DEMO := $(VENV)/.demo
LINT := $(VENV)/.lint

.PHONY: demo test test-fast check lint smoke newest docs faults install

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install -e '.[test]'
	touch $@

# what the demo needs, which tests and other commands are not among
$(DEMO): pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -e '.[video]'
	touch $@

$(LINT): $(INSTALLED)
	$(VENV)/bin/python -m pip install --quiet -e '.[lint]'
	touch $@

demo: $(DEMO)
	$(VENV)/bin/python -W ignore tools/demo.py

# one thread a process, as many processes as there are cores, at most four: each takes more than a gigabyte
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n auto --maxprocesses 4 --dist worksteal

# what neither trains nor starts processes: for daily work
test-fast: $(INSTALLED)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n auto --maxprocesses 4 --dist worksteal -m "not slow"

# what a commit needs, in about a minute: lint, types, and of the tests of what has changed those that train nothing
check: lint
	tests=$$($(VENV)/bin/python -m tests.changed) || exit 1; test -z "$$tests" || \
		OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -q -m "not slow" $$tests || test $$? -eq 5  # 5: all are slow

# ruff and mypy as pyproject.toml sets them; .pre-commit-config.yaml runs the same
lint: $(LINT)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

# the wheel in an empty environment
smoke: $(INSTALLED)
	$(VENV)/bin/python -W ignore -m tests.smoke

# the newest of everything in an environment of its own, and what breaks; --folder of it keeps that
newest: $(INSTALLED)
	$(VENV)/bin/python -W ignore -m tests.newest

docs: $(INSTALLED)
	$(VENV)/bin/python -m pip install --quiet -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

faults: $(INSTALLED)
	$(VENV)/bin/python -W ignore -m tests.faults
