# `make demo` and `make test` set up what they need. PYTHON chooses the interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
export CARGO_TARGET_DIR ?= $(CURDIR)/target
# What the wheel is made of: a change there builds it anew.
SOURCES = $(shell find rust python Cargo.toml Cargo.lock pyproject.toml -type f \
	-not -path '*/__pycache__/*' -not -path '*/tests/*' -not -path '*/benches/*')

.PHONY: demo test test-rust test-python bench docs fuzz lint format stubs clean

demo: $(VENV)/.installed
	$(BIN)/netfast demo

$(VENV)/.tools:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check 'maturin>=1.14,<2'
	touch $@

$(VENV)/.installed: $(VENV)/.tools $(SOURCES)
	rm -f dist/netfast-*.whl
	$(BIN)/maturin build --release --out dist
	$(BIN)/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps dist/netfast-*.whl
	$(BIN)/pip install --quiet --disable-pip-version-check dist/netfast-*.whl
	touch $@

$(VENV)/.test: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(echo dist/netfast-*.whl)[test,lint,docs]"
	touch $@

test: test-rust test-python

# The binding has no tests of its own: it would have to link a Python.
test-rust:
	cargo test --quiet --locked --workspace --exclude netfast-py

test-python: $(VENV)/.test
	$(BIN)/python -m pytest

bench: $(VENV)/.test
	$(BIN)/python -m pytest benches --benchmark-only
	cargo bench --workspace --exclude netfast-py

docs: $(VENV)/.test
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

# Half a minute each; FUZZ_SECONDS=600 for a longer search. What it finds that is new stands in fuzz/target/found; the
# committed corpus is what `cargo fuzz cmin --sanitizer none TARGET` leaves of it.
FUZZ_SECONDS ?= 30
fuzz:
	command -v cargo-fuzz >/dev/null || cargo install --quiet --locked cargo-fuzz
	for target in $$(cargo fuzz list); do \
		mkdir -p fuzz/target/found/$$target && \
		cargo fuzz run --sanitizer none $$target fuzz/target/found/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 -rss_limit_mb=1024 || exit 1; \
	done

lint: $(VENV)/.test
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest netfast --mypy-config-file pyproject.toml

format:
	cargo fmt --all
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The stubs of the native module come from the binary.
stubs: $(VENV)/.tools
	$(BIN)/maturin generate-stubs --profile dev --features stubs --out target/stubs
	$(BIN)/python tools/stubs.py target/stubs/netfast/_netfast.pyi python/netfast/_netfast.pyi
	$(BIN)/pip install --quiet --disable-pip-version-check ruff
	$(BIN)/ruff check --quiet --fix python/netfast/_netfast.pyi
	$(BIN)/ruff format --quiet python/netfast/_netfast.pyi

clean:
	rm -rf target dist $(VENV) docs/_build fuzz/target
