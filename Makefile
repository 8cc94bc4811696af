# The two commands are `make demo` and `make test`; everything here is a thin call of a script or of CMake.
SHELL := /bin/bash
BUILD := build
JOBS ?= $(shell nproc)
# Kernels of libr1_cuda.so, where nvcc is found: A100 and H100. The demo and the tests need them for one.
CUDA_ARCHITECTURES ?= 80;90
# Attention through cuDNN: AUTO where its headers are found. The demo and the tests do without the minute that it takes to compile.
CUDNN ?= AUTO

.DEFAULT_GOAL := help
.PHONY: help deps configure build demo cluster test evaluate sanitize format clean

help:
	@echo "make demo      install what is missing, build, and run the main job on the CPU; prints the path of report.html"
	@echo "make test      install what is missing, build, and run the whole test suite; ends with what passed and was skipped"
	@echo "make cluster   a real Slurm of two nodes on this machine, to try slurm/*.slurm (tests/slurm/cluster down ends it)"
	@echo "make build     the programs (build/bin) and the tests"
	@echo "make evaluate  MODEL= TASK= [PARALLEL=data|tensor NUM_GPUS=n]: benchmarks a model with build/bin/r1_bench (after make build)"
	@echo "make sanitize  the tests of what reads foreign bytes, under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make format    clang-format over the project's sources"
	@echo "make clean     remove build and build-asan"
	@echo "Variables: JOBS=$(JOBS) (compilers at a time), BUILD=$(BUILD)"

deps:
	@tools/install_deps.sh

# CMake itself decides what has to be done again.
configure: deps
	@cmake -S . -B $(BUILD) -G Ninja -DCMAKE_BUILD_TYPE=Release "-DR1_CUDA_ARCHITECTURES=$(CUDA_ARCHITECTURES)" -DR1_CUDNN=$(CUDNN) > $(BUILD)-configure.log 2>&1 || { cat $(BUILD)-configure.log; rm -f $(BUILD)-configure.log; exit 1; }
	@rm -f $(BUILD)-configure.log

build: configure
	@cmake --build $(BUILD) -j $(JOBS)

# The programs alone: a first look should not wait for the tests.
demo: configure
	@cmake --build $(BUILD) -j $(JOBS) --target r1_train_app r1_generate_app r1_bench_app r1_inspect_app
	@tools/demo.sh

# Two Slurm nodes on this machine, to try the templates without a cluster.
cluster: deps
	@tests/slurm/cluster up

demo test: CUDA_ARCHITECTURES := 90
demo test: CUDNN := OFF
test: build
	@tools/run_tests.sh $(BUILD)

# MODEL and TASK as r1_bench takes them; PARALLEL=data shares the problems over NUM_GPUS ranks, PARALLEL=tensor the layers.
NUM_GPUS ?= 1
evaluate:
	@tools/evaluate.sh "$(BUILD)" "$(MODEL)" "$(TASK)" "$(PARALLEL)" "$(NUM_GPUS)"

sanitize: deps
	@tools/sanitize.sh $(BUILD)-asan

format:
	@tools/format.sh

clean:
	rm -rf $(BUILD) $(BUILD)-asan
