// Systems that choose the size of pages themselves.
#include "ops/cpu/zeroed_memory.h"

namespace exo::ops {

void advise_huge_pages(std::byte*, size_t) {}

}  // namespace exo::ops
