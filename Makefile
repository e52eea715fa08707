# `make test` and `make demo` work on a fresh machine with Python 3.11 or newer: they set up .venv
# first. Tests choose their server by themselves; `eval "$(compose/engine env)"` points them at the
# private engine of compose/engine.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
PROCESSES ?= 3
COMPOSE = docker compose --file compose/compose.yaml

bin = $(VENV)/bin
ready = $(VENV)/.ready

# Routing is decided from words, so it is tried on DuckDB releases other than the installed one too.
# pgmd is not installed there: it comes from the working directory.
DUCKDB_VERSIONS = 1.4.4 2.0.0
VERSION_NEEDS = 'psycopg[binary,pool]' typing_extensions \
	pytest pytest-timeout pytest-randomly hypothesis sqlglot
PURE_TESTS = $(patsubst %,tests/unit/test_%.py,lexer plain statement portable params router definitions \
	ledger catalogue cache bundling) \
	tests/routing tests/oracle
version_tests = $(DUCKDB_VERSIONS:%=test-duckdb-%)
version_venvs = $(DUCKDB_VERSIONS:%=.venv-duckdb-%)

.PHONY: test versions $(version_tests) demo generate lint bench up down clean

test: $(ready)
	$(bin)/pytest --numprocesses=$(PROCESSES) --dist=worksteal $(PYTEST_ARGS)

versions: $(version_tests)

# Without conftest.py: its fixtures need packages that only `make test` installs. What was recorded
# with DuckDB 1.5 has nothing to say about the others.
$(version_tests): test-duckdb-%: .venv-duckdb-%/.ready
	@echo "== duckdb $*"
	.venv-duckdb-$*/bin/python -m pytest -q --noconftest -p no:cacheprovider \
		-m 'not postgres' -k 'not recorded' $(PURE_TESTS) $(PYTEST_ARGS)

demo: $(ready)
	$(bin)/pgmd demo

generate: $(ready)
	$(bin)/python pgmd/_tools/unasync.py # by its path: it must run when the package does not

lint: $(ready)
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy

bench: $(ready)
	$(bin)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	set -e; for file in benchmarks/*.py; do echo "== $$file"; $(bin)/python "$$file"; done

up:
	compose/image wheels
	$(COMPOSE) up --detach --wait

down:
	$(COMPOSE) down

clean:
	rm -rf $(VENV) $(version_venvs) dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(ready): pyproject.toml
	test -x $(bin)/python || $(PYTHON) -m venv $(VENV)
	$(bin)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

$(version_venvs:%=%/.ready): .venv-duckdb-%/.ready: Makefile
	test -x .venv-duckdb-$*/bin/python || $(PYTHON) -m venv .venv-duckdb-$*
	.venv-duckdb-$*/bin/pip install --quiet --disable-pip-version-check duckdb==$* $(VERSION_NEEDS)
	touch $@
