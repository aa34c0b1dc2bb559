# Everything a developer or the CI does, by one name each. `make` alone lists them.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.SILENT:
.PHONY: help run test check format bench ledger sabotage oracles evidence pages lock image install clean services
MAKEFLAGS += --no-print-directory

export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

# The interpreter that makes .venv. Empty: the newest of python3.14 … python3.11, python3.
PYTHON ?=
# More words for the program that a target runs: make run ARGS="--help", make test ARGS="-k stripe -x"
ARGS ?=
UV := uv==0.13.8

VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml $(wildcard README.md LICENSE) \
           $(shell find gateway providers schemas -name __pycache__ -prune -o -print 2>/dev/null)
# Debian keeps servers where an ordinary user's PATH does not look.
SERVER_PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin:/usr/lib/rabbitmq/bin

# The whole suite waits more than it computes; a part of it is done before a second process has its servers.
SIDE_BY_SIDE := --numprocesses 2 --dist worksteal

help: ## List the targets
	awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(VENV)/.installed ## Run the gateway with everything embedded (ARGS="…"); Ctrl-C ends it
	exec $(BIN)/gateway dev $(ARGS)

test: $(VENV)/.dev $(VENV)/.installed services ## Check the code, build and install the wheel, test it (ARGS="-k …")
	$(check)
	PATH="$(SERVER_PATH)" $(BIN)/pytest $(or $(ARGS),$(SIDE_BY_SIDE))

check: $(VENV)/.dev ## Formatting, lint rules and types, changing nothing
	$(check)

format: $(VENV)/.dev ## Format the code and mend what can be mended
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/ruff format --quiet .

bench: $(VENV)/.dev $(VENV)/.installed services ## Measure gateway and workers beside what others use (ARGS="--quick")
	PYTHONPATH=tests PATH="$(SERVER_PATH)" $(BIN)/python -m bench $(ARGS)

ledger: $(VENV)/.dev $(VENV)/.installed services ## Account for every event through faults and kills (ARGS="--events 1000000 …")
	PYTHONPATH=tests PATH="$(SERVER_PATH)" $(BIN)/python -m ledger $(ARGS)

sabotage: $(VENV)/.dev $(VENV)/.installed services ## Break the product in many ways; a test must notice each (ARGS="spool …")
	PYTHONPATH=tests PATH="$(SERVER_PATH)" $(BIN)/python -m sabotage $(ARGS)

oracles: $(VENV)/.dev $(VENV)/.installed ## Let the senders' own libraries judge the adapters, and record what they say
	PYTHONPATH=tests $(BIN)/python -m oracles $(VENV)/oracles
	$(MAKE) evidence

evidence: $(VENV)/.dev $(VENV)/.installed ## Gather what proves each adapter (ARGS="the folder of real deliveries")
	PYTHONPATH=tests $(BIN)/python -m oracles.evidence $(ARGS)

# Not called after what it writes: providers is a folder, and what is installed depends on it.
pages: $(VENV)/.installed ## Write the pages in docs/ that are made from the program
	$(BIN)/gateway check --reference > docs/configuration.md
	$(BIN)/gateway check --json-schema > docs/config.schema.json
	$(BIN)/gateway providers --reference --evidence tests/gateway/adapters/evidence.yaml > docs/providers.md

lock: $(VENV)/.lock ## Write requirements/*.txt from pyproject.toml (UPGRADE=1: newest versions)
	$(lock) pyproject.toml --output-file requirements/runtime.txt
	$(lock) pyproject.toml --group dev --constraints requirements/runtime.txt --output-file requirements/dev.txt
	$(BIN)/python scripts/build-requirements | $(lock) - --constraints requirements/dev.txt --output-file requirements/build.txt

image: ## Build the container image
	docker build --tag webhook-gateway .

install: $(VENV)/.installed ## Make .venv and install the gateway into it

clean: ## Remove all that make made; ./var, the data of `make run`, stays
	rm -rf $(VENV) dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- how -------------------------------------------------------------------------------------------

define check
	$(BIN)/ruff format --check --quiet . || { echo "Not formatted as ruff would: run 'make format'." >&2; exit 1; }
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary
endef

lock = $(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
       --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

$(VENV)/.created:
	PYTHON="$(PYTHON)" scripts/create-venv $(VENV)
	touch $@

$(VENV)/.runtime: requirements/runtime.txt $(VENV)/.created
	echo "Installing the locked requirements …" >&2
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/runtime.txt
	touch $@

# dev.txt holds all of runtime.txt, at the same versions.
$(VENV)/.dev: requirements/dev.txt requirements/runtime.txt $(VENV)/.created
	echo "Installing the locked development requirements …" >&2
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.txt
	touch $@ $(VENV)/.runtime

# What makes the wheel is locked as well: pip would fetch the newest of it, whatever that is.
$(VENV)/.build: requirements/build.txt $(VENV)/.created
	$(BIN)/python -m venv --clear $(VENV)/build
	$(VENV)/build/bin/python -m pip install --quiet --require-hashes --requirement requirements/build.txt
	touch $@

# The wheel and not the source tree, so that what runs and is tested here is what users get.
$(VENV)/.installed: $(SOURCES) | $(VENV)/.runtime $(VENV)/.build
	rm -f dist/*.whl
	$(VENV)/build/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	$(BIN)/python -m pip install --quiet --no-deps --force-reinstall dist/*.whl
	touch $@

$(VENV)/.lock: $(VENV)/.created Makefile
	$(BIN)/python -m venv --clear $(VENV)/lock
	$(VENV)/lock/bin/python -m pip install --quiet $(UV)
	touch $@

services:
	PATH="$(SERVER_PATH)" scripts/install-services
