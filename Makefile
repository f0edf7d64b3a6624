# Everything a person does with this repository by hand.
SHELL := /bin/bash
PYTHON := .venv/bin/python
INSTANCE ?= default
CLUSTER ?= embedded

.PHONY: help
help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 24

.venv: requirements-dev.lock ## The Python environment, exactly as locked
	python3 -m venv .venv
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch .venv

.PHONY: up
up: .venv ## Kubernetes, Temporal, the platform and an example App on this machine (CLUSTER=current: on your cluster)
	$(PYTHON) -m deploy.local --instance $(INSTANCE) up --cluster $(CLUSTER)

.PHONY: down
down: .venv ## End all of it; the data stays (PURGE=1 removes the data too)
	$(PYTHON) -m deploy.local --instance $(INSTANCE) down $(if $(filter 1,$(PURGE)),--purge)

.PHONY: lock
lock: .venv ## Pin the dependencies anew, with hashes
	$(PYTHON) -m uv pip compile --quiet --no-header --universal --generate-hashes --python-version 3.11 \
		pyproject.toml -o requirements.lock
	$(PYTHON) -m uv pip compile --quiet --no-header --universal --generate-hashes --python-version 3.11 --extra dev \
		pyproject.toml -o requirements-dev.lock
