PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed

.PHONY: demo test smoke docs faults install

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

# the wheel in an empty environment
smoke: $(INSTALLED)
	$(VENV)/bin/python -W ignore -m tests.smoke

docs: $(INSTALLED)
	$(VENV)/bin/python -m pip install --quiet -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

faults: $(INSTALLED)
	$(VENV)/bin/python -W ignore -m tests.faults
