# Every target sets up what it needs: `make check` works in a fresh clone.

PYTHON ?= python3
# Passed to pytest, as in `make test PYTEST_ARGS="-k shapes -x"`. Two processes: most tests start commands and wait for them.
PYTEST_ARGS ?= -n 2 --dist loadfile

# Tests and the commands that they start share the cores. Threads of torch that spin while they wait for each other would
# take them from the rest. `import vimoclip` asks for the same, but some tests load torch first.
export OMP_WAIT_POLICY ?= PASSIVE

BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: venv check test fast demo format clean

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@echo "Installing into .venv (about 7 GB; a few minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

check: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test: venv
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# Most of the tests in a few minutes: those that start no command, no cluster and no server.
fast: venv
	$(BIN)/python -m pytest $(PYTEST_ARGS) -m "not slow and not ray and not docs and not s3"

demo: venv
	$(BIN)/vimoclip demo $(DEMO_ARGS)

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What the tools left behind; .venv and the stores stay.
clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name .venv -prune -o -type d -name __pycache__ -exec rm -rf {} +
