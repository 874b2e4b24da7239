# `make demo` and `make test` set everything up by themselves, in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# On tiny networks threads cost more than they give: the tests take a quarter of the time on one.
ONE_THREAD := OMP_NUM_THREADS=1
# Test files run in two processes; those of one file stay together, since they share what is slow to make.
TWO_AT_A_TIME := -n 2 --dist loadfile

.PHONY: demo test coverage lint format docs docs-quick benchmark throughput meta-estimators results results-digits results-images \
    results-tables results-hippocampus results-hippocampus-figure-3 results-brainweb imbalance fuzz soak wheel clean

$(VENV)/installed: pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint .ci/constraints.txt --editable ".[dev]"
	touch $@

demo: $(VENV)/installed  ## Fit the half-moons and draw the paper's figure 4
	$(BIN)/python examples/paper/figure_4_half_moons.py

test: $(VENV)/installed  ## Run the tests
	$(ONE_THREAD) SCIPY_ARRAY_API=1 $(BIN)/python -m pytest $(TWO_AT_A_TIME)

coverage: $(VENV)/installed  ## Run the tests, and report which branches of the package they reach
	$(ONE_THREAD) SCIPY_ARRAY_API=1 $(BIN)/python -m pytest $(TWO_AT_A_TIME) --cov --cov-report=term:skip-covered

lint: $(VENV)/installed  ## Check style, spelling, types, and which module may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/docs-installed: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint .ci/constraints.txt --editable ".[docs]"
	touch $@

docs: $(VENV)/docs-installed  ## Build the documentation into build/docs, the gallery too; warnings are errors
	$(ONE_THREAD) $(BIN)/python -m sphinx -W --keep-going -b html -d build/doctrees docs build/docs

docs-quick: $(VENV)/docs-installed  ## The same without running the gallery's examples; half a minute
	$(ONE_THREAD) $(BIN)/python -m sphinx -W --keep-going -b html -D plot_gallery=0 \
	    -d build/doctrees-quick docs build/docs-quick

benchmark: $(VENV)/installed  ## Measure the overhead of training, prediction and import
	$(ONE_THREAD) $(BIN)/python -m pytest tests/benchmarks -s

results: $(VENV)/installed  ## Measure the half-moons table (docs/results); 5 minutes on one core
	$(ONE_THREAD) $(BIN)/python examples/paper/figure_4_half_moons.py --draws 20

results-digits: $(VENV)/installed  ## Measure the digits table; a quarter of an hour on one core
	$(ONE_THREAD) $(BIN)/python examples/paper/digits_8x8.py --n-estimators 1

results-images: $(VENV)/installed  ## Measure the table of images (needs SSLDEC_DATA); ten hours on one core
	$(ONE_THREAD) $(BIN)/python examples/benchmarks/images.py

fuzz: $(VENV)/installed  ## 10,000 random fits, damaged files and forged files; half an hour on one core
	SSLDEC_FUZZ=10000 $(ONE_THREAD) SCIPY_ARRAY_API=1 $(BIN)/python -m pytest --hypothesis-show-statistics \
	    tests/test_fuzz.py tests/test_foreign_files.py -k "outcome or damage or forged"

soak: $(VENV)/installed  ## 200 fits in one process: is memory flat?
	$(ONE_THREAD) $(BIN)/python tests/benchmarks/soak.py

wheel:  ## Build the wheel, install it in a fresh environment, and run the tests there
	PYTHON=$(PYTHON) .ci/wheel

results-hippocampus: $(VENV)/installed  ## Measure the hippocampus table; under two hours on two cores
	$(ONE_THREAD) $(BIN)/python examples/paper/hippocampus.py --n-jobs 2 \
	    --labels 1 2 --draws 6 --methods SSLDEC pseudo-labeling
	$(ONE_THREAD) $(BIN)/python examples/paper/hippocampus.py --n-jobs 2

results-hippocampus-figure-3: $(VENV)/installed  ## The same with the paper's network; three hours on two cores
	$(ONE_THREAD) $(BIN)/python examples/paper/hippocampus.py --figure-3 --n-jobs 2

results-brainweb: $(VENV)/installed  ## Measure figures 9 to 11 on simulated scans; two hours on two cores
	$(ONE_THREAD) $(BIN)/python examples/paper/figures_9_10_11_iseg.py --n-jobs 2

results-tables: $(VENV)/installed  ## Measure the tables (needs SSLDEC_DATA, and SSLDEC_BOOK for the SSL-book sets, SSLDEC_ARFF for the further tables, SSLDEC_CSV for later ones); three hours
	$(ONE_THREAD) $(BIN)/python examples/benchmarks/tables.py $(if $(SSLDEC_BOOK),--book $(SSLDEC_BOOK)) $(if $(SSLDEC_ARFF),--arff $(SSLDEC_ARFF)) $(if $(SSLDEC_CSV),--csv $(SSLDEC_CSV))

throughput: $(VENV)/installed  ## Measure images per second on a CUDA GPU
	$(BIN)/python tests/benchmarks/throughput.py

meta-estimators: $(VENV)/installed  ## Measure the table of docs/how_to/meta_estimators.md
	$(ONE_THREAD) $(BIN)/python -W ignore tests/benchmarks/meta_estimators.py

clean:
	rm -rf build docs/auto_examples docs/api/generated .coverage .coverage.* $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

imbalance: $(VENV)/installed  ## Measure the table of docs/experiments/class_sizes.md
	$(ONE_THREAD) $(BIN)/python tests/benchmarks/imbalance.py
