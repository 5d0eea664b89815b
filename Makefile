# Every target works as the first command on a machine with python3 (3.11 or newer), make and git.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/installed
# CPU builds of torch. For NVIDIA GPUs: make TORCH_INDEX=https://download.pytorch.org/whl/cu130 serve
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH  := $(shell grep '^torch==' requirements.lock)

# With STORAGE=s3, files are in an S3 server on this machine instead of a folder.
SITE   := $(if $(filter s3,$(STORAGE)),STORAGE_URL=embedded-s3) $(PY) -m annotate.supervisor

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-matrix bench lint format serve worker chromium pgbouncer nginx settings docs lock clean

help: ## these lines
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(STAMP) ## the whole loop, then the site (SERVE=0, IDENTITIES=DIR, CONSENT=USES, FRESH=1, SEED=N, ROUNDS=N, STORAGE=s3)
	@$(SITE) demo $(if $(filter 0,$(SERVE)),--no-serve) \
		$(if $(IDENTITIES),--identities "$(IDENTITIES)") $(if $(CONSENT),--consent "$(CONSENT)") \
		$(if $(filter-out 0,$(FRESH)),--fresh) $(if $(SEED),--seed "$(SEED)") \
		$(if $(ROUNDS),--rounds "$(ROUNDS)")

serve: $(STAMP) ## database, queue, web and workers, until Ctrl-C
	@$(SITE) serve

worker: $(STAMP) ## only workers
	@$(SITE) worker

test: $(STAMP) chromium pgbouncer nginx ## all tests (ARGS="..." for some)
	@$(PY) -m $(if $(ARGS),pytest $(ARGS),tests.halves)

test-fast: $(STAMP) ## tests without browser and training, for the time between two edits
	@$(PY) -m tests.halves --fast

test-matrix: $(STAMP) ## numerical tests on other instruction sets, threads and orders
	@$(PY) -m tests.matrix

bench: $(STAMP) ## benchmarks: a table each, and JSON
	@$(PY) -m bench

lint: $(STAMP) ## style, types, migrations, containers
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(PY) manage.py makemigrations --check --dry-run
	@if docker compose version >/dev/null 2>&1; then \
		docker compose --env-file .env.example --profile gpu --profile s3 config -q; \
	else echo "lint: docker compose is not here, so docker-compose.yml is not checked"; fi

format: $(STAMP) ## put the code in shape
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

chromium: # the browser tests drive Debian's Chromium
	@.ci/chromium

pgbouncer: # one test goes through Debian's PgBouncer
	@.ci/debian pgbouncer pgbouncer

nginx: # some tests fetch clips through Debian's nginx
	@.ci/debian nginx nginx-light

# torch comes first and alone: PyPI's build brings several GB of CUDA libraries, this index the CPU build.
# The lock holds every other package, so nothing is resolved here.
$(STAMP): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || test -x $(PY) \
		|| { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "installing the packages of requirements.lock into $(VENV) (once, some minutes)"
	@$(PY) -m pip install -q --no-deps --retries 1 --index-url $(TORCH_INDEX) "$(TORCH)" \
		|| { echo "$(TORCH) cannot be fetched from $(TORCH_INDEX); set TORCH_INDEX, or PIP_FIND_LINKS to a folder that has it"; exit 1; }
	@$(PY) -m pip install -q --no-deps -r requirements.lock
	@touch $@

settings: $(STAMP) ## write docs/settings.md and .env.example from annotate/settings.py
	@$(PY) manage.py settings_table

docs: $(STAMP) settings ## the documentation as a site, in var/docs-site
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet --site-dir var/docs-site
	@echo "open var/docs-site/index.html, or with search: $(PYTHON) -m http.server -d var/docs-site"

lock: ## write requirements.lock anew from pyproject.toml
	@.ci/lock $(TORCH_INDEX)

clean: ## remove the virtual environment and the tools' caches, never var/
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache
