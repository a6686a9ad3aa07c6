// Debian's compiler runtime for WebAssembly is built with stack protection, and its C library lacks what that needs.
#include <cstdint>

extern "C" {
uintptr_t __stack_chk_guard = 0x5bd1e995;
[[noreturn]] void __stack_chk_fail() { __builtin_trap(); }
}
