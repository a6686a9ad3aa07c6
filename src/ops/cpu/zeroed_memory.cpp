#include "ops/cpu/zeroed_memory.h"

#include <cstdint>
#include <cstdlib>

namespace exo::ops {
namespace {

constexpr size_t kAlignment = 64;

}  // namespace

void ZeroedMemory::Free::operator()(void* p) const { std::free(p); }

ZeroedMemory::ZeroedMemory(size_t bytes) {
  const size_t alignment = bytes >= 2 * kHugePage ? kHugePage : kAlignment;
  if (bytes > SIZE_MAX - alignment) return;
  // calloc takes memory that the system has zeroed already where it can: nothing is touched.
  allocation_.reset(std::calloc(bytes + alignment, 1));
  if (!allocation_) return;
  const auto address = reinterpret_cast<uintptr_t>(allocation_.get());
  data_ = static_cast<std::byte*>(allocation_.get()) + (alignment - address % alignment) % alignment;
  bytes_ = bytes;
  if (alignment == kHugePage) advise_huge_pages(data_, bytes);
}

}  // namespace exo::ops
