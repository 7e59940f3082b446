# Two commands are all a newcomer needs: `make run` plays every scenario, `make test` runs the tests.
# Both create .venv and install the pinned dependencies first, once.

PYTHON ?= python3
BIN := .venv/bin
SEEDS ?= 5
FUZZ_SECONDS ?= 60
# Many tests mostly wait, for processes and for real time: two workers a core keep it busy.
WORKERS ?= $(shell echo $$(( $$(nproc 2>/dev/null || echo 2) * 2 )))
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# For what is installed and for what it is built with (the second name is that of pip 25.3 and later).
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt

.PHONY: run test lint fuzz bench clean

run: .venv/run
	$(BIN)/fumble run --seeds $(SEEDS)

test: .venv/dev
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder $(if $(CI),-p tests.no_skips_in_ci)

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fuzz: .venv/fuzz
	$(BIN)/python -m tests.fuzz $(FUZZ_SECONDS)

bench: .venv/dev
	$(BIN)/python -m tests.benchmarks

clean:
	rm -rf .venv reports/out

.venv/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fumble needs Python 3.11 or later; name one: make PYTHON=python3.12")'
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	touch $@

.venv/run: .venv/pip pyproject.toml constraints.txt
	$(PIP) --editable .
	touch $@

.venv/dev: .venv/run
	$(PIP) --editable '.[dev]'
	touch $@

.venv/fuzz: .venv/dev
	$(PIP) --only-binary atheris --editable '.[dev,fuzz]' || echo "no atheris for this Python: Hypothesis fuzzes without it"
	touch $@
