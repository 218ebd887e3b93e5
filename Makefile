# The two commands that matter: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Tests on two processes, each file on one of them; PARALLEL= for one.
PARALLEL ?= --numprocesses 2 --dist loadfile --no-loadscope-reorder
# THOROUGH=1 for all examples and cases, of which the tests else try a sample (tests/thorough.py).
export THOROUGH
# On machines without a GPU the CPU build is enough; set TORCH= to choose another.
TORCH ?= torch==2.13.0
# Where this is set, all tests and all of Hanse would be compiled again by each process.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test lint unit slow explore soak docs docs-serve notebooks dist fuzz bench lowest clean case-xray case-tumours

demo: $(VENV)/.core
	$(BIN)/hanse demo

# The cases of examples/cases with real processes; ROUNDS= for fewer rounds, INSTITUTIONS=71 for all agents.
case-xray: $(VENV)/.cases
	$(BIN)/python examples/cases/lung_xrays/deploy.py $(if $(ROUNDS),--rounds $(ROUNDS))

case-tumours: $(VENV)/.cases
	$(BIN)/python examples/cases/brain_tumours/deploy.py --institutions $(or $(INSTITUTIONS),7) \
		$(if $(ROUNDS),--rounds $(ROUNDS))

test: lint unit slow docs

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_sizes.py
	$(BIN)/python tools/check_words.py
	$(BIN)/python tools/check_docstrings.py

unit: $(VENV)/.dev
	$(BIN)/pytest -m "not slow" $(PARALLEL)

slow: $(VENV)/.dev
	$(BIN)/pytest -m slow $(PARALLEL)

# Schedules in virtual time from random seeds, as long as MINUTES say; SEED= begins with that one.
MINUTES ?= 10
explore: $(VENV)/.dev
	$(BIN)/python -m tests.deterministic.explore --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

# The same against real processes, whose disks, clocks and network go wrong; see docs/faults.md.
soak: $(VENV)/.dev
	$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

docs: $(VENV)/.dev
	$(BIN)/python docs/generate.py --check
	$(BIN)/zensical build --clean --strict
	$(BIN)/python tools/check_site.py site

docs-serve: $(VENV)/.dev
	$(BIN)/zensical serve

# Run the notebooks, store what their cells show, and make their pages from that.
notebooks: $(VENV)/.dev
	$(BIN)/python tools/run_notebooks.py
	$(BIN)/python docs/generate.py

# Hanse and all that it needs as wheels in dist/, to carry to a machine without network (docs/join.md).
# EXTRAS=torch,sklearn adds those; for another kind of machine than this one:
# FOR="--platform manylinux_2_28_x86_64 --python-version 3.12"
dist: $(VENV)/bin/python
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --only-binary=:all: --dest dist $(FOR) \
		"$$(echo dist/hanse-*.whl)$(if $(EXTRAS),[$(EXTRAS)])"
	cp deploy/*.service dist
	cd dist && { sha256sum * 2>/dev/null || shasum -a 256 *; } > ../dist.sums && mv ../dist.sums SHA256SUMS

# Fuzzing guided by coverage, so many seconds in all; `make fuzz SECONDS=600 TARGET="tensors token"`.
fuzz: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[fuzz]"
	$(BIN)/python -m tests.fuzz.coverage $(or $(SECONDS),60) $(TARGET)

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/round.py --quick

# The lower bounds of the dependencies, in an environment of their own.
lowest:
	$(PYTHON) -m venv $(VENV)-lowest
	$(PYTHON) tests/lowest.py > $(VENV)-lowest/constraints.txt
	$(VENV)-lowest/bin/pip install --quiet --disable-pip-version-check \
		--constraint $(VENV)-lowest/constraints.txt --editable ".[sklearn,test]"
	$(VENV)-lowest/bin/pytest -m "not slow and not torch" --ignore=tests/unit/test_docs.py \
		--ignore=tests/unit/learners/test_torch.py --ignore=tests/unit/learners/adapters \
		--ignore=tests/contract/test_learners.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

# What the cases need beside torch: Pillow, which comes with matplotlib, and readers of scans and models.
$(VENV)/.cases: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[torch,plot]" \
		"nibabel>=5.2,<6" "scipy>=1.11,<2" "safetensors>=0.4.5,<1"
	touch $@ $(VENV)/.core

# torch first and by itself: with it installed, a range that it satisfies adds nothing more.
$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[torch,sklearn,test,lint,docs]"
	touch $@ $(VENV)/.core

clean:
	rm -rf $(VENV) $(VENV)-lowest build dist site .cache hanse-demo* deployed-xrays* deployed-tumours*
