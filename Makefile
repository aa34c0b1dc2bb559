# Everything a developer or the CI does, by one name each. `make` alone lists them; scripts/ has what is longer than a line.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.SILENT:
.PHONY: help run test check format coverage faults-cluster bench instructions ledger ledger-outbound sabotage oracles evidence pages docs models lock dist image install clean services
MAKEFLAGS += --no-print-directory

# The interpreter that makes .venv. Empty: the newest of python3.14 … python3.11, python3.
PYTHON ?=
# More words for the program that a target runs: make run ARGS="--help", make test ARGS="-k stripe -x"
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml config.yaml $(wildcard README.md LICENSE) \
           $(shell find gateway providers schemas/*/ -name __pycache__ -prune -o -print 2>/dev/null)
# The whole suite waits more than it computes; a part of it is done before a second process has its servers.
SIDE_BY_SIDE := --numprocesses 3 --dist worksteal

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHON UPGRADE
# Debian keeps servers where an ordinary user's PATH does not look.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin:/usr/lib/rabbitmq/bin
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

help: ## List the targets
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(VENV)/.installed ## Run the demo with everything embedded (ARGS="…"); Ctrl-C ends it
	exec $(BIN)/gateway dev --demo $(ARGS)

test: check $(VENV)/.installed $(VENV)/.frameworks services ## Check the code, build and install the wheel, test it (ARGS="-k …")
	$(BIN)/pytest $(or $(ARGS),$(SIDE_BY_SIDE))

check: $(VENV)/.dev ## Formatting, lint rules, types, spelling, prose, the site and metadata, changing nothing
	scripts/check $(BIN)

format: $(VENV)/.dev ## Format the code and mend what can be mended
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/ruff format --quiet .

coverage: $(VENV)/.dev $(VENV)/.installed services ## Run the tests of the rooms and fail where too few branches are taken
	scripts/coverage $(BIN) $(or $(ARGS),$(SIDE_BY_SIDE) tests/gateway tests/e2e/test_cli.py)

faults-cluster: $(VENV)/.dev $(VENV)/.installed services ## Let the nodes of clusters fail, and the way out die, at length, which needs a quiet machine (ARGS="-k …")
	$(BIN)/pytest -m nightly $(ARGS)

bench: ## Measure gateway and workers beside what others use (ARGS="--quick")
instructions: ## Count the instructions of the gateway for each request (ARGS="--functions forged")
ledger: ## Account for every event through faults and kills (ARGS="--events 1000000 …")
ledger-outbound: ## Account for every delivery through 300 kills of the way out (ARGS="--kills 30 …")
sabotage: ## Break the product in many ways; a test must notice each (ARGS="spool …")
bench ledger sabotage: $(VENV)/.dev $(VENV)/.installed services
	PYTHONPATH=tests $(BIN)/python -m $@ $(ARGS)

ledger-outbound: $(VENV)/.dev $(VENV)/.installed services
	PYTHONPATH=tests $(BIN)/python -m ledger.outbound $(ARGS)

instructions: $(VENV)/.dev $(VENV)/.installed services
	PYTHONPATH=tests $(BIN)/python -m bench.instructions $(ARGS)

oracles: $(VENV)/.dev $(VENV)/.installed ## Let the senders' own libraries judge the adapters, and record what they say
	PYTHONPATH=tests $(BIN)/python -m oracles $(VENV)/oracles
	$(MAKE) evidence

evidence: $(VENV)/.dev $(VENV)/.installed ## Gather what proves each adapter (ARGS="the folder of real deliveries")
	PYTHONPATH=tests $(BIN)/python -m oracles.evidence $(ARGS)

pages: $(VENV)/.dev ## Write the parts of docs/ that are made from the program
	scripts/generate-pages $(BIN)

docs: $(VENV)/.dev ## Build the documentation as a site into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	echo "Open site/index.html, or serve it: $(BIN)/python -m http.server --directory site"

models: $(VENV)/.dev ## Write gateway/worker/models from the schemas of Stripe and GitHub
	$(BIN)/python scripts/generate-models

lock: $(VENV)/.created ## Write requirements/*.txt from pyproject.toml (UPGRADE=1: newest versions)
	scripts/lock $(VENV)

dist: $(VENV)/.build ## Build the wheel and the source distribution into dist/
	rm -rf dist
	$(VENV)/build/bin/python -m hatchling build --directory dist

image: ## Build the container image
	docker build --tag agent-webhook-gateway .

install: $(VENV)/.installed ## Make .venv and install the gateway into it

clean: ## Remove all that make made; ./var, the data of `make run`, stays
	rm -rf $(VENV) dist site .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	scripts/create-venv $(VENV)
	touch $@

# dev.txt holds all of runtime.txt, at the same versions.
$(VENV)/.runtime $(VENV)/.dev: $(VENV)/.%: requirements/%.txt $(VENV)/.created | $(VENV)/.build
	echo "Installing $< …" >&2
	scripts/install-requirements $(VENV) $<
	touch $@

# The frameworks of the example agents. Apart from the rest, because they are large and have plugins for pytest.
$(VENV)/.frameworks: requirements/examples.txt $(VENV)/.created
	echo "Installing $< …" >&2
	rm -rf $(VENV)/frameworks
	$(BIN)/python -m pip install --quiet --require-hashes --requirement $< --target $(VENV)/frameworks
	touch $@

$(VENV)/.build: requirements/build.txt requirements/uv.txt $(VENV)/.created
	scripts/create-build-venv $(VENV)
	touch $@

# The wheel and not the source tree, so that what runs and is tested here is what users get.
$(VENV)/.installed: $(SOURCES) | $(VENV)/.runtime $(VENV)/.build
	$(BIN)/python scripts/install-wheel
	touch $@

services:
	scripts/install-services
