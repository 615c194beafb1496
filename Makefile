# Set-up, checks and the demo. Everything runs in .venv, which the first target that needs it creates.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: env check format test demo clean
env: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { \
	  echo "This Python cannot create a virtual environment. On Debian/Ubuntu: apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --editable '.[gpu,dev]'
	@touch $@

check: env
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: env
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: env
	$(BIN)/python -m pytest

demo: env
	$(BIN)/python launch/study.py --config configs/study/demo.yaml

clean:
	rm -rf $(VENV) build *.egg-info
