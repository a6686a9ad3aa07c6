#pragma once
// CHECK is for programmers' mistakes only: never for what a peer, a file or a client can cause.

#include <cstdio>
#include <cstdlib>

namespace exo {
[[noreturn]] inline void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, condition);
  std::abort();
}
}  // namespace exo

#define EXO_CHECK(condition) ((condition) ? void() : ::exo::check_failed(#condition, __FILE__, __LINE__))
#ifdef NDEBUG
#define EXO_DCHECK(condition) ((void)sizeof(condition))
#else
#define EXO_DCHECK(condition) EXO_CHECK(condition)
#endif
