# Every target makes the environment that it needs; nothing but Python 3.11/3.12 and a C++ compiler has to be there first.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: setup demo test check bench chaos fuzz lock clean

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip==26.3
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

demo: setup  ## the whole system on this machine, then its summary
	$(BIN)/penstock demo $(ARGS)

test: setup  ## unit, contract, golden and integration tests (real broker, real Redis)
	$(BIN)/python -m pytest $(ARGS)

check: setup  ## lint, format, types, layers, dead code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture

bench: setup  ## all benchmarks, one JSON file and a table
	$(BIN)/python -m benchmarks $(ARGS)

chaos: setup  ## kill -9 everything under load, then a recount
	$(BIN)/python -m pytest tests/chaos --ignore=tests/chaos/fuzz -m chaos -s $(ARGS)

fuzz: setup  ## generated records of every input over the real broker; ARGS="--records 1000000 --minutes 30 --seed 0 --report fuzz.json"
	$(BIN)/python -m pytest tests/chaos/fuzz -m chaos -s $(ARGS)

lock: setup  ## pin every dependency anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet pyproject.toml --all-extras --universal --python-version 3.11 --no-emit-index-url --no-header --generate-hashes --output-file requirements.lock

clean:
	rm -rf $(VENV) .penstock .mypy_cache .ruff_cache .pytest_cache .hypothesis
