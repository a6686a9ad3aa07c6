# The two commands: `make run` shows the main job, `make test` checks everything. Both install what is missing.
PRESET ?= release
JOBS   ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)

# Other processors are tested with Debian's cross compilers.
OTHERS ?= $(if $(shell command -v apt-get),test-arm test-wasm)

.PHONY: run test test-arm test-wasm build deps fast-test asan tsan fuzz bench format tidy clean

run: build
	@tools/demo-ring --exo build/$(PRESET)/exo $(ARGS)

test: build
	@tools/check-includes
	@cd build/$(PRESET) && ctest --output-on-failure -j$(JOBS)
	@$(if $(OTHERS),$(MAKE) --no-print-directory $(OTHERS))

# What computes, base/ to model/, for 64-bit Arm (under qemu) and for WebAssembly (under node).
test-arm: CROSS = aarch64
test-wasm: CROSS = wasm
test-arm test-wasm:
	@tools/install-deps $(CROSS)
	@cmake --preset $(CROSS) >/dev/null && cmake --build --preset $(CROSS) -j$(JOBS)
	@cd build/$(CROSS) && ctest --output-on-failure -j$(JOBS)

build: deps
	@cmake --preset $(PRESET) >build-configure.log 2>&1 || { cat build-configure.log; rm -f build-configure.log; exit 1; }
	@rm -f build-configure.log
	@cmake --build --preset $(PRESET) -j$(JOBS)

deps:
	@tools/install-deps

# Unit tests only: under a minute.
fast-test: build
	@cd build/$(PRESET) && ctest -L fast --output-on-failure -j$(JOBS)

asan tsan:
	@cmake --preset $@ && cmake --build --preset $@ -j$(JOBS) && cd build/$@ && ctest -L fast --output-on-failure -j$(JOBS)

# FUZZ_SECONDS per target.
FUZZ_SECONDS ?= 60
fuzz:
	@cmake --preset fuzz && cmake --build --preset fuzz -j$(JOBS) && tools/run-fuzz build/fuzz $(FUZZ_SECONDS)

bench:
	@cmake --preset bench && cmake --build --preset bench -j$(JOBS)

format:
	@git ls-files '*.cpp' '*.h' | xargs clang-format -i

tidy: build
	@git ls-files 'src/*.cpp' | grep -v _test.cpp | xargs -P$(JOBS) -n4 clang-tidy-19 -quiet -p build/$(PRESET)

clean:
	rm -rf build
