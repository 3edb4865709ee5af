# Everything runs from the pinned environment that bin/venv makes; nothing has to be installed by hand.
.DEFAULT_GOAL := help
.PHONY: help up down test test-all lint unit reference sanity build benchmark
IN_VENV = PATH="$$(bin/venv)/bin:$$PATH"

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## A whole cluster on this machine: hosts, release files, site.yml, verify.yml
	@bin/lab up

down: ## Take that cluster and its hosts away
	@bin/lab down

test: ## Linters, unit tests, and the life of clusters in molecule: stacked on containers, single on a virtual machine
	@$(IN_VENV) tests/run

test-all: ## The same with every molecule scenario
	@$(IN_VENV) tests/run --all

lint: ## Linters, the reference against the code, ansible-test sanity
	@$(IN_VENV) ansible-lint
	@$(IN_VENV) yamllint --strict .
	@$(IN_VENV) ruff check .
	@$(IN_VENV) ruff format --check .
	@$(IN_VENV) python docs/make_reference.py --check
	@$(IN_VENV) antsibull-changelog lint
	@$(IN_VENV) tests/sanity.sh

unit: ## Unit tests
	@$(IN_VENV) pytest -q -n auto --dist worksteal tests/unit

reference: ## Write docs/reference.md and the roles' tables of variables anew
	@$(IN_VENV) python docs/make_reference.py

sanity: ## ansible-test sanity on what the collection's tarball holds
	@$(IN_VENV) tests/sanity.sh

build: ## The collection's tarball
	@$(IN_VENV) ansible-galaxy collection build --force

benchmark: ## Measure installs, reruns and single changes on fresh lab hosts (docs/benchmarks.md)
	@$(IN_VENV) tests/benchmarks/run
