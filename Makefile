# Everything happens inside the checkout: the virtual environment is .venv, and no cache is kept elsewhere.
# What is installed is remembered by a stamp; the next `make` installs only when pyproject.toml has changed.

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_NO_CACHE_DIR = 1

PIP = .venv/bin/python -m pip install --quiet
PYTHONS = python3 python3.13 python3.12 python3.11
CONFIGURATIONS = $(wildcard etc/*.toml etc/examples/*.toml)

# All tests run on all processors, each file of them on one; in the order of their names, by which slow ones come
# early.  What ARGS chooses runs in one process, which starts sooner.  `make test WORKERS=` does all in one.
# A process that dies fails the run: with another in its place, pytest-xdist would wait for the rest of its file for ever.
WORKERS = $(if $(ARGS),,-n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder --max-worker-restart 0)

# A virtual environment holds its own path in many places: in a checkout that was moved or copied it is made anew.
MOVED := $(shell ! grep -qs "^command = .*venv " .venv/pyvenv.cfg || \
	grep -qF "venv $$(pwd -P)/.venv" .venv/pyvenv.cfg || echo moved)
ifdef MOVED
.PHONY: .venv/bin/python .venv/run .venv/dev .venv/bench
endif

.DEFAULT_GOAL = help
.PHONY: help run test trial conformance bench test-deps lint coverage core-coverage clean

help:  ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 20

run: .venv/run  ## set up if needed, then serve the demonstration on loopback until Ctrl-C
	@exec .venv/bin/python -m tcpsuite run $(ARGS)

# Their folders are not in here, nor deep: paths of sockets are short.
test: .venv/dev  ## set up if needed, then run the tests (ARGS="-k gateway" goes to pytest)
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT INT TERM && \
		.venv/bin/python -m pytest --basetemp=$$folder/t $(WORKERS) $(ARGS)

trial: .venv/dev  ## the pure and protocol tests, by Twisted's own runner
	@.venv/bin/trial tests

conformance: .venv/dev  ## Twisted's own tests, on our reactor and on stock epoll beside it
	@.venv/bin/python -m tests.conformance $(ARGS)

bench: .venv/bench  ## compare with what is installed of HAProxy, nginx, Go …: twenty minutes (ARGS="echo --rounds 1")
	@.venv/bin/python benchmarks/side_by_side.py $(ARGS)

test-deps:  ## install the real servers and clients that the integration tests use (Debian, Ubuntu)
	@.ci/test-deps

lint: .venv/dev  ## style, types, layers, and the configuration files in etc/
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports
	@set -e; for file in $(CONFIGURATIONS); do \
		echo ".venv/bin/tcpsuite check $$file"; .venv/bin/tcpsuite check "$$file"; \
	done

coverage:  ## run the tests and print what they cover
	@PYTEST_ADDOPTS="$$PYTEST_ADDOPTS --cov" $(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory core-coverage

core-coverage:  # of the last run that measured it: what decides is tested whole
	@.venv/bin/coverage report --include="tcpsuite/core/*" --fail-under=100

clean:  ## remove the virtual environment and everything else that was made
	rm -rf .venv build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache _trial_temp* twisted/plugins/dropin.cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@for python in $(PYTHONS); do \
		if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Making a virtual environment in .venv with $$($$python --version)"; \
			rm -rf .venv; \
			trap 'rm -rf .venv; exit 1' INT TERM; \
			$$python -m venv .venv || { rm -rf .venv; exit 1; }; \
			exit 0; \
		fi; \
	done; \
	echo "tcpsuite needs Python 3.11 or newer with venv: on Debian and Ubuntu, apt install python3 python3-venv" >&2; \
	exit 1

.venv/run: pyproject.toml | .venv/bin/python
	@echo "Installing tcpsuite and what it needs into .venv"
	@$(PIP) --editable .
	@touch $@

.venv/dev: pyproject.toml | .venv/bin/python
	@echo "Installing tcpsuite and what its tests and checks need into .venv"
	@$(PIP) --editable ".[dev]"
	@touch $@ .venv/run

.venv/bench: .venv/run
	@echo "Installing what tcpsuite is compared with into .venv"
	@$(PIP) --editable ".[bench]" && touch $@ || echo "It could not be installed, and is left out." >&2
