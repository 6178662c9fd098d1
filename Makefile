# Each target is a CI job (.ci/run); make help lists them.
PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
QUIET = $(shell grep -rl --include='*.py' mark.quiet tests)# to read all the others takes seconds
NONE_IS_FINE := || [ $$? -eq 5 ]# pytest's exit code where ARGS pick no test

# without bytecode every command compiles all libraries anew
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.PHONY: help setup train play bench bench-check assets policies docs test torture lint hostile wheel-test sweep-demo clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

ifeq ($(UV),1)
INSTALL := uv pip install --python $(BIN)/python
else
INSTALL := $(BIN)/python -m pip install --no-compile --disable-pip-version-check
endif

setup: $(STAMP) ## make .venv and install everything into it (PYTHON=python3.12 picks another Python, UV=1 installs with uv)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: '$(PYTHON)' is missing or older than Python 3.11; try make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "make: $(PYTHON) cannot make virtual environments; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 2; }
ifeq ($(UV),1)
	@command -v uv >/dev/null || { echo "make: UV=1, but there is no uv here; leave UV=1 out, or install uv" >&2; exit 2; }
endif
	@echo "setting up $(VENV) (PyTorch is the largest part)"
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) --quiet -c constraints.txt -e '.[dev]'
	@touch $@

train: setup ## train a UR5e; ARGS="robot=ur10e seed=1" changes anything
	$(BIN)/python -m reach_rl.train $(ARGS)

play: setup ## an arm in the browser that follows the goal you drag; ARGS="robot=ur10e" or "run=DIR"
	$(BIN)/python -m reach_rl.play $(ARGS)

bench: setup ## measure throughput and where its time goes
	$(BIN)/python -m reach_rl.bench $(ARGS)

bench-check: setup ## has training become slower since its speed was measured? (two minutes on a quiet machine)
	$(BIN)/python benchmarks/bench_check.py $(ARGS)
	$(BIN)/python benchmarks/startup.py --check

sweep-demo: setup ## search PPO's settings from a poor start and show the gain (about eleven minutes)
	$(BIN)/python benchmarks/sweep_demo.py $(ARGS)

assets: setup ## write assets/robots/*.xml anew from assets/ur_family.yaml
	$(BIN)/python -m reach_rl.robots.generate

policies: setup ## train the policies that ship for play anew
	$(BIN)/python benchmarks/ship_policies.py

docs: setup ## write docs/configuration.md and docs/metrics.md, the references, anew
	$(BIN)/python docs/generate.py

test: setup ## run the tests, two files at once; ARGS="tests/mdp -k reward" picks some
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not torture and not quiet" $(ARGS) $(NONE_IS_FINE)
	$(BIN)/python -m pytest -m quiet $(or $(ARGS),$(QUIET)) $(NONE_IS_FINE)

torture: setup ## the long proofs: kills, full disks, damaged files, databases (about an hour)
	$(BIN)/python -m pytest -m torture --timeout 3600 $(ARGS)

lint: setup ## ruff, pyright and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

hostile: setup ## a part of the tests under settings that tests must not read (a minute)
	PYTHON=$(abspath $(BIN)/python) bash .ci/hostile $(ARGS)

wheel-test: setup ## build the wheel, install it in an empty environment and use it there
	PYTHON=$(abspath $(BIN)/python) bash .ci/wheel

clean: ## remove .venv, builds and caches; runs and sweeps stay
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
