PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-fast lint smoke docs faults install

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install -e '.[test]'
	touch $@

demo: $(INSTALLED)
	$(VENV)/bin/python -W ignore tools/demo.py

# one thread a process, as many processes as there are cores, at most four: each takes more than a gigabyte
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n auto --maxprocesses 4 --dist worksteal

# what neither trains nor starts processes: for daily work
test-fast: $(INSTALLED)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n auto --maxprocesses 4 --dist worksteal -m "not slow"

# ruff and mypy as pyproject.toml sets them; .pre-commit-config.yaml runs the same
lint: $(INSTALLED)
	$(VENV)/bin/python -m pip install --quiet -e '.[lint]'
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

# the wheel in an empty environment
smoke: $(INSTALLED)
	$(VENV)/bin/python -W ignore -m tests.smoke

docs: $(INSTALLED)
	$(VENV)/bin/python -m pip install --quiet -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

faults: $(INSTALLED)
	$(VENV)/bin/python -W ignore -m tests.faults
