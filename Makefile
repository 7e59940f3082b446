# Two commands are all a newcomer needs: `make run` plays every scenario, `make test` runs the tests.
# Both create .venv and install the pinned dependencies first, once.

PYTHON ?= python3
BIN := .venv/bin
SEEDS ?= 5

.PHONY: run test lint bench clean

run: .venv/run
	$(BIN)/fumble run --seeds $(SEEDS)

test: .venv/dev
	$(BIN)/python -m pytest

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/dev
	$(BIN)/python -m tests.benchmarks

clean:
	rm -rf .venv reports/out

.venv/run: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/dev: .venv/run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
