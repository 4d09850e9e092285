# One command per wish; `make help` lists them. Two of them set up everything: `make serve` and `make test`.
# Needs Debian or Ubuntu with Python >= 3.11 (python3-venv, python3-dev), a C++20 compiler and make.

PYTHON ?= python3
VENV   ?= .venv
BENCH  ?= .venv-bench
BENCH_HTTP ?= .venv-bench-http
HOST   ?=
PORT   ?=
CELL   ?=
DATA   ?= $(firstword $(wildcard ../shared/data) ../data)
ARGS   ?=

BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
STAMPS := $(VENV)/stamps
CMAKE  := $(BIN)/cmake

CPP_SOURCES := $(shell find service/kernels benchmarks -name '*.cpp' -o -name '*.h' 2>/dev/null)
SOURCES     := $(CPP_SOURCES) $(shell find service/intbert -type f -not -name '*.so' -not -path '*/__pycache__/*')
CHECKED     := service tests benchmarks loadtest deploy recipes

.DEFAULT_GOAL := help
.PHONY: help serve install test check lint format pytest sanitize check-api build mentor loadtest check-models bench-startup docker-check test-cpus bench bench-http results bench-prototype clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 20

serve: $(STAMPS)/package ## install the service and start it on the bundled models (HOST, PORT, ARGS="--help")
	$(BIN)/intbert serve $(if $(HOST),--host $(HOST)) $(if $(PORT),--port $(PORT)) $(ARGS)

install: $(STAMPS)/package ## install the service without starting it

test: $(STAMPS)/test $(STAMPS)/package ## install everything, lint, build with sanitizers, run all tests
	$(MAKE) --no-print-directory lint
	$(MAKE) --no-print-directory sanitize
	$(MAKE) --no-print-directory pytest

lint: $(STAMPS)/test ## ruff, mypy, import rules, clang-format
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/mypy
	PYTHONPATH=service $(BIN)/lint-imports --no-cache
	$(BIN)/clang-format --dry-run --Werror $(CPP_SOURCES)

format: $(STAMPS)/test ## rewrite the sources in the project's style
	$(BIN)/ruff check --fix $(CHECKED)
	$(BIN)/ruff format $(CHECKED)
	$(BIN)/clang-format -i $(CPP_SOURCES)

pytest: $(STAMPS)/test $(STAMPS)/package ## the tests alone, two files at a time (ARGS="-k name")
	$(BIN)/pytest --numprocesses=2 --dist=loadfile $(ARGS)

sanitize: $(STAMPS)/test ## build the kernels' own check with ASan and UBSan and run it
	$(CMAKE) -S . -B build/sanitize -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) -DCMAKE_BUILD_TYPE=Debug \
		-DCMAKE_CXX_FLAGS_DEBUG="-O1 -g1" -DINTBERT_SANITIZE=ON -DINTBERT_KERNEL_CHECK=ON -DINTBERT_PYTHON_MODULE=OFF
	$(CMAKE) --build build/sanitize
	build/sanitize/kernel_check

check-api: $(STAMPS)/test $(STAMPS)/package ## thousands of generated requests against the OpenAPI document (schemathesis)
	$(BIN)/python -m tests.api.check_schema

build: $(STAMPS)/test $(STAMPS)/package ## build a model from a recipe (ARGS="recipes/NAME.toml --data FOLDER")
	$(BIN)/intbert build $(ARGS)

mentor: $(STAMPS)/test ## fetch the larger model that recipes/mentor.toml learns from (400 MB, to runs/)
	$(BIN)/python recipes/all_mpnet_base_v2.py

loadtest: $(STAMPS)/test $(STAMPS)/package ## int8 beside FP32 under load, with a report (ARGS="--help")
	$(BIN)/python -m loadtest $(ARGS)

bench-startup: $(STAMPS)/test $(STAMPS)/package ## time to ready, and memory over 10,000 requests (ARGS="--help")
	$(BIN)/python -m loadtest.startup $(ARGS)

docker-check: $(STAMPS)/test $(STAMPS)/package ## image and compose stack with a real container engine (as root)
	$(BIN)/python -m deploy.docker_check

test-cpus: $(STAMPS)/test $(STAMPS)/package ## the kernels of other CPUs under emulation, bit for bit (installs qemu and a cross-compiler as root)
	$(BIN)/python -m tests.cpus.run $(ARGS)

bench: $(BENCH)/stamps/package ## ours beside the peers, interleaved, about half an hour (ARGS="--help", ARGS="--quick")
	$(BENCH)/bin/python -m benchmarks $(ARGS)

results: $(STAMPS)/test $(STAMPS)/package ## docs/results.md from the committed records, or one cell of it made again (CELL=mrpc/q8bert/1, DATA=../data)
	$(BIN)/python -m benchmarks.accuracy $(CELL) --data $(DATA) $(ARGS)

check-models: $(STAMPS)/test $(STAMPS)/package ## are the store's models as good as their cards say (DATA=../data, ARGS="sst2-minilm-l6")
	$(BIN)/python -m benchmarks.check_models --data $(DATA) $(ARGS)

bench-http: $(BENCH_HTTP)/stamps/peers $(STAMPS)/test $(STAMPS)/package ## the server beside others, with shadow, overloaded: eight minutes (ARGS="--help")
	$(BIN)/python -m benchmarks.http $(ARGS)

bench-prototype: $(STAMPS)/serve ## the building blocks of the kernels against the peak of this core
	$(CMAKE) -S benchmarks/prototype -B build/prototype -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja)
	$(CMAKE) --build build/prototype --target run

clean: ## remove the environment and everything built
	rm -rf $(VENV) $(BENCH) $(BENCH_HTTP) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	mkdir -p $(STAMPS) && touch $@

$(STAMPS)/serve: requirements/serve.txt $(STAMPS)/venv
	$(PIP) install --quiet --require-hashes --no-deps -r requirements/serve.txt
	touch $@

# torch comes first: what depends on it must find this machine's build of it.
$(STAMPS)/torch: requirements/torch.txt $(STAMPS)/serve
	$(PIP) install --quiet -r requirements/torch.txt
	touch $@

$(STAMPS)/test: requirements/test.txt $(STAMPS)/torch
	$(PIP) install --quiet --require-hashes --no-deps -r requirements/test.txt
	touch $@

# A real installation, not an editable one: what runs and what is tested is what a wheel contains.
$(STAMPS)/package: pyproject.toml CMakeLists.txt $(SOURCES) $(STAMPS)/serve
	$(PIP) install --quiet --no-deps --no-build-isolation --force-reinstall .
	touch $@

# The peers live in an environment of their own: their demands must not decide what the service or the tests run with.
$(BENCH)/stamps/peers: requirements/bench.txt requirements/torch.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip --disable-pip-version-check install --quiet -r requirements/torch.txt
	$(BENCH)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps -r requirements/bench.txt
	mkdir -p $(BENCH)/stamps && touch $@

$(BENCH)/stamps/package: pyproject.toml CMakeLists.txt $(SOURCES) $(BENCH)/stamps/peers
	$(BENCH)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --force-reinstall .
	touch $@

$(BENCH_HTTP)/stamps/peers: requirements/bench-http.txt
	$(PYTHON) -m venv $(BENCH_HTTP)
	$(BENCH_HTTP)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps -r requirements/bench-http.txt
	mkdir -p $(BENCH_HTTP)/stamps && touch $@
