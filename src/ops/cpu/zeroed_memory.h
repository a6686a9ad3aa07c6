#pragma once
// Large blocks of memory: zeroed by the system when a page is first touched, not before.

#include <cstddef>
#include <memory>

namespace exo::ops {

// Aligned to 64 bytes; from some megabytes on to huge pages, which it then asks for (huge_pages_*.cpp).
class ZeroedMemory {
 public:
  // data() is null when there is no memory.
  explicit ZeroedMemory(size_t bytes);
  std::byte* data() { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* p) const;
  };
  std::unique_ptr<void, Free> allocation_;
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

// Asks for huge pages where the system has them on demand; a hint, nothing else. `data` is aligned to kHugePage.
inline constexpr size_t kHugePage = size_t{2} << 20;
void advise_huge_pages(std::byte* data, size_t bytes);

}  // namespace exo::ops
