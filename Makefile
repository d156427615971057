# Everything runs inside .venv, made from the pinned constraints; nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install quickstart test check format soak bench clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

quickstart: install
	$(BIN)/hone quickstart

test: install
	$(BIN)/pytest -n 2

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

soak: install
	$(BIN)/pytest -m soak -s --timeout 3600

bench: install
	$(BIN)/python -m benchmarks.speed $(ARGS)

clean:
	rm -rf $(VENV) benchmarks/.venv-trl benchmarks/.cache build dist src/*.egg-info
