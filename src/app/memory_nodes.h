#pragma once
// Machines with several memory nodes (NUMA: two sockets, or a large processor in parts). Weights lie in the memory
// of the node whose thread touched them first; if that is one node, all threads wait for it. Spread page by page
// over all, they come with the bandwidth of all.

#include <filesystem>
#include <string_view>
#include <vector>

namespace exo::app {

// The numbers in a list like "0-1,3"; none where it is not such a list. For tests.
std::vector<int> numbers_in_list(std::string_view list);
// Nodes that have memory, from the system's folder about nodes; none where the system has no such folder.
std::vector<int> memory_nodes(const std::filesystem::path& folder = "/sys/devices/system/node");

// From now on, memory and file pages that this thread, and those that it starts, are the first to touch are taken
// from all `nodes` in turn. Says whether it is so: not with fewer than two nodes, nor where somebody (numactl) has
// already decided otherwise or the system refuses.
bool spread_memory(const std::vector<int>& nodes);
// Whether this thread's memory is spread, by whom ever.
bool memory_is_spread();

}  // namespace exo::app
