# `make test` and `make demo` work on a fresh machine with Python 3.11 or newer: they set up .venv
# first. Tests choose their server by themselves; `eval "$(compose/engine env)"` points them at the
# private engine of compose/engine.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
COMPOSE = docker compose --file compose/compose.yaml

bin = $(VENV)/bin
ready = $(VENV)/.ready

.PHONY: test demo generate lint bench up down clean

test: $(ready)
	$(bin)/pytest $(PYTEST_ARGS)

demo: $(ready)
	$(bin)/pgmd demo

generate: $(ready)
	$(bin)/python pgmd/_tools/unasync.py # by its path: it must run when the package does not

lint: $(ready)
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy

bench: $(ready)
	set -e; for file in benchmarks/*.py; do echo "== $$file"; $(bin)/python "$$file"; done

up:
	compose/image wheels
	$(COMPOSE) up --detach --wait

down:
	$(COMPOSE) down

clean:
	rm -rf $(VENV) dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(ready): pyproject.toml
	test -x $(bin)/python || $(PYTHON) -m venv $(VENV)
	$(bin)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@
