# make help lists the targets.
SHELL   := /bin/bash
PYTHON  ?= python3
VENV    := .venv
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
# a nextflow on PATH that is new enough, else the bundled one, which is assembled at its first call
NEXTFLOW := $(shell tools/find_nextflow.sh)

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export NXF_SYNTAX_PARSER ?= v2

DATA     ?= ../shared/data/labelled ../shared/data/labelled_more
SEED     ?= 1
FUZZ_SECONDS ?= 600
AUDIT    := build/audit

.PHONY: help setup demo test test-faults lint fuzz audit images train-compact clean
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

setup: $(VENV)/setup.ok ## what `nextflow run .` needs: .venv and Nextflow
demo: setup ## run the pipeline on the demo data
	$(NEXTFLOW) run . -profile demo --outdir results-demo

test: lint ## lint and all tests, including those of the pipeline
	$(VENV)/bin/python -m pytest -n 2 tests/unit tests/properties tests/gpu
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile -m 'not slow' tests/pipeline

test-faults: $(VENV)/dev.ok ## all faults of docs/reliability.md, some of them as root only, in half an hour
	$(VENV)/bin/python -m pytest tests/pipeline/faults

lint: $(VENV)/dev.ok ## style, types, Nextflow syntax, equal parameters in schema, config and help
	ruff check
	ruff format --check
	mypy
	tools/lint_nextflow.sh $(NEXTFLOW)
	python tools/check_schema.py $(NEXTFLOW)

fuzz: $(VENV)/dev.ok ## property tests with random examples, and atheris, for FUZZ_SECONDS
	$(VENV)/bin/python tools/fuzz.py $(FUZZ_SECONDS)

audit: $(AUDIT)/tools.ok ## SBOMs of the images in build/audit, known vulnerabilities (needs a network)
	$(AUDIT)/venv/bin/python tools/audit.py $(AUDIT)/venv/bin $(AUDIT) \
	    containers/cpu/requirements.txt containers/gpu/requirements.txt requirements-dev.txt

images: ## container images with podman or docker; BASE_IMAGE and PIP_INDEX set their sources
	tools/build_images.sh $(VERSION)

train-compact: setup ## train the bundled model sets on DATA, with SEED (one GPU, minutes)
	$(VENV)/bin/python tools/train_compact.py --data $(DATA) --seed $(SEED) \
	    --chunk-length 500 --out models/compact-500
	$(VENV)/bin/python tools/train_compact.py --data $(DATA) --seed $(SEED) \
	    --chunk-length 300 --window-shares 0.4 0.8 --out models/compact-300

clean: ## remove the files of runs, not the set-up
	rm -rf work work.checkpoints results-demo .nextflow .nextflow.log* .pytest_cache .ruff_cache .mypy_cache

# A set-up older than its locked requirements is made again.
$(VENV)/setup.ok: containers/gpu/requirements.txt pyproject.toml
	@PYTHON=$(PYTHON) tools/check_prerequisites.sh
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r containers/gpu/requirements.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(NEXTFLOW) -v
	@touch $@

$(VENV)/dev.ok: $(VENV)/setup.ok requirements-dev.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(AUDIT)/tools.ok: tools/audit/requirements.txt
	$(PYTHON) -m venv $(AUDIT)/venv
	$(AUDIT)/venv/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
