PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed

.PHONY: demo test install

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install -e '.[test]'
	touch $@

demo: $(INSTALLED)
	$(VENV)/bin/python -W ignore tools/demo.py

test: $(INSTALLED)
	$(VENV)/bin/python -m pytest
