# make        build/rmoe                         make test    everything is tested, on a fresh machine too
# make run    the main job: data, two models,    make check   format, include order, warnings, sanitizers
#             a table, a sample of text          make bench   speed against this machine's peak
#                                                make test-gpu  tests and speed on a GPU, with a report
BUILD ?= build
CMAKE_FLAGS ?=
JOBS ?= $(shell nproc)
MAKEFLAGS += --no-print-directory

.PHONY: all run test check bench test-gpu format clean packages

all: packages
	@cmake -S . -B $(BUILD) $(CMAKE_FLAGS) > $(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@cmake --build $(BUILD) -j $(JOBS) --target rmoe

packages:
	@tools/bootstrap.sh

run: all
	@tools/demo.sh $(BUILD)/rmoe

test: packages
	@cmake -S . -B $(BUILD) $(CMAKE_FLAGS) > $(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@cmake --build $(BUILD) -j $(JOBS)
	@tools/run_tests.sh $(BUILD)

check: packages
	tools/check_style.sh
	cmake -S . -B $(BUILD)-check -DCMAKE_BUILD_TYPE=RelWithDebInfo -DRMOE_WERROR=ON -DRMOE_SANITIZE=address,undefined > /dev/null
	cmake --build $(BUILD)-check -j $(JOBS)
	$(BUILD)-check/rmoe_tests --test-case-exclude='*slow*'
	[ ! -x $(BUILD)-check/rmoe_emulator_tests ] || $(BUILD)-check/rmoe_emulator_tests

test-gpu: packages
	@tools/test_gpu.sh $(BUILD)

bench: all
	$(BUILD)/rmoe bench step train/configs/enwik8-medium.toml train/configs/llama-small.toml

format:
	git ls-files '*.cpp' '*.hpp' '*.cu' '*.cuh' | xargs clang-format -i

clean:
	rm -rf $(BUILD) $(BUILD)-check $(BUILD).log
