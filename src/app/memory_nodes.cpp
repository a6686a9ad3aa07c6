#include "app/memory_nodes.h"

#include <charconv>
#include <climits>
#include <fstream>
#include <iterator>
#include <string>

#ifdef __linux__
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace exo::app {
namespace {

constexpr int kMostNodes = 1024;  // as Linux is built at most

#ifdef __linux__
int present_policy() {  // -1: the system does not tell
  int mode = -1;
  return syscall(SYS_get_mempolicy, &mode, nullptr, 0UL, nullptr, 0UL) == 0 ? mode : -1;
}
#endif

}  // namespace

std::vector<int> numbers_in_list(std::string_view list) {
  std::vector<int> numbers;
  while (list.ends_with('\n')) list.remove_suffix(1);
  const char *at = list.data(), *end = at + list.size();
  while (at < end) {
    int first = 0;
    auto read = std::from_chars(at, end, first);
    int last = first;
    if (read.ec == std::errc() && read.ptr < end && *read.ptr == '-')
      read = std::from_chars(read.ptr + 1, end, last);
    const bool more = read.ptr < end && *read.ptr == ',';
    if (read.ec != std::errc() || first < 0 || last < first || last >= kMostNodes) return {};
    if (more ? read.ptr + 1 == end : read.ptr != end) return {};
    for (int n = first; n <= last; ++n) numbers.push_back(n);
    at = read.ptr + (more ? 1 : 0);
  }
  return numbers;
}

std::vector<int> memory_nodes(const std::filesystem::path& folder) {
  std::ifstream file(folder / "has_memory");
  return numbers_in_list(std::string(std::istreambuf_iterator<char>(file), {}));
}

#ifdef __linux__
bool spread_memory(const std::vector<int>& nodes) {
  if (nodes.size() < 2 || present_policy() != MPOL_DEFAULT) return false;
  constexpr int kBits = sizeof(unsigned long) * CHAR_BIT;
  unsigned long mask[kMostNodes / kBits] = {};
  for (const int node : nodes) {
    if (node < kMostNodes) mask[node / kBits] |= 1UL << node % kBits;
  }
  return syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, mask, static_cast<unsigned long>(kMostNodes)) == 0;
}
bool memory_is_spread() { return present_policy() == MPOL_INTERLEAVE; }
#else
bool spread_memory(const std::vector<int>&) { return false; }
bool memory_is_spread() { return false; }
#endif

}  // namespace exo::app
