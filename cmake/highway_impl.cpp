// The one function of Highway's library that the kernels call, for processor families of which every member has
// what its baseline asks for. (x86 takes the library's own, which asks the processor.)
#include "hwy/targets.h"

int64_t hwy::SupportedTargets() { return HWY_STATIC_TARGET; }
