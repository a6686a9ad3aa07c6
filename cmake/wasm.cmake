# WebAssembly with 128-bit SIMD, one thread, WASI for the files: Debian's clang-19, wasi-libc and libc++. The tests run
# under node.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR wasm32)
set(CMAKE_CXX_COMPILER clang++-19)
set(CMAKE_CXX_COMPILER_TARGET wasm32-wasi)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(CMAKE_CXX_FLAGS_INIT "-msimd128 -fno-exceptions")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,-z,stack-size=1048576")
set(CMAKE_EXECUTABLE_SUFFIX_CXX .wasm)
set(EXO_EMULATOR node --no-warnings ${CMAKE_CURRENT_LIST_DIR}/../tools/run-wasi.mjs)
set(EXO_EMULATED_PROCESSORS "")
# Reads folders of files, which libc++ for WASI does not know.
set(EXO_MODULES_LEFT_OUT convert)
