# `make demo` and `make test` set everything up by themselves, in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# On tiny networks threads cost more than they give: the tests take a quarter of the time on one.
ONE_THREAD := OMP_NUM_THREADS=1

.PHONY: demo test lint format benchmark results results-digits results-mnist imbalance fuzz soak wheel clean

$(VENV)/installed: pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint .ci/constraints.txt --editable ".[dev]"
	touch $@

demo: $(VENV)/installed  ## Fit the half-moons and draw the paper's figure 4
	$(BIN)/python examples/paper/figure_4_half_moons.py

test: $(VENV)/installed  ## Run the tests
	$(ONE_THREAD) SCIPY_ARRAY_API=1 $(BIN)/python -m pytest

lint: $(VENV)/installed  ## Check style, docstrings and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(VENV)/installed  ## Measure the overhead of training and prediction
	$(ONE_THREAD) $(BIN)/python -m pytest tests/benchmarks -s

results: $(VENV)/installed  ## Measure the half-moons table (docs/results); 5 minutes on one core
	$(ONE_THREAD) $(BIN)/python examples/paper/figure_4_half_moons.py --draws 20

results-digits: $(VENV)/installed  ## Measure the digits table; an hour on one core
	$(ONE_THREAD) $(BIN)/python examples/paper/digits_8x8.py

results-mnist: $(VENV)/installed  ## Measure the small MNIST table; an hour and a half on one core
	$(ONE_THREAD) $(BIN)/python examples/paper/figure_5_mnist.py --quick

fuzz: $(VENV)/installed  ## 10,000 random fits, damaged files and forged files; half an hour on one core
	SSLDEC_FUZZ=10000 $(ONE_THREAD) SCIPY_ARRAY_API=1 $(BIN)/python -m pytest --hypothesis-show-statistics \
	    tests/test_fuzz.py tests/test_persistence.py -k "outcome or damage or forged"

soak: $(VENV)/installed  ## 200 fits in one process: is memory flat?
	$(ONE_THREAD) $(BIN)/python tests/benchmarks/soak.py

wheel:  ## Build the wheel, install it in a fresh environment, and run the tests there
	PYTHON=$(PYTHON) .ci/wheel

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

imbalance: $(VENV)/installed  ## Measure the table of rare classes (docs/method.md)
	$(ONE_THREAD) $(BIN)/python tests/benchmarks/imbalance.py
