# `make repro` and `make test` do everything; each target sets up .venv first and needs python3, git and make.
#
# Without an NVIDIA GPU, choose PyTorch's CPU build, which is much smaller than the CUDA one:
#   make repro PIP_OPTIONS="--extra-index-url https://download.pytorch.org/whl/cpu"
PYTHON ?= python3
PIP_OPTIONS ?=
CONSTRAINTS ?= constraints.txt
PYTEST_OPTIONS ?=
JOBS ?=
TASKS ?=

VENV := .venv
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help repro report smoke test test-slow test-long lint bench mutants clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

repro: $(READY) ## the study of params.yaml, cells side by side; one task of it: make repro TASKS=spheres
	context-fbr grid run $(if $(JOBS),--jobs $(JOBS)) $(if $(TASKS),--tasks $(TASKS))

report: $(READY) ## report.html, one file with findings, figures, cases and origins, for a colleague
	context-fbr report --out report.html

smoke: $(READY) ## the whole pipeline in miniature, in the folder smoke/
	rm -rf smoke
	context-fbr copy smoke
	cd smoke && context-fbr profile smoke && context-fbr grid run $(if $(JOBS),--jobs $(JOBS))
	@echo "look at smoke/plots and smoke/metrics"

# Pytest's workers share the cores: PyTorch and NumPy compute with one thread in each.
test test-slow test-long: export OMP_NUM_THREADS := 1
test test-slow test-long: export OPENBLAS_NUM_THREADS := 1

test: $(READY) ## the tests, without the slow ones, two files at once
	pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow" $(PYTEST_OPTIONS)

ALONE := tests/runtime/test_orphans.py

test-slow: $(READY) ## the slow tests alone, two files at once where no seconds are counted
	pytest -n 2 --dist loadfile --no-loadscope-reorder --instafail -m "slow and not long" $(ALONE:%=--ignore=%)
	pytest --instafail -m "slow and not long" $(ALONE)

test-long: $(READY) ## faults and simulations many times over, and studies of all tasks, for half an hour
	pytest -n 2 --dist loadfile --no-loadscope-reorder --instafail -m long

lint: $(READY) ## format, lint and types
	ruff format --check .
	ruff check .
	mypy

bench: $(READY) ## timings, in pairs: make bench PARTS="step cell" DEVICE=cuda REPEATS=5
	python -m benchmarks $(PARTS) $(if $(DEVICE),--device $(DEVICE)) $(if $(REPEATS),--repeats $(REPEATS))

mutants: $(READY) ## small mistakes that the fast tests should catch, for hours: make mutants MODULES="training/sampling metrics/overlap"
	$(VENV)/bin/python -m pip install --quiet $(PIP_OPTIONS) -c $(CONSTRAINTS) -e '.[dev,mutants]'
	nice -n 19 python -m benchmarks.mutants $(MODULES)

clean: ## remove what the targets made, results and DVC cache stay
	rm -rf $(VENV) .mutants smoke .pytest_cache .ruff_cache .mypy_cache src/*.egg-info

$(READY): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say which with make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install $(PIP_OPTIONS) -c $(CONSTRAINTS) -e '.[dev]'
	touch $@
