# Two commands do everything on a machine with Python 3.11+ and make:
#   make demo   sets up and runs the main job on a bundled example
#   make test   sets up and passes the whole suite
# and for those who build:  make check | bench [DATA=folder] | evidence DATA=folder | pins

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The first interpreter that is new enough; override with PYTHON=/path/to/python3.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo $$p; break; fi; done)
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet
SITE ?= first-story
OUT ?= demo-report

.PHONY: help demo test check bench evidence pythons pins clean system

help:
	@sed -n '2,5s/^# \{0,1\}//p' Makefile

system:
	@if [ -z "$(PYTHON)" ]; then \
	  echo "Python 3.11 or newer is needed and was not found."; \
	  echo "Debian or Ubuntu: apt-get install python3 python3-venv; macOS: brew install python; or name one: make PYTHON=/path/to/python3"; \
	  exit 1; fi
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "Python's venv module is missing. Debian or Ubuntu: apt-get install python3-venv"; exit 1; }

# A venv holds the pinned packages; a stamp for each set says that it was installed whole.
$(VENV)/run.stamp: requirements/run.txt requirements/build.txt pyproject.toml | system
	@echo "setting up $(VENV) with $$($(PYTHON) --version) (pinned packages; a minute or two the first time)"
	@[ -x $(PY) ] || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements/build.txt
	@$(PIP) install --require-hashes -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@echo "set up; the first run compiles its fast methods once, which takes half a minute"
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements/dev.txt
	@echo "adding the packages that the tests need"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

demo: $(VENV)/run.stamp
	@$(VENV)/bin/valuestack study $(SITE) --out $(OUT)

# The whole suite: unit, laws, golden, kinds, oracle, house and, where real data are found, evidence;
# slow tests included. Skips are listed with their reasons at the end.
test: $(VENV)/dev.stamp
	@$(PY) -m pytest -m "slow or not slow" -n 2 --dist worksteal $(ARGS)

check: $(VENV)/dev.stamp
	@$(VENV)/bin/ruff check src tests benchmarks
	@$(VENV)/bin/ruff format --check --quiet src tests benchmarks
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@$(PY) -m pytest -q -n 2 tests/house

# The fast tests on the newest Python, and on those between it and the oldest what reads, writes and talks; the house's
# rules do not depend on it.
pythons: | system
	@for v in 3.12 3.13; do \
	  p=$$(for c in python$$v $$HOME/.pyenv/versions/$$v*/bin/python; do \
	    if $$c -c '' >/dev/null 2>&1; then echo $$c; break; fi; done); \
	  if [ -z "$$p" ]; then echo "python $$v not found: skipped"; continue; fi; \
	  $(MAKE) --no-print-directory VENV=.venv-$$v PYTHON=$$p .venv-$$v/dev.stamp; \
	  if [ $$v = 3.13 ]; then what=tests; else what="tests/golden tests/unit/cli tests/unit/site tests/unit/sources"; fi; \
	  .venv-$$v/bin/python -m pytest -q -m "not slow and not data" --ignore tests/house -n 2 $$what; done

bench: $(VENV)/dev.stamp
	@$(PY) -m benchmarks $(if $(DATA),--data "$(DATA)")

evidence: $(VENV)/dev.stamp
	@[ -n "$(DATA)" ] || { echo "say where the real data are: make evidence DATA=folder"; exit 2; }
	@mkdir -p build; rm -f build/evidence.jsonl build/bench.json
	@VALUESTACK_DATA="$(abspath $(DATA))" $(PY) -m pytest tests/evidence tests/oracle/test_pysam_faults.py --evidence build/evidence.jsonl -n 2 --dist worksteal
	@$(PY) -m benchmarks --data "$(DATA)" --json build/bench.json
	@$(PY) -m tests.evidence.write build/evidence.jsonl build/bench.json docs/evidence.md README.md

# For maintainers: pin anew (needs uv); no index and no host name is written.
pins:
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 requirements/build.in -o requirements/build.txt
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml --extra report --extra pv -o requirements/run.txt
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml --extra report --extra pv --group dev -o requirements/dev.txt

clean:
	rm -rf .venv .venv-3.* build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis demo-report
