PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALLED := $(VENV)/.installed
TESTABLE := $(VENV)/.testable
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help lab test report speed data notebooks lint clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  (the same from Python: $(BIN)/python -m kit --help)"

lab: $(INSTALLED) ## set up and open JupyterLab on the first notebook, in your copy of them (my_notebooks/)
	$(BIN)/python -m kit lab

test: $(TESTABLE) ## set up and run all tests, in two processes (WORKERS=0: in one)
	$(BIN)/python -m pytest -n $(WORKERS)

report: $(INSTALLED) ## investigate without a notebook and write findings/zero-loss.html
	$(BIN)/python -m kit investigate --out findings/zero-loss.html

speed: $(TESTABLE) ## time loss, generator and sliders side by side with what they replace
	$(BIN)/python -m tests.speed

data: $(INSTALLED) ## regenerate data/
	$(BIN)/python -m kit data

notebooks: $(TESTABLE) ## run all notebooks and store their static evidence
	$(BIN)/python -m tests.evidence

lint: $(TESTABLE) ## check the style and the types
	$(PIP) install --quiet --constraint constraints.txt --editable '.[lint]'
	$(BIN)/ruff check kit tests
	$(BIN)/ruff format --check kit tests
	$(BIN)/mypy

clean: ## remove the environment and everything generated; your copy of the notebooks stays
	rm -rf $(VENV) findings .pytest_cache .ruff_cache .mypy_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python >= 3.11 is needed. Found: $$($(PYTHON) --version 2>&1). Set it with: make PYTHON=/path/to/python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable .
	@# the news pop-up of JupyterLab asks to go online; this environment never does
	$(BIN)/python -m jupyter labextension disable --level=sys_prefix @jupyterlab/apputils-extension:announcements > /dev/null 2>&1
	@touch $@

$(TESTABLE): $(INSTALLED)
	$(PIP) install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@
