# Two commands for everybody: `make demo` and `make test`. Each does its own set-up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test faults faults-long worlds worlds-long worlds-real coverage e2e lab lab-up lab-down lab-forge-up lab-forge-down lint types contracts check bench lock docs build image clean

help: ## Say what there is
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml requirements/dev.txt
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "GitMesh needs Python 3.11 or newer; try make PYTHON=python3.11"; exit 3; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

demo: $(STAMP) ## See GitMesh do its main job: no cluster, no network
	@$(BIN)/gitmesh demo

test: $(STAMP) ## Everything but end-to-end tests, faults and worlds; real API servers where `make lab` has built them
	@$(BIN)/python -m pytest -n 3 --dist worksteal -m "not e2e and not faults and not worlds"

coverage: $(STAMP) ## What the tests of values reach of the steps and translators; non-zero below the share that pyproject.toml names
	@rm -f .coverage .coverage.*
	@$(BIN)/coverage run -m pytest -n 3 --dist worksteal -m "not e2e and not faults and not worlds and not lab" tests/unit tests/golden tests/contract
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

worlds: $(STAMP) ## 5,000 small clusters drawn at random, judged apart from the product; each mending undone in turn is found
	@$(BIN)/python -m pytest -n 3 --dist worksteal -m worlds tests/worlds tests/mutants

worlds-long: $(STAMP) ## 100,000 of them, for hours, on every core; it goes on where it was ended
	@$(BIN)/python -m tests.worlds 100000 --jobs "$$(nproc)" --state "$$HOME/.cache/gitmesh-lab/worlds.jsonl"

worlds-real: $(STAMP) ## 40 of them on real sidecars, waypoints and ztunnels (15 minutes); needs `make lab`, root, iproute2 and iptables
	@$(BIN)/python -m tests.e2e.worlds 40

faults: $(STAMP) ## Agents that are killed, lied to and cut off, judged from outside (5 minutes); needs `make lab`
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m faults tests/faults

faults-long: $(STAMP) ## The long form, for hours; it goes on where it was ended
	@$(BIN)/python -m tests.faults

e2e: $(STAMP) ## End-to-end tests, the long ones, on a real Istio; needs `make lab`, root, iproute2 and iptables
	@$(BIN)/python -m pytest -n 3 --dist worksteal -m e2e --ignore=tests/e2e
	@$(BIN)/python -m pytest -m e2e tests/e2e

lab: $(STAMP) ## Build API servers, Istio, the conformance suite and Gitea for the tests from source (Go 1.26; twenty minutes, once)
	@$(BIN)/python -m tests.lab build

lab-up: $(STAMP) ## Two clusters with a real Istio to play with; needs `make lab`, root, iproute2 and iptables
	@$(BIN)/python -m tests.lab mesh-up

lab-down: $(STAMP) ## End them
	@$(BIN)/python -m tests.lab mesh-down

lab-forge-up: $(STAMP) ## A Gitea with a repository of policies to play with; needs `make lab`
	@$(BIN)/python -m tests.lab forge-up

lab-forge-down: $(STAMP) ## End it
	@$(BIN)/python -m tests.lab forge-down

lint: $(STAMP) ## Style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP) ## Static types, strict, tests included
	@$(BIN)/mypy

contracts: $(STAMP) ## Who may import whom
	@$(BIN)/lint-imports

check: lint types contracts ## All static checks

bench: $(STAMP) ## Measure; JSON and a table; non-zero where a goal is missed
	@$(BIN)/python -m benchmarks

docs: $(STAMP) ## Write the generated pages of docs/ from the models
	@$(BIN)/python -m gitmesh.docs docs

lock: $(STAMP) ## Renew the lock files
	@$(BIN)/python -m piptools compile --quiet --generate-hashes --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-annotate --no-header --output-file requirements/runtime.txt pyproject.toml
	@$(BIN)/python -m piptools compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-annotate --no-header --all-build-deps --extra dev --output-file requirements/dev.txt pyproject.toml
	@$(BIN)/python -m piptools compile --quiet --generate-hashes --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-annotate --no-header --output-file requirements/build.txt requirements/build.in

build: $(STAMP) ## Wheel and source distribution
	@$(BIN)/python -m build --no-isolation

image: BASE ?= $(shell sed -n 's/^ARG BASE=//p' Dockerfile)
image: ## Build the image IMAGE on the base image of the Dockerfile, or on BASE, named by its digest
	@echo '$(BASE)' | grep -Eq '^[^ ]+@sha256:[0-9a-f]{64}$$' || { echo "give BASE=NAME@sha256:DIGEST: a tag alone may mean another image tomorrow"; exit 3; }
	docker build --build-arg BASE='$(BASE)' -t '$(or $(IMAGE),gitmesh)' .

clean: ## Remove what these targets made
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*
