# make run: the console on this machine. make test: the tests. make check: lint, types, layers. make docs: what docs say of hooks, SDK and modules. make bench: the figures. make fuzz: a million mutated bodies.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
# for every Python from 3.11 and every platform: some dependencies are of some of them only
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url

.PHONY: run test test-slow check docs bench fuzz lock dist clean

run: $(VENV)/runtime
	$(BIN)/pilothouse up

test: $(VENV)/develop
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not slow and not kill" --cov --cov-report=term:skip-covered $(PYTEST)

test-slow: $(VENV)/develop
	$(BIN)/python -m pytest -m "slow or kill" -o faulthandler_timeout=0 $(PYTEST)

check: $(VENV)/develop
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/develop
	$(BIN)/python tests/contract/test_hook_reference.py
	$(BIN)/python tests/contract/test_sdk_reference.py
	$(BIN)/python tests/contract/test_module_map.py

bench: $(VENV)/develop
	$(BIN)/python -m tests.bench $(BENCH)

fuzz: $(VENV)/develop
	$(BIN)/python -m tests.fuzz $(FUZZ)

lock: $(VENV)/develop
	$(LOCK) --extra postgres --extra server --output-file requirements.txt setup.cfg
	$(LOCK) --extra postgres --extra server --extra channels --extra test --extra dev --output-file requirements-dev.txt setup.cfg

dist: $(VENV)/develop
	$(BIN)/python -m build --no-isolation --wheel --outdir dist .
	$(BIN)/python -m build --no-isolation --wheel --outdir dist client

clean:
	rm -rf $(VENV) dist build *.egg-info

$(VENV)/pip:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Pilothouse needs Python 3.11 or newer')"
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/runtime: $(VENV)/pip requirements.txt setup.cfg
	$(PIP) install --require-hashes -r requirements.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/develop: $(VENV)/pip requirements-dev.txt setup.cfg
	$(PIP) install --require-hashes -r requirements-dev.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@ $(VENV)/runtime
