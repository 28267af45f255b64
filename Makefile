# make run, make test: everything they need is set up on the way. Environments are in .venv and .envs, state is in .local.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# What the caller's shell says to another Python is not for this one.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV RECORDINGS
# Without bytecode every process compiles all that it imports anew: 4 s more for each that imports MNE and scikit-learn.
unexport PYTHONDONTWRITEBYTECODE

# uv: the one on the PATH, else the checkout's own, which requirements/install.py gets.
UV := $(shell command -v uv 2>/dev/null || echo .envs/uv/bin/uv)
PYTHON_VERSION := $(shell cat .python-version)
export PATH := $(CURDIR)/.envs/uv/bin:$(PATH)
# One folder or file of recordings, whatever characters are in its name.
export P300_RECORDINGS := $(value RECORDINGS)

# An environment made where the checkout was before, or by a Python that is gone, is made again.
$(shell here=$$(pwd -P); for stamp in .envs/*.stamp; do \
	folder=$${stamp%.stamp}; [ "$$folder" != .envs/dev ] || folder=.venv; \
	{ read -r place <"$$stamp" && [ "$$place" = "$$here" ] && [ -x "$$folder/bin/python" ]; } 2>/dev/null || rm -f "$$stamp"; done)

.PHONY: help setup run test test-unit test-integration test-integration-a-l test-integration-m-z test-executor bench test-faults openapi fuzz-api test-docker test-browser layers lint stop lock clean audit conformance examples fuzz fuzz-recordings
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

run: setup ## the main job on this machine: RECORDINGS=<one folder or file>, or synthetic recordings without
	@.venv/bin/p300 run $${P300_RECORDINGS:+-- "$$P300_RECORDINGS"}

layers: setup ## all layers in one folder, for `docker compose up --wait`
	@.venv/bin/p300 layers .local/opt

# Where something may have been started, the command to stop it has to work, also after the checkout was moved.
stop: $(and $(wildcard .venv),$(or $(P300_STATE_DIR),$(wildcard .local/localstack)),.envs/dev.stamp) ## stop what this checkout started, on every port; buckets and objects are gone with it
	@[ ! -e .envs/dev.stamp ] || .venv/bin/p300 down --all

test: lint test-unit test-integration conformance test-executor ## every test that needs no Docker and no browser

# One thread a worker: the workers' threads would wait for each other, a hundred times as long as they compute.
test-unit: setup .envs/sam.stamp .envs/examples.stamp ## the unit tests in random order, with coverage
	@OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 .venv/bin/python -m pytest tests/unit -n 2 --cov

# Two halves, each on a LocalStack of its own port, so that `make --jobs` runs them side by side.
test-integration: test-integration-a-l test-integration-m-z ## the pipeline on LocalStack
test-integration-m-z: export P300_TEST_PORT := $(shell echo $$(($${P300_TEST_PORT:-4576} + 40)))
test-integration-a-l test-integration-m-z: test-integration-%: setup .envs/s3.stamp
	@.venv/bin/python -m pytest tests/integration/test_[$*]*.py

test-executor: setup ## the process executor, which runs functions without Docker
	@LAMBDA_PROCESS_PYTHON="$(CURDIR)"/.envs/runtime/bin/python .envs/localstack/bin/python -m pytest emulator/process_executor/tests

# A LocalStack of its own port, so that it runs beside the others; likewise the browser's.
test-faults: export P300_TEST_PORT ?= 4676
test-faults: setup .envs/s3.stamp ## kill functions and LocalStack, make storage fail, flood; P300_FAULTS_RUN=short leaves out the long parts
	@.venv/bin/python -m pytest tests/faults

test-docker: setup .envs/sam.stamp ## the tests that need a Docker engine
	@.venv/bin/python -m pytest tests/e2e -m docker

test-browser: export P300_TEST_PORT ?= 4696
test-browser: setup ## the console in a headless Chromium; screenshots in .local/screenshots
	@.venv/bin/python -m pytest tests/e2e -m browser

bench: setup ## measured against the plain pipeline in the same run: a table of ratios, benchmarks/results.json; BENCH=short takes minutes
	@P300_BENCH=$(BENCH) .venv/bin/python benchmarks/run.py

CASES ?= 100000
fuzz: setup ## hostile input for every reader, models and the buckets' JSON: CASES=100000 of each; what is found is kept in .local/fuzz
	@.venv/bin/python -m tests.fuzz --cases $(CASES)

fuzz-recordings: setup ## thousands of sessions in every format, with the faults of labs' files: read right, or refused
	@P300_FUZZ_EXAMPLES=2000 .venv/bin/python -m pytest tests/unit/p300 -q -o timeout=0 -k "generated or readers_channels or readers_units or readers_marks or readers_missing"

openapi: setup ## write docs/openapi.json anew
	@.venv/bin/python -c 'import json; from p300_pipeline.serving.openapi import document; print(json.dumps(document(), indent=1, ensure_ascii=False))' > docs/openapi.json

fuzz-api: setup ## ten thousand bodies made from and against the API's description: never a 500, and never an answer that it does not tell of
	@P300_FUZZ_EXAMPLES=2500 .venv/bin/python -m pytest tests/unit/pipeline/test_openapi.py -q -k fuzzed

# pre-commit looks at what git knows; the first three look at files that were not added yet, too.
lint: setup .envs/sam.stamp ## formatter, linter, types, docstrings, spelling, template, workflows
	@.venv/bin/ruff format --check . && .venv/bin/ruff check . && .venv/bin/mypy
	@cd emulator/process_executor && ../../.venv/bin/mypy --python-executable ../../.envs/localstack/bin/python
	@SKIP=format,lint,types .venv/bin/pre-commit run --all-files
	@SAM_CLI_TELEMETRY=0 .envs/sam/bin/sam validate --lint
	@if command -v actionlint >/dev/null; then actionlint; else echo "actionlint is not installed: CI checks the workflows with it"; fi

setup: .envs/dev.stamp .envs/localstack.stamp .envs/runtime.stamp

# What AWS's own runtime brings, and nothing else, is in .envs/runtime: functions must find the rest in their layers.
INSTALL = @python3 requirements/install.py $@
.envs/dev.stamp: requirements/dev.txt requirements/build.txt pyproject.toml .python-version
	$(INSTALL) .venv $< .

.envs/localstack.stamp: requirements/localstack.txt requirements/build.txt emulator/process_executor/pyproject.toml .python-version
	$(INSTALL) .envs/localstack $< emulator/process_executor

.envs/examples.stamp: requirements/examples.txt requirements/build.txt pyproject.toml .python-version
	$(INSTALL) .envs/examples $< .

.envs/runtime.stamp .envs/sam.stamp .envs/audit.stamp .envs/s3.stamp: .envs/%.stamp: requirements/%.txt requirements/build.txt .python-version
	$(INSTALL) .envs/$* $<

# Locks keep what they hold; `make lock UPGRADE=--upgrade` moves them.
COMPILE = "$(UV)" pip compile --quiet --no-header --no-emit-index-url --generate-hashes --python-version $(PYTHON_VERSION) $(UPGRADE)
lock: setup ## write the requirement locks anew
	@$(COMPILE) --universal pyproject.toml requirements/dev.in -o requirements/dev.txt
	@$(COMPILE) --universal requirements/runtime.in -o requirements/runtime.txt
	@$(COMPILE) --universal requirements/sam.in -o requirements/sam.txt
	@$(COMPILE) --universal requirements/audit.in -o requirements/audit.txt
	@$(COMPILE) --universal requirements/s3.in -o requirements/s3.txt
	@$(COMPILE) --universal -c requirements/dev.txt requirements/examples.in -o requirements/examples.txt
	@$(COMPILE) --universal requirements/build.in -o requirements/build.txt
	@$(COMPILE) --universal requirements/uv.in -o requirements/uv.txt
	@$(COMPILE) requirements/localstack.in -o requirements/localstack.txt
	@for layer in signal reporting learning tracking serving; do \
		$(COMPILE) --python-platform x86_64-manylinux_2_28 -c requirements/dev.txt \
			layers/$$layer/requirements.in -o layers/$$layer/requirements.txt || exit 1; done

clean: stop ## remove environments, built layers and state
	@rm -rf .venv .envs .local

examples: setup .envs/examples.stamp ## the models in scikit-learn, and inside MOABB on its fake data set
	@.venv/bin/python examples/models_in_scikit_learn.py
	@.envs/examples/bin/python examples/models_in_moabb.py

conformance: setup .envs/s3.stamp ## the project's S3 calls against moto, LocalStack, ministack and P300_S3_ENDPOINT
	@.venv/bin/python -m pytest tests/conformance

audit: setup .envs/audit.stamp ## the template (checkov), the code (bandit), the workflows (zizmor) and the packages (pip-audit) against what is known
	@.envs/audit/bin/checkov --config-file .checkov.yaml
	@.envs/audit/bin/bandit --quiet --recursive --configfile .bandit.yaml --exclude emulator/process_executor/tests layers/p300 layers/pipeline functions clients emulator benchmarks .ci
	@.envs/audit/bin/zizmor --offline --quiet .github
	@.envs/audit/bin/python .ci/audit_packages.py
