SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE # hundreds of processes are started, and would compile all anew

BIN := .venv/bin
WORKERS = $(shell echo $$(($$(nproc) * 3 / 2))) # who drives a daemon waits for it as long as they compute
FAST := -m "not slow" tests/agent/core tests/device_adapters tests/cloud_link
step = @printf '\n── %s\n' "$(1)"

.PHONY: help
help: ## Says what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: ready
ready: ## Makes .venv and brings missing Debian packages; the other targets do it themselves
	@scripts/bootstrap

.PHONY: judges
judges: ## Brings the independent clients and parsers that judge our devices and documents
	$(call step,judges)
	@scripts/bootstrap --judges
	@scripts/judges-install

# ── to see it

.PHONY: demo
demo: ready ## A site of simulated devices, a broker and roomd, told as it happens
	@$(BIN)/python -m tests.demo

# ── to check it

# Types take one core for long, and what is brought from elsewhere waits: together they are done in the time of one.
BEFORE := types others judges unformatted lint imports schema-check collected

.PHONY: test
test: ## Everything that must hold before a push
	@$(MAKE) --no-print-directory --jobs=3 --output-sync=target $(BEFORE)
	@$(MAKE) --no-print-directory --jobs=2 pytest fast-others

.PHONY: unformatted
unformatted: ready
	$(call step,format)
	@$(BIN)/ruff format --check .

.PHONY: lint
lint: ready ## Ruff's rules
	$(call step,ruff)
	@$(BIN)/ruff check .

.PHONY: types
types: ready ## Types, strictly
	$(call step,mypy)
	@$(BIN)/mypy

.PHONY: imports
imports: ready ## Who may import whom
	$(call step,import-linter)
	@$(BIN)/lint-imports --no-logo

.PHONY: schema-check
schema-check: ready ## The committed contract is the one the code publishes
	$(call step,schema)
	@$(BIN)/roomd schema --check

.PHONY: collected
collected: ready # so that the tests are compiled once, and not by each of the workers
	$(call step,what pytest finds)
	@mkdir -p build
	@$(BIN)/python -m pytest --collect-only --quiet --quiet >build/collected || { tail -n 100 build/collected; exit 1; }
	@printf '%s files\n' "$$(grep -c '^tests/' build/collected)"

.PHONY: pytest
pytest: ready
	$(call step,pytest)
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --one-example-in 2
	@printf 'the page, as it was seen: %s\n' build/screenshots/*.png

.PHONY: fast
fast: ready ## The tests that need no broker, process or socket
	$(call step,pytest fast)
	@$(BIN)/python -m pytest $(FAST)

.PHONY: fast-others
fast-others: ready ## The same under Python 3.12 and 3.13, where they are found
	@scripts/fast-others $(FAST)

.PHONY: others
others:
	$(call step,other Pythons)
	@scripts/fast-others --ready

.PHONY: fresh
fresh: ## A fresh clone of what is committed passes `make test`
	@scripts/fresh-clone

# ── to prove it, and to measure it

.PHONY: prove
prove: judges ## The promises, one by one, against real brokers, crashes and cuts
	@$(BIN)/python -m pytest --quiet -m hypothesis --numprocesses auto # with all their examples
	@$(BIN)/python -m tests.prove

.PHONY: bench
bench: ready ## How fast, how much memory, how far from the limits
	@$(BIN)/python -m tests.bench

# ── to change it

.PHONY: format
format: ready ## Formats the code and mends what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: lock
lock: ready ## Locks the dependencies anew; UPGRADE=1 takes newer versions
	@scripts/lock $(if $(UPGRADE),--upgrade)

.PHONY: diagrams
diagrams: ready ## Draws the state diagrams of the docs from the code's tables
	@$(BIN)/python -m tests.diagrams

.PHONY: schema
schema: ready ## Writes the published contract anew from the code's models
	@$(BIN)/python -m cloud_link.asyncapi

# ── to ship it

.PHONY: deb
deb: ready ## The packages for Debian 12 and 13, into dist/
	@scripts/deb

.PHONY: deb-check
deb-check: ready ## Two builds give the same bytes, and lintian finds nothing wrong
	@scripts/deb-check

.PHONY: clean
clean: ## Removes everything that was made
	@rm -rf .venv .venv-* .venv.lock .tools build dist node_modules
	@rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
