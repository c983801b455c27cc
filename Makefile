# Needs Python 3.11 or newer, git and make; everything else is installed into .venv from the lock files.

PORT   ?= 8000
APP    ?= examples/shop/shop.py
PYTHON ?= $(shell command -v python3.11 || command -v python3)
UV     ?= uv

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip --quiet --disable-pip-version-check

CODE := src tests $(wildcard examples benchmarks)

.DEFAULT_GOAL := help
.PHONY: help run dev-setup test lint format oracle import-real contract changes migrations idempotency reload soak durability recovery histories failpoints money chaos timing bench console lock clean

help:  ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/installed  ## serve the example shop on PORT (8000), reloading on change
	$(BIN)/backstay dev $(APP) --port $(PORT)

dev-setup: $(VENV)/installed-dev  ## make .venv with everything the tests need

test: lint  ## what CI runs: lint, then every test
	$(BIN)/pytest -n 2 --dist loadfile

lint: dev-setup  ## style, types and the direction of imports
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff check --config ruff-core.toml src/backstay/model src/backstay/plan
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy src $(wildcard tests/typing)
	$(BIN)/lint-imports

format: dev-setup  ## rewrite the code in the project's style
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

oracle: dev-setup  ## random questions against the naive answerer, longer than in make test
	HYPOTHESIS_PROFILE=long $(BIN)/pytest tests/oracle

changes: dev-setup  ## kill writers for a minute while a reader of the change log looks on
	CHANGES_SECONDS=60 $(BIN)/pytest -s tests/store/test_killed_writers.py

migrations: dev-setup  ## 37 kinds of change to 100,000 records, and migrations of as many killed fifty times
	MIGRATION_CHANGED=100000 $(BIN)/pytest tests/store/test_migrate.py
	MIGRATION_KILLS=50 MIGRATION_ROWS=100000 $(BIN)/pytest -s tests/store/test_killed_migrations.py

idempotency: dev-setup  ## 1,000 requests, and as many checkouts, each sent 20 times to four processes, of which one is killed
	IDEMPOTENCY_KEYS=1000 CHECKOUT_KEYS=1000 $(BIN)/pytest tests/api/test_idempotency_fleet.py \
		tests/commerce/test_checkout_fleet.py

reload: dev-setup  ## stop servers and give them new code under load behind HAProxy, 20 times each
	RELOADS=20 $(BIN)/pytest tests/cli/test_stopping.py

import-real: dev-setup  ## bring a month of a real shop into the example shop, timed, killed and asked (RETAIL_DATA=folder)
	$(BIN)/python -m tests.transfer.real

durability: dev-setup  ## 300 power cuts under writes, as many on a disk that fails, and 20 times kill -9
	DURABILITY_IMAGES=300 DURABILITY_KILLS=20 $(BIN)/pytest tests/store/test_power_loss.py tests/api/test_killed_server.py

recovery: dev-setup  ## PostgreSQL restarted ten times under load, SQLite locked for ten seconds, full and failing disks
	RECOVERY_RESTARTS=10 RECOVERY_LOCKED=10 RECOVERY_OUTAGES=10 $(BIN)/pytest tests/api/test_postgres_outage.py \
		tests/api/test_sqlite_outage.py

histories: dev-setup  ## 1,000 orders of the messages about a payment, each message three times, on both databases
	HISTORIES=1000 $(BIN)/pytest tests/commerce/test_histories.py

soak: dev-setup  ## look for ten minutes whether a server under load grows
	SOAK_SECONDS=600 $(BIN)/pytest -s tests/cli/test_soak.py

contract: dev-setup  ## the example shop explored by schemathesis, 50 examples an operation, as three kinds of viewers
	$(BIN)/python -m tests.contract

failpoints: dev-setup  ## a day in the shop, broken off at every place in every way, on both databases
	FAILPOINTS_EVERY=1 $(BIN)/pytest -s tests/commerce/test_failpoints.py

money: dev-setup  ## a million random carts, codes, taxes and refunds, whose sums must agree to the unit
	MONEY_CASES=1000000 $(BIN)/pytest -s tests/commerce/pricing

chaos: dev-setup  ## 10,000 purchases on each database while workers are killed 200 times, and four books compared
	CHAOS_PURCHASES=10000 CHAOS_KILLS=200 $(BIN)/pytest -s tests/commerce/test_chaos.py

timing: dev-setup  ## whether the time of an answer tells who has an account, over 1,000 + 1,000 log-ins
	$(BIN)/python -m tests.auth.timing

bench: benchmarks/$(VENV)/installed  ## measure Backstay and its peers side by side
	benchmarks/$(BIN)/python -m benchmarks

console:  ## build the admin console anew after a change in console/src (needs Node)
	cd console && npm ci --no-audit --no-fund && npm run build

lock:  ## resolve the dependencies again and pin them by hash (needs uv)
	@command -v $(UV) > /dev/null || { echo "make lock needs uv: install it, or name it with UV=path" >&2; exit 1; }
	$(COMPILE) --group build --output-file requirements.lock
	$(COMPILE) --group dev --constraint requirements.lock --output-file requirements-dev.lock

COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet pyproject.toml --upgrade \
	--universal --python-version 3.11 --generate-hashes --no-emit-index-url

clean:  ## remove what the targets made, but never data/
	rm -rf $(VENV) benchmarks/$(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python benchmarks/$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Backstay needs Python 3.11 or newer, and no python3 is on the PATH." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Backstay needs Python 3.11 or newer; $(PYTHON) is $$("$(PYTHON)" --version 2>&1)." \
			"Name another one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	"$(PYTHON)" -m venv $(@:/bin/python=)

# The build backend is locked too, so the editable install fetches nothing of its own.
$(VENV)/installed: requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes --requirement requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: requirements-dev.lock $(VENV)/installed
	$(PIP) install --require-hashes --requirement requirements-dev.lock
	@touch $@

# The peers have packages of their own, which must not meet ours.
benchmarks/$(VENV)/installed: benchmarks/requirements.txt | benchmarks/$(BIN)/python
	benchmarks/$(PIP) install --require-hashes --requirement benchmarks/requirements.txt
	@touch $@
