# Two commands: `make run` shows the whole platform on the playground pool, `make test` checks everything.
# Nothing is assumed but Python 3.11 to 3.13 and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: run test format clean

run: $(VENV)/.run
	@$(BIN)/erp run --pool playground

test: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) warehouse/playground warehouse/playground.duckdb warehouse/.dagster

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 to 3.13 is needed, not %d.%d; try: make PYTHON=python3.12 ..." % sys.version_info[:2] if not (3, 11) <= sys.version_info[:2] <= (3, 13) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing into $(VENV): once, a few minutes"
	@$(PIP) --editable ".[playground]"
	@touch $@

$(VENV)/.test: $(VENV)/.run
	@echo "Installing the tools of the tests: once"
	@$(PIP) --editable ".[playground,dev]"
	@touch $@
