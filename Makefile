# Two commands do everything, on a fresh machine with Python 3.11 or newer:
#
#   make book    creates .venv, installs, runs the notebooks, builds the book
#   make test    the same set-up, then all tests: library, claims, notebooks, the built book in a browser
#
# Works with the make of Linux and of macOS (3.81).

VENV    ?= .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
HTML    := _build/html
BUILT   := _build/.built
PORT    ?= 8000

# Real digits: the folder that contains mnist/ (or the idx files). Without one the packaged 10,000 are used.
ifndef ESGD_DATA
ESGD_DATA := $(firstword $(foreach place,data ../data ../shared/data,$(if $(wildcard $(place)/mnist),$(abspath $(place)))))
endif
ifneq ($(strip $(ESGD_DATA)),)
export ESGD_DATA
else
unexport ESGD_DATA
endif

# A cell that has not ended after this many seconds fails (a dead kernel would hang for ever otherwise).
CELL_TIMEOUT ?= 300
PYTEST  := $(BIN)/python -m pytest
# Test files run side by side on this many cores; one thread each, so that they do not fight for them.
JOBS    ?= 2
SIDE    := OMP_NUM_THREADS=1 $(PYTEST) -n $(JOBS) --dist loadfile
# Notebooks that the book holds; drafts that are not in _toc.yml yet are left out.
NOTEBOOKS := $(wildcard $(addsuffix .ipynb,$(shell sed -n 's/^ *\(- file\|root\): *//p' _toc.yml)))

# What the built book depends on, besides the notebooks themselves.
SOURCES := $(shell find book esgd results -type f ! -path '*/__pycache__/*' ! -name '*.pyc' ! -name '.*' 2>/dev/null) \
           _config.yml _toc.yml

.DEFAULT_GOAL := help
.PHONY: help book serve test test-all test-library test-notebooks test-book figures bench lint format clean env
.DELETE_ON_ERROR:

help:  ## show this list
	@echo "Two commands do everything:  make book  ·  make test"; echo
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | awk -F'\t' '{printf "  make %-16s %s\n", $$1, $$2}'

env: $(READY)  ## only create .venv and install everything

# The newest of the tested Pythons that can make a virtual environment, or PYTHON=... if given.
$(READY): requirements.txt pyproject.toml
	@if [ ! -x $(BIN)/python ]; then \
	  for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python); do \
	    if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	      found="$$python"; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "make: no Python 3.11 or newer with venv was found (looked for: $(or $(PYTHON),python3, python3.13, python3.12, python3.11, python))." >&2; \
	    echo "      Install one (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python@3.13)" >&2; \
	    echo "      or name it: make book PYTHON=/path/to/python3.12" >&2; \
	    exit 1; fi; \
	  echo "Creating $(VENV) with $$("$$found" --version) …"; \
	  "$$found" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; \
	fi
	@echo "Installing the pinned environment (about 1.6 GB; once) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip check --disable-pip-version-check
	@touch $@

# Notebooks use all cores. Threads that wait must sleep: beside a busy neighbour, spinning ones take many times as long.
$(BUILT) test-notebooks: export OMP_WAIT_POLICY = PASSIVE

$(BUILT): $(READY) $(SOURCES)
	@echo "Running the notebooks and building the book …"
	@# after a warning every page is read again, else the next build would not repeat the warning
	@$(BIN)/jupyter-book build . -W -n --keep-going || { rm -rf _build/.doctrees; exit 1; }
	@touch $@

book: $(BUILT)  ## set up, run the notebooks, build the book
	@echo; echo "The book is built. Open it:  $(abspath $(HTML))/index.html"
	@echo "or serve it on http://localhost:$(PORT)/ with:  make serve"

serve: $(BUILT)  ## build the book if need be, serve it and open it in the browser
	@echo "http://localhost:$(PORT)/ (stop with Ctrl-C)"
	@( sleep 1; $(BIN)/python -m webbrowser http://localhost:$(PORT)/ >/dev/null 2>&1 || true ) & \
	  exec $(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory $(HTML)

# Both halves run even if the first fails; the exit status tells of either.
test: $(BUILT)  ## set up, build, then every test but the slow ones
	@status=0; \
	$(MAKE) --no-print-directory test-notebooks || status=1; \
	$(SIDE) tests -m "not slow" || status=1; \
	if [ $$status -ne 0 ]; then echo "make: some tests failed, see above" >&2; fi; exit $$status

test-all: $(BUILT)  ## also the slow ones: soaks, kills, four ranks
	@status=0; \
	$(MAKE) --no-print-directory test-notebooks || status=1; \
	$(PYTEST) tests || status=1; exit $$status

test-library: $(READY)  ## only the library and the claims
	@$(SIDE) tests -m "not slow and not browser" --ignore tests/book

test-notebooks: $(READY)  ## only the notebooks, cell by cell; they check themselves
	@$(PYTEST) --nbval-lax --nbval-current-env --nbval-cell-timeout=$(CELL_TIMEOUT) -p no:cacheprovider -q $(NOTEBOOKS)

test-book: $(BUILT)  ## only the built book, in a browser
	@$(PYTEST) tests/book -m "not slow"

figures: $(READY)  ## remake the paper's figures from the recorded runs
	@$(BIN)/python -m esgd figure all

# The other scripts of benchmarks/ are experiments: they train, some of them for hours.
bench: $(READY)  ## speed and memory against peers, as ratios
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[bench]"
	@for name in step hvp page; do echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

lint: $(READY)  ## style of code and notebooks
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/nbstripout --keep-id --verify book/*.ipynb

format: $(READY)  ## mend the style
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format . && $(BIN)/nbstripout --keep-id book/*.ipynb

clean:  ## remove what was built (not .venv)
	rm -rf _build build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
