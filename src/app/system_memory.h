#pragma once
// How much memory there is, as the operating system and the containers around this process let it be used.

#include <cstdint>
#include <filesystem>

namespace exo::app {

// Total memory of the machine or of the smallest control group around this process.
uint64_t memory_total_bytes();
// What could be taken now without pushing anybody else out: MemAvailable, within what the control groups leave
// (their file caches count as free).
uint64_t memory_available_bytes();
// What this process holds beside files: it would be free again if exo gave back its models.
uint64_t memory_own_bytes();

// Of one control group folder (version 2); what has no limit is UINT64_MAX. For tests.
struct GroupMemory {
  uint64_t limit_bytes = UINT64_MAX, available_bytes = UINT64_MAX;
};
GroupMemory group_memory(const std::filesystem::path& folder);

}  // namespace exo::app
