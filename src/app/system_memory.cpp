#include "app/system_memory.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace exo::app {
namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The number after `name` at the beginning of a line, times `unit`; 0 when absent.
uint64_t field(const std::filesystem::path& path, std::string_view name, uint64_t unit) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with(name)) return std::strtoull(line.c_str() + name.size(), nullptr, 10) * unit;
  }
  return 0;
}

uint64_t meminfo(std::string_view name) { return field("/proc/meminfo", name, 1024); }

GroupMemory tightest(const GroupMemory& a, const GroupMemory& b) {
  return {std::min(a.limit_bytes, b.limit_bytes), std::min(a.available_bytes, b.available_bytes)};
}

// Of one folder of version 1 of control groups, as older container hosts still have it.
GroupMemory old_group_memory(const std::filesystem::path& folder) {
  const auto text = read_file(folder / "memory.limit_in_bytes");
  const uint64_t limit = std::strtoull(text.c_str(), nullptr, 10);
  if (text.empty() || limit == 0 || limit > (uint64_t{1} << 60)) return {};
  const uint64_t used = std::strtoull(read_file(folder / "memory.usage_in_bytes").c_str(), nullptr, 10);
  const uint64_t cache = field(folder / "memory.stat", "total_inactive_file ", 1);
  const uint64_t held = used > cache ? used - cache : 0;
  return {limit, limit > held ? limit - held : 0};
}

// Of all control groups around this process, the tightest.
GroupMemory all_groups() {
  GroupMemory result;
  const auto walk_up = [&](std::string_view group, const std::filesystem::path& root, auto memory_of) {
    auto folder = std::filesystem::path(group.substr(1)).lexically_normal();
    for (; !folder.empty() && *folder.begin() != ".."; folder = folder.parent_path()) {
      result = tightest(result, memory_of(root / folder));
      if (!folder.has_relative_path()) break;
    }
    result = tightest(result, memory_of(root));
  };
  std::ifstream file("/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {  // version 2: "0::/group"; 1: "9:memory:/group"
    const auto name = line.find(':'), group = line.find(":/");
    if (name == std::string::npos || group == std::string::npos) continue;
    const auto controllers = std::string_view(line).substr(name, group - name);
    const auto path = std::string_view(line).substr(group + 1);
    if (controllers == ":") walk_up(path, "/sys/fs/cgroup", group_memory);
    if (controllers == ":memory") walk_up(path, "/sys/fs/cgroup/memory", old_group_memory);
  }
  return result;
}

}  // namespace

GroupMemory group_memory(const std::filesystem::path& folder) {
  const auto text = read_file(folder / "memory.max");
  if (text.empty() || text.starts_with("max")) return {};
  const uint64_t limit = std::strtoull(text.c_str(), nullptr, 10);
  const uint64_t used = std::strtoull(read_file(folder / "memory.current").c_str(), nullptr, 10);
  const uint64_t cache = field(folder / "memory.stat", "inactive_file ", 1);
  const uint64_t held = used > cache ? used - cache : 0;
  return {limit, limit > held ? limit - held : 0};
}

uint64_t memory_total_bytes() {
  uint64_t total = meminfo("MemTotal:");
  if (total == 0) total = uint64_t(sysconf(_SC_PHYS_PAGES)) * uint64_t(sysconf(_SC_PAGESIZE));
  return std::min(total, all_groups().limit_bytes);
}

uint64_t memory_available_bytes() {
  uint64_t available = meminfo("MemAvailable:");
  if (available == 0) available = memory_total_bytes() / 2;
  return std::min(available, all_groups().available_bytes);
}

uint64_t memory_own_bytes() { return field("/proc/self/status", "RssAnon:", 1024); }

}  // namespace exo::app
