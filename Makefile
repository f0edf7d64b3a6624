# Everything a person does with this repository by hand.
SHELL := /bin/bash
PYTHON := .venv/bin/python
INSTANCE ?= default
CLUSTER ?= embedded

.PHONY: help
help: ## This list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## /  make \1\t/' | expand -t 24

.venv: requirements-dev.lock ## The Python environment, exactly as locked
	@python3 -c 'import ensurepip' 2>/dev/null \
		|| (apt-get update -q && apt-get install -q -y --no-install-recommends python3-venv) \
		|| { echo 'python3 cannot make an environment: install python3-venv (as root: apt-get install python3-venv)'; exit 1; }
	@echo 'Python environment .venv: pip installs what requirements-dev.lock names, which takes about a minute'
	python3 -m venv .venv
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch .venv

.PHONY: up
up: .venv ## Kubernetes, Temporal, the platform and an example App on this machine (NODES=3: several nodes; CLUSTER=current: on your cluster)
	$(PYTHON) -m deploy.local --instance $(INSTANCE) up --cluster $(CLUSTER) $(if $(NODES),--nodes $(NODES)) $(foreach value,$(SET),--set $(value))

.PHONY: prepare
prepare: .venv ## What `make up` would make first, programs and images, and nothing started: beside other work, for example
	$(PYTHON) -m deploy.local prepare

.PHONY: down
down: .venv ## End all of it; the data stays (PURGE=1 removes the data too)
	$(PYTHON) -m deploy.local --instance $(INSTANCE) down $(if $(filter 1,$(PURGE)),--purge)

.PHONY: lock
lock: .venv ## Pin the dependencies anew, with hashes
	$(PYTHON) -m uv pip compile --quiet --no-header --no-emit-index-url --generate-hashes --python-version 3.11 \
		pyproject.toml -o requirements.lock
	$(PYTHON) -m uv pip compile --quiet --no-header --no-emit-index-url --generate-hashes --python-version 3.11 --extra dev \
		pyproject.toml -o requirements-dev.lock

SOURCES := api clients language render watcher workflows activities worker agent cli trial deploy tests

.PHONY: generate
generate: .venv ## Write anew what is generated: gRPC code, CRDs, schemas and reference of plugins
	PATH="$(CURDIR)/.venv/bin:$$PATH" $(PYTHON) -m grpc_tools.protoc -I . --python_out=. --grpc_python_out=. \
		--mypy_out=quiet:. --mypy_grpc_out=quiet:. proto/agent.proto
	$(PYTHON) -m api.crd
	$(PYTHON) -m api.schemas
	$(PYTHON) -m cli.authoring.reference

.PHONY: lint
lint: generate ## Style, types, layers; and that nothing generated was out of date
	git diff --exit-code --stat -- proto deploy/crds plugins/schema docs/plugin-reference.md || { echo "Generated files were out of date: commit them."; exit 1; }
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	.venv/bin/lint-imports --no-cache
	$(PYTHON) -m mypy $(SOURCES)

# Debian's redis-tools holds the server's program under another name, and brings no service that would start.
.venv/bin/redis-server: | .venv
	command -v redis-check-rdb >/dev/null || { apt-get update -q && apt-get install -q -y --no-install-recommends redis-tools; }
	ln -sf "$$(command -v redis-check-rdb)" $@

# PostgreSQL's package would make a cluster and start it; MariaDB's "core" is the server's programs alone.
.venv/bin/postgres: | .venv
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || { \
		mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' >> /etc/postgresql-common/createcluster.conf; \
		apt-get update -q && apt-get install -q -y --no-install-recommends postgresql; }
	ln -sf "$$(ls /usr/lib/postgresql/*/bin/postgres | tail -1)" $@

.venv/bin/mariadbd: | .venv
	ls /usr/sbin/mariadbd >/dev/null 2>&1 || { apt-get update -q && apt-get install -q -y --no-install-recommends mariadb-server-core; }
	ln -sf /usr/sbin/mariadbd $@

ENGINES := .venv/bin/redis-server .venv/bin/postgres .venv/bin/mariadbd

RUN_TESTS = PATH="$(CURDIR)/.venv/bin:$$PATH" $(PYTHON) -m tests.run

.PHONY: test
test: .venv $(ENGINES) ## Every test; the end-to-end ones on a cluster of their own (instance test)
	$(RUN_TESTS) -- $(TESTS)

.PHONY: test-unit
test-unit: .venv $(ENGINES) ## Of these only the units, the workflows and the replays: no cluster
	$(RUN_TESTS) unit -- $(TESTS)

.PHONY: test-e2e
test-e2e: .venv ## Of these only the ones that need the cluster
	$(RUN_TESTS) e2e -- $(TESTS)
