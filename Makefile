# `make demo` and `make test` need Python 3.11 or newer and nothing else.

PYTHON = python3
ARGS =
PAIRS = 200000
REQUESTS = 1000000
MINUTES = 20
PIP = .venv/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
NEEDS = pyproject.toml constraints.txt

.PHONY: help demo example test conformance fuzz leaks soak lint bench clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' Makefile

demo: .venv/has-demo ## Race stock Django against Onehop on a small project (ARGS="--seconds 2 --keep").
	@.venv/bin/onehop demo $(ARGS)

example: .venv/has-demo ## Run the example project and its live page (ARGS="--stock").
	@.venv/bin/python examples/run.py $(ARGS)

test: .venv/has-nox ## Run the tests on Django 5.2, 6.0 and 6.1 (ARGS="-- tests/cli" for some of them).
	@.venv/bin/nox --tags test $(ARGS)

conformance: .venv/has-nox ## Run Django's own tests on stock Django and on Onehop (ARGS="-- --quick --tier 1").
	@.venv/bin/nox --tags conformance $(ARGS)

fuzz: .venv/has-nox ## Send random requests through random sites, on stock Django and on Onehop (PAIRS=200000).
	@.venv/bin/nox --session fuzz -- --pairs $(PAIRS) --jobs 2 --json .nox/fuzz.json $(ARGS)

leaks: .venv/has-nox ## Look for data of one request in another (REQUESTS=1000000).
	@.venv/bin/nox --session leaks -- --requests $(REQUESTS) --jobs 2 --json .nox/leaks.json $(ARGS)

soak: .venv/has-nox ## Serve stock Django and Onehop beside each other for a while (MINUTES=20).
	@.venv/bin/nox --session soak -- --minutes $(MINUTES) --json .nox/soak.json --png .nox/soak.png $(ARGS)

lint: .venv/has-nox ## Run ruff, mypy and import-linter.
	@.venv/bin/nox --session lint

bench: .venv/has-demo ## Measure stock Django and Onehop (ARGS="--help").
	@.venv/bin/onehop bench $(ARGS)

clean: ## Remove the environments and all caches.
	rm -rf .venv .nox .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/has-demo: $(NEEDS) | .venv/bin/pip
	@echo "Installing Onehop with what the demo needs into .venv"
	@$(PIP) -e ".[demo]"
	@touch $@

.venv/has-nox: $(NEEDS) | .venv/bin/pip
	@echo "Installing nox into .venv"
	@$(PIP) nox uv || $(PIP) nox
	@touch $@

# The first Python that is new enough and can make an environment.
.venv/bin/pip:
	@for python in $(PYTHON) python3.13 python3.12 python3.11; do \
	    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    found=$$python; \
	    $$python -c 'import ensurepip, venv' 2>/dev/null || continue; \
	    $$python -m venv --clear .venv && exit 0; \
	done; \
	rm -rf .venv; \
	if [ -n "$$found" ]; then \
	    echo "$$found cannot make an environment: its venv or ensurepip module is missing." \
	        "On Debian and Ubuntu, run: apt install python3-venv" >&2; \
	else \
	    echo "No Python 3.11 or newer found. Install one, or name it: make demo PYTHON=/path/to/python3" >&2; \
	fi; \
	exit 1
