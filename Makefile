# `make app` serves the app, `make test` runs the tests; both install what they need on first use.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 8501
BIN := .venv/bin
# uv, where it is installed, takes the torch that suits this machine (without a GPU: without the
# gigabytes of CUDA) and takes seconds; pip does the same slowly where it is not, or where it fails.
UV ?= $(shell command -v uv)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
install = $(if $(UV),$(UV) pip install --quiet --python $(BIN)/python --torch-backend=auto $(1) ||) $(PIP) $(1)

.PHONY: app test mutants check lint bench clean weights docs tagger trust lock locked audit

# What is optional is fetched while the first page is being served.
app: .venv/.app tagger
	@$(BIN)/hitcore weights fetch kkbox-ret30 jynet --quiet --optional --timeout 10 &
	$(BIN)/python -m ui.server.serve --server.port $(PORT)

test: .venv/.dev weights
	$(BIN)/python -m pytest $(ARGS)

# Everything that continuous integration asks for.
check: lint docs test

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site of documentation, in build/site; a warning is an error.
docs: .venv/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# Correctness tables and ratios, each printed by one script; takes a while. The scripts that make
# what ships (Table 1, the highlighter) and the whole of trust.py are asked for by name.
BENCHMARKS ?= $(filter-out benchmarks/table1%.py benchmarks/train_highlighter.py \
  benchmarks/trust.py benchmarks/mutants.py, $(wildcard benchmarks/*.py))

bench: .venv/.dev weights
	for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

# Faults, hostile files, strangers and crowds in full, as one table; about half an hour.
trust: .venv/.dev weights
	$(BIN)/python benchmarks/trust.py

# Mutations that once survived, each with the test that kills it; then those of a tool, bounded
# (docs/mutation.md).
mutants: .venv/.dev weights
	$(BIN)/python benchmarks/mutants.py
	$(BIN)/mutmut run --max-children 2
	$(BIN)/mutmut results

# What the app installs, by checksum: make the list (needs uv), install from it, ask for known
# vulnerabilities (fails where the package index does not know of any list of them).
lock:
	printf '%s\n' '# All that the app installs, with the SHA-256 of every file that may be taken for it.' \
	  '# `make lock` makes it from requirements.txt, `make locked` installs it.' > requirements.lock
	uv pip compile requirements.txt --generate-hashes --python-version 3.11 --no-header \
	  --no-annotate --no-emit-index-url --no-emit-find-links --quiet >> requirements.lock

locked:
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .

audit: .venv/.dev
	$(BIN)/pip-audit --strict --disable-pip --require-hashes -r requirements.lock

# The tagger's weights, from the package index; the two small public downloads are tried for ten
# seconds at most, and the app says how to get them where that fails.
weights: tagger
	@$(BIN)/hitcore weights fetch kkbox-ret30 jynet --quiet --optional --timeout 10

tagger: .venv/.app
	@$(BIN)/hitcore weights fetch musicnn-mtt --quiet
	@$(BIN)/hitcore weights fetch musicnn-msd --quiet

.venv/.app: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(call install,-r requirements.txt)
	$(call install,--no-deps --editable .)
	touch $@

.venv/.dev: requirements-dev.txt .venv/.app
	$(call install,-r requirements-dev.txt)
	touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
