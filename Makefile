# The same targets serve a developer, CI and the pipeline. `make help` lists them.
# `make PYTHON=…` chooses the interpreter of .venv.
export PYTHON ?=
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
# Everything that is fetched stays inside the clone.
export UV_CACHE_DIR ?= $(CURDIR)/.cache/uv
export PIP_CACHE_DIR ?= $(CURDIR)/.cache/pip

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.ready  ## make .venv from the lock

# pip fetches only the fast installer, by the lock's own hashes; that one brings the rest.
$(VENV)/.ready: requirements.lock pyproject.toml
	@python=$$(./find-python); version='import pip, sys; print(sys.version)'; \
	    [ "$$($(BIN)/python -c "$$version" 2>&1)" = "$$("$$python" -c "$$version" 2>&1)" ] \
	    || "$$python" -m venv --clear $(VENV)
	@mkdir -p .cache
	@awk '/^uv==/ { found = 1; print; next } found && /^ / { print; next } found { exit }' requirements.lock > .cache/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .cache/uv.txt
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: lock
lock:  ## resolve pyproject.toml into requirements.lock again
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --all-extras \
	    --group dev --no-annotate --no-header pyproject.toml -o requirements.lock

.PHONY: lint
lint: setup  ## every linter, no exceptions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: test
test: setup  ## every test; on a clean clone nothing else is needed
	$(BIN)/pytest

.PHONY: clean
clean:  ## remove everything that was made here
	rm -rf $(VENV) .cache .local build reports
