# Everything a developer or the CI does, by one name each. `make` alone lists them; scripts/ has what is longer than a line.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.SILENT:
.PHONY: help run test check format coverage bench instructions ledger sabotage oracles evidence pages lock dist image install clean services
MAKEFLAGS += --no-print-directory

# The interpreter that makes .venv. Empty: the newest of python3.14 … python3.11, python3.
PYTHON ?=
# More words for the program that a target runs: make run ARGS="--help", make test ARGS="-k stripe -x"
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml config.yaml $(wildcard README.md LICENSE) \
           $(shell find gateway providers schemas -name __pycache__ -prune -o -print 2>/dev/null)
# The whole suite waits more than it computes; a part of it is done before a second process has its servers.
SIDE_BY_SIDE := --numprocesses 2 --dist worksteal

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHON UPGRADE
# Debian keeps servers where an ordinary user's PATH does not look.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin:/usr/lib/rabbitmq/bin
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

help: ## List the targets
	awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(VENV)/.installed ## Run the gateway with everything embedded (ARGS="…"); Ctrl-C ends it
	exec $(BIN)/gateway dev $(ARGS)

test: check $(VENV)/.installed services ## Check the code, build and install the wheel, test it (ARGS="-k …")
	$(BIN)/pytest $(or $(ARGS),$(SIDE_BY_SIDE))

check: $(VENV)/.dev ## Formatting, lint rules, types, spelling and metadata, changing nothing
	scripts/check $(BIN)

format: $(VENV)/.dev ## Format the code and mend what can be mended
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/ruff format --quiet .

coverage: $(VENV)/.dev $(VENV)/.installed services ## Run the tests of the rooms and fail where too few branches are taken
	scripts/coverage $(BIN) $(or $(ARGS),$(SIDE_BY_SIDE) tests/gateway tests/e2e/test_cli.py)

bench: ## Measure gateway and workers beside what others use (ARGS="--quick")
instructions: ## Count the instructions of the gateway for each request (ARGS="--functions forged")
ledger: ## Account for every event through faults and kills (ARGS="--events 1000000 …")
sabotage: ## Break the product in many ways; a test must notice each (ARGS="spool …")
bench ledger sabotage: $(VENV)/.dev $(VENV)/.installed services
	PYTHONPATH=tests $(BIN)/python -m $@ $(ARGS)

instructions: $(VENV)/.dev $(VENV)/.installed services
	PYTHONPATH=tests $(BIN)/python -m bench.instructions $(ARGS)

oracles: $(VENV)/.dev $(VENV)/.installed ## Let the senders' own libraries judge the adapters, and record what they say
	PYTHONPATH=tests $(BIN)/python -m oracles $(VENV)/oracles
	$(MAKE) evidence

evidence: $(VENV)/.dev $(VENV)/.installed ## Gather what proves each adapter (ARGS="the folder of real deliveries")
	PYTHONPATH=tests $(BIN)/python -m oracles.evidence $(ARGS)

pages: $(VENV)/.installed ## Write the pages in docs/ that are made from the program
	scripts/generate-pages $(BIN)

lock: $(VENV)/.created ## Write requirements/*.txt from pyproject.toml (UPGRADE=1: newest versions)
	scripts/lock $(VENV)

dist: $(VENV)/.build ## Build the wheel and the source distribution into dist/
	rm -rf dist
	$(VENV)/build/bin/python -m hatchling build --directory dist

image: ## Build the container image
	docker build --tag webhook-gateway .

install: $(VENV)/.installed ## Make .venv and install the gateway into it

clean: ## Remove all that make made; ./var, the data of `make run`, stays
	rm -rf $(VENV) dist .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	scripts/create-venv $(VENV)
	touch $@

# dev.txt holds all of runtime.txt, at the same versions.
$(VENV)/.runtime $(VENV)/.dev: $(VENV)/.%: requirements/%.txt $(VENV)/.created
	echo "Installing $< …" >&2
	$(BIN)/python -m pip install --quiet --require-hashes --requirement $<
	touch $@

$(VENV)/.build: requirements/build.txt $(VENV)/.created
	$(BIN)/python -m venv --clear $(VENV)/build
	$(VENV)/build/bin/python -m pip install --quiet --require-hashes --requirement $<
	touch $@

# The wheel and not the source tree, so that what runs and is tested here is what users get.
$(VENV)/.installed: $(SOURCES) | $(VENV)/.runtime $(VENV)/.build
	scripts/install-wheel $(VENV)
	touch $@

services:
	scripts/install-services
