#include <sys/mman.h>

#include "ops/cpu/zeroed_memory.h"

namespace exo::ops {

void advise_huge_pages(std::byte* data, size_t bytes) {
  [[maybe_unused]] const int refused = madvise(data, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
}

}  // namespace exo::ops
