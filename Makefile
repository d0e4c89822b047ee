# make run    set up and start Postroom with its demo, at http://127.0.0.1:8080
# make test   set up and run every check: style, types, tests against real servers
# make bench  measure against the goals of docs/performance.md
# make soak   kill workers every two seconds for SOAK_SECONDS on both databases, and count what was lost or repeated
# make fuzz-api  call every path of the API with API_EXAMPLES generated requests on both databases
# make fuzz   read mutated mails for FUZZ_SECONDS, and keep in var/fuzz what breaks something

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NO_SKIP ?= 0
WORKERS ?= 3

SOAK_SECONDS ?= 60
FUZZ_SECONDS ?= 60
API_EXAMPLES ?= 100

.PHONY: run test check bench soak fuzz fuzz-api clean

run: $(VENV)/run.stamp
	@.ci/debian run
	@$(BIN)/postroom run --demo

test: $(VENV)/test.stamp
	@.ci/debian test
	@$(MAKE) --no-print-directory check
	NO_SKIP=$(NO_SKIP) $(BIN)/pytest -n $(WORKERS) --dist worksteal

check: $(VENV)/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/test.stamp
	@.ci/debian test
	@$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation -e '.[bench]'
	$(BIN)/python -m tests.benchmarks

soak: $(VENV)/test.stamp
	$(BIN)/python -m tests.faults.soak --seconds $(SOAK_SECONDS)

# Atheris follows the code; where it cannot be installed, mails are mutated blindly.
fuzz: $(VENV)/test.stamp
	-@$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation -e '.[fuzz]'
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

fuzz-api: $(VENV)/test.stamp
	API_EXAMPLES=$(API_EXAMPLES) $(BIN)/pytest tests/web/test_schemathesis.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Postroom needs Python 3.11 or later" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: .ci/run.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing packages into $(VENV) ..."
	@[ -e $(VENV)/test.stamp ] || $(BIN)/pip install -q --disable-pip-version-check --require-hashes -r .ci/run.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/test.stamp: .ci/test.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing packages into $(VENV) ..."
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r .ci/test.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Resolve the dependencies anew; the two files name no address, so any index serves.
LOCK := $(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11 -q
lock: $(VENV)/bin/python
	$(BIN)/pip install -q uv
	$(LOCK) --extra build --extra pg -o .ci/run.lock
	$(LOCK) --extra build --extra pg --extra dev -o .ci/test.lock
.PHONY: lock
