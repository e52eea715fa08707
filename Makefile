# `make test` and `make demo` work on a fresh machine with Python 3.11 or newer: they set up .venv
# first. Tests choose their server by themselves; `eval "$(compose/engine env)"` points them at the
# private engine of compose/engine. CONTRIBUTING.md says which loop is for what.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
PROCESSES ?= 3
COMPOSE = docker compose --file compose/compose.yaml

bin = $(VENV)/bin
ready = $(VENV)/.ready
by_hand = find pgmd -name '*.py' -not -path 'pgmd/_sync/*'

# What needs no server: most of it words and tables, the rest one DuckDB.
FAST_TESTS = tests/unit tests/routing tests/test_exports.py

# Routing is decided from words, so it is tried on DuckDB releases other than the installed one too.
# pgmd is not installed there: it comes from the working directory.
DUCKDB_VERSIONS = 1.4.4 2.0.0
VERSION_NEEDS = pytest pytest-timeout pytest-randomly hypothesis
PSYCOPG = psycopg[binary,pool]
PURE_TESTS = $(patsubst %,tests/unit/test_%.py,lexer plain statement portable params router definitions \
	ledger catalogue cache bundling) \
	tests/routing tests/oracle

# The drop-in uses private names of psycopg: the oldest release, and the newest of each line.
PSYCOPG_VERSIONS = 3.2.3 3.2.13 3.3.9
version_tests = $(DUCKDB_VERSIONS:%=test-duckdb-%) $(PSYCOPG_VERSIONS:%=test-psycopg-%)
version_venvs = $(DUCKDB_VERSIONS:%=.venv-duckdb-%) $(PSYCOPG_VERSIONS:%=.venv-psycopg-%)

.PHONY: fast lint types sizes check fix generate hooks test versions $(version_tests) wheel demo bench \
	up down clean

fast: $(ready)
	$(bin)/pytest -q -p no:cacheprovider -m 'not (slow or postgres or container)' \
		--durations=5 --durations-min=1 $(FAST_TESTS) $(PYTEST_ARGS)

check: lint types

lint: $(ready) sizes
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/python pgmd/_tools/unasync.py --check
	$(bin)/lint-imports

types: $(ready)
	$(bin)/mypy
	$(bin)/pyright --pythonpath $(bin)/python

sizes:
	@awk 'FNR == 401 { print FILENAME ": more than 400 lines"; bad = 1 } END { exit bad }' \
		$$($(by_hand))

fix: $(ready) generate
	$(bin)/ruff check --fix
	$(bin)/ruff format

generate: $(ready)
	$(bin)/python pgmd/_tools/unasync.py # by its path: it must run when the package does not

hooks: $(ready)
	$(bin)/pip install --quiet --disable-pip-version-check 'pre-commit>=4'
	$(bin)/pre-commit install --hook-type pre-commit --hook-type commit-msg

test: $(ready)
	$(bin)/pytest --numprocesses=$(PROCESSES) --dist=worksteal $(PYTEST_ARGS)

versions: $(version_tests)

# Without conftest.py: its fixtures need packages that only `make test` installs. What was recorded
# with DuckDB 1.5 has nothing to say about the others.
$(DUCKDB_VERSIONS:%=test-duckdb-%): test-duckdb-%: .venv-duckdb-%/.ready
	@echo "== duckdb $*"
	.venv-duckdb-$*/bin/python -m pytest -q --noconftest -p no:cacheprovider \
		-m 'not postgres' -k 'not recorded' $(PURE_TESTS) $(PYTEST_ARGS)

$(PSYCOPG_VERSIONS:%=test-psycopg-%): test-psycopg-%: .venv-psycopg-%/.ready
	@echo "== psycopg $*"
	PGMD_PROGRAMS=$${PGMD_PROGRAMS:-40} .venv-psycopg-$*/bin/python -m pytest -q \
		-p no:cacheprovider tests/dropin $(PYTEST_ARGS)

# What a user installs: the wheel alone, then with each extra.
wheel: $(ready)
	$(bin)/python .ci/wheel

demo: $(ready)
	$(bin)/pgmd demo

bench: $(ready)
	$(bin)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	set -e; for file in benchmarks/*.py; do echo "== $$file"; $(bin)/python "$$file"; done

up:
	compose/image wheels
	$(COMPOSE) up --detach --wait

down:
	$(COMPOSE) down

clean:
	rm -rf $(VENV) $(version_venvs) dist .mypy_cache .import_linter_cache .pytest_cache .ruff_cache \
		.hypothesis

# An environment in the target's folder, with what is given.
define environment
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check $(1)
	touch $@
endef

$(ready): pyproject.toml
	$(call environment,--editable '.[test]')

.venv-duckdb-%/.ready: Makefile
	$(call environment,duckdb==$* '$(PSYCOPG)' typing_extensions sqlglot $(VERSION_NEEDS))

.venv-psycopg-%/.ready: Makefile pyproject.toml
	$(call environment,--editable '.[demo]' '$(PSYCOPG)==$*' $(VERSION_NEEDS))
