# `make demo` and `make test` need Python 3.10 or later, cargo and make; everything else is set up in .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# How many tests run at a time, each in its own process; 0 runs them in one process.
WORKERS ?= 2
# Cargo's profile for the extension. CI uses `dev`, which takes less time to build.
PROFILE ?= release
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
RUST := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name Cargo.toml)

.DEFAULT_GOAL := help
.PHONY: help build demo test lint check bench fuzz gpu-kit clean docs
.PHONY: rust-fmt rust-lint python-lint rust-build rust-test python-test quick-test stubs wheel-test
export MATURIN_PEP517_ARGS := --profile $(PROFILE)
# In `make -j`, MAKEFLAGS names a job server that recipes cannot reach, and Cargo would look for it.
unexport MAKEFLAGS

help:
	@echo 'make demo   text, tokenizer, records, a tiny model pretrained and evaluated (into demo/)'
	@echo 'make test   Rust tests, Python tests, type stubs, the built wheel'
	@echo 'make lint   rustfmt, clippy, ruff, mypy'
	@echo 'make check  the quick loop: lint and the Python tests that are neither slow nor need TensorFlow'
	@echo 'make bench  speed against sentencepiece, dd and PyTorch, in one run (BENCH_ARGS="--text FILE" for your own text)'
	@echo 'make fuzz   coverage-guided fuzzing of every reader of files (FUZZ_ARGS="--seconds 60"); needs nightly Rust and cargo-fuzz'
	@echo 'make gpu-kit  a kit that measures a training step on another machine'"'"'s GPU (into build/gpu-kit; docs/training.md)'
	@echo 'make docs   the documentation site (into build/site), with every link in it checked'
	@echo 'make build  the virtual environment .venv with albert-fast in it'
	@echo 'make clean  remove what the above made'

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo 'make: no python3 found; install Python 3.11, or pass PYTHON=/path/to/python3'; exit 1; }
	@command -v cargo >/dev/null || { echo 'make: no cargo found; install Rust 1.91 or later (https://rustup.rs)'; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

# Tools, libraries and extension the first time and when pyproject.toml changed; else the extension alone.
$(VENV)/extension: $(BIN)/python pyproject.toml $(RUST)
	@if [ $(VENV)/installed -nt pyproject.toml ]; then \
	  echo 'building the extension'; $(PIP) --no-deps --no-build-isolation --editable .; \
	else \
	  echo 'installing tools and libraries, building the extension'; $(PIP) --editable '.[dev,train]' && touch $(VENV)/installed; \
	fi
	@touch $@

build: $(VENV)/extension

demo: build
	$(BIN)/albert-fast demo --output-dir demo

test: rust-test python-test stubs wheel-test

rust-build:
	cargo test --locked --no-run

rust-test:
	cargo test --locked

# TensorFlow's threads and the tests that fork stay out of each other's processes.
python-test: build
	$(PYTEST) -m 'not tensorflow'
	$(PYTEST) -m tensorflow

quick-test: build
	$(PYTEST) -m 'not tensorflow and not slow'

stubs: build
	$(BIN)/python -m mypy.stubtest albert_fast._native

# From another directory, so that the wheel is imported and not this checkout.
wheel-test: build
	rm -rf build/wheel build/smoke
	$(BIN)/maturin build --quiet --profile $(PROFILE) --locked --out build/wheel
	$(PIP) --no-deps --target build/smoke build/wheel/*.whl
	cd build && ../$(BIN)/python ../tests/helpers/wheel_smoke.py smoke

check: lint quick-test
lint: rust-fmt rust-lint python-lint

rust-fmt:
	cargo fmt --all --check

rust-lint:
	cargo clippy --locked --workspace --all-targets -- -D warnings

python-lint: build
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: build
	$(BIN)/python benches/bench.py $(BENCH_ARGS)

fuzz: build
	$(BIN)/python rust/fuzz/fuzz_readers.py $(FUZZ_ARGS)

# Zensical reports broken links and anchors, and the pages of the commands are written first.
docs: build
	$(BIN)/python tools/reference.py
	$(BIN)/zensical build --strict --clean

gpu-kit: build
	$(BIN)/python benches/gpu/build.py --output-dir build/gpu-kit

clean:
	rm -rf $(VENV) build dist demo target .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -f albert_fast/_native*.so
