# `make` alone lists the commands.
SHELL = bash -o pipefail
PYTHON ?= python3
TEMPLATE = {{cookiecutter.algorithm_name}}
BIN = $(CURDIR)/.venv/bin
# A user's own files are checked less; the example is as strict as the rest.
YOURS = container/program/algorithm.py tests/test_algorithm.py
SHELL_FILES = .ci/run demo.sh benchmarks/*.sh tests/offline/*.sh '$(TEMPLATE)'/container/*.sh
# Caches stay out of the template's folder, of which cookiecutter would take them for a part, and of other checkouts.
CACHES = $(CURDIR)/.venv/caches
LOCK = $(BIN)/uv pip compile --quiet --system-certs --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --custom-compile-command 'make lock' $(UPGRADE)
export PYTHONDONTWRITEBYTECODE = 1
export RUFF_CACHE_DIR = $(CACHES)/ruff
export MYPY_CACHE_DIR = $(CACHES)/mypy

.DEFAULT_GOAL := help
.PHONY: help demo example test test-fast test-long test-all soak check bench setup docker lock

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-9s %s\n", $$1, $$2}' Makefile

demo: .venv/cookiecutter ## Scaffold a project, train, serve and predict with it, and clean up
	@./demo.sh

example: ## Copy an example over a new project: NAME=text DIR=../my-project
	@$(PYTHON) examples/copy_example.py "$$NAME" "$$DIR"

# A file's tests share a server or a registry, so they run in one process.
PYTEST = $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=10

test: setup ## Run all tests but their long forms, with and without Docker, in ten minutes
	@$(PYTEST) -m 'not slow'

test-fast: setup ## Run those of them that need no Docker, in two minutes
	@$(PYTEST) -m 'not slow and not docker'

test-long: setup ## Run the long forms alone
	@$(PYTEST) -m 'slow or page'

test-all: test test-long ## Run both: every test that this machine can run

soak: setup ## Run the faults, limits and generated inputs many times over, an hour or so
	@SOAK=1 $(BIN)/pytest -rP tests/serving/test_faults.py tests/serving/test_limits.py tests/serving/test_fuzz.py tests/generation

check: setup ## Run the linters and type checkers over the template and what it generates
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@cd '$(TEMPLATE)' && $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@cd '$(TEMPLATE)' && $(BIN)/ruff check --config 'lint.per-file-ignores = {"tests/*" = ["D"]}' $(YOURS)
	@$(BIN)/shellcheck $(SHELL_FILES) && $(BIN)/shfmt -d -i 2 -ci $(SHELL_FILES)
	@$(BIN)/hadolint '$(TEMPLATE)'/container/Dockerfile '$(TEMPLATE)'/stack/*Dockerfile '$(TEMPLATE)'/stack/*/Dockerfile
	@$(BIN)/cfn-lint --include-checks I -- '$(TEMPLATE)'/deploy/*.yml
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows '$(TEMPLATE)'/.github/workflows/*.yml
	@$(BIN)/check-jsonschema --builtin-schema vendor.dependabot '$(TEMPLATE)'/.github/dependabot.yml
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec '$(TEMPLATE)'/stack/compose*.yaml

bench: .venv/cookiecutter ## Measure serving beside a plain container, with wrk; OPTIONS=--quick, or --help (as root)
	@$(BIN)/python benchmarks/serving.py $(OPTIONS)

setup: .venv/ready ## Install what the tests need into .venv

docker: ## Give this Debian machine what the container tests need: engines, a registry, Apptainer, an emulator, images (root)
	@tests/offline/docker-up.sh
	@tests/offline/newer.sh
	@tests/offline/apptainer.sh || echo 'The tests that need Apptainer will be skipped.'
	@tests/offline/emulator.sh
	@tests/offline/postgresql.sh
	@for version in 3.11 3.12 3.13; do tests/offline/base-image.sh $$version || exit 1; done
	@tests/offline/postgres-image.sh

lock: setup ## Pin the packages after an edit of a requirements file
	@$(MAKE) --no-print-directory -C '$(TEMPLATE)' lock VENV=$(CURDIR)/.venv
	@$(LOCK) requirements.txt requirements-dev.txt $(addprefix '$(TEMPLATE)'/,requirements-dev.txt \
		container/requirements.txt container/requirements-training.txt container/requirements-serving.txt) -c '$(TEMPLATE)'/requirements-dev.lock -o requirements-dev.lock
	@$(LOCK) requirements.txt -c requirements-dev.lock -o requirements.lock
	@cd '$(TEMPLATE)' && $(LOCK) rehearsal/requirements.txt -c requirements-dev.lock -o rehearsal/requirements.lock
	@cd '$(TEMPLATE)' && for part in stack/*/requirements.txt; do \
		$(LOCK) $$part -o $${part%.txt}.lock || exit 1; done
	@for sdk in v2 v3; do \
		$(LOCK) tests/local_mode/requirements-$$sdk.txt -o tests/local_mode/requirements-$$sdk.lock || exit 1; done
	@$(MAKE) --no-print-directory setup

.venv/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: name one with PYTHON=python3.12." if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv .venv && touch $@

.venv/cookiecutter: requirements.lock | .venv/python
	@echo "installing cookiecutter into .venv"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.venv/ready: requirements-dev.lock | .venv/python
	@echo "installing what the tests need into .venv, which takes a minute or two"
	@$(BIN)/pip install --disable-pip-version-check --require-hashes -r $< | \
		while read -r verb package _; do case "$$verb" in \
			Collecting) printf '%s ' "$${package%%=*}" ;; Installing) echo '- installing' ;; esac; done
	@touch $@
