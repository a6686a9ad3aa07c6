# 64-bit Arm Linux with Debian's cross compiler; the tests run under qemu-user: as a processor without any
# extension (Raspberry Pi 4), with every one that the kernels know, with the dot product only.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++-12)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)
set(EXO_EMULATOR qemu-aarch64 -cpu)
set(EXO_EMULATED_PROCESSORS cortex-a72 max cortex-a76)
