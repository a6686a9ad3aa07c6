#include "rivals.h"

#include <algorithm>
#include <numeric>

#include "cluster/stage_memory.h"

namespace exo::bench {
namespace {

using cluster::PlacementDevice;
using cluster::PlacementRequest;
using cluster::StageMemory;

// Layers that fit into the device's memory wherever it stands in the ring.
int32_t capacity(const StageMemory& memory, const PlacementDevice& device) {
  const int32_t layers = memory.n_layers();
  int32_t n = 0;
  const auto fits = [&](int32_t count) {
    const uint64_t budget = device.profile.memory_budget_bytes;
    return memory.fits(0, count, budget) && memory.fits(layers - count, layers, budget);
  };
  while (n < layers && fits(n + 1)) ++n;
  return n;
}

Assignment in_order(std::span<const PlacementDevice> devices, const std::vector<int32_t>& counts) {
  Assignment assignment;
  for (size_t i = 0; i < devices.size(); ++i) {
    if (counts[i] > 0) assignment.push_back({devices[i].name, counts[i]});
  }
  return assignment;
}

}  // namespace

Assignment llama_cpp_split(const wire::ModelFacts& model, std::span<const PlacementDevice> devices,
                           const PlacementRequest&) {
  double total = 0, before = 0;
  for (const auto& device : devices) total += static_cast<double>(device.profile.memory_budget_bytes);
  std::vector<int32_t> counts(devices.size());
  // A layer belongs to the device in whose part of the cumulative memory it falls.
  for (size_t i = 0; i < devices.size(); ++i) {
    const double after = before + static_cast<double>(devices[i].profile.memory_budget_bytes);
    const auto at = [&](double part) {
      return i + 1 == devices.size() && part >= total ? model.n_layers
                                                      : static_cast<int32_t>(part / total * model.n_layers + 0.5);
    };
    counts[i] = at(after) - at(before);
    before = after;
  }
  return in_order(devices, counts);
}

Assignment halda_like(const wire::ModelFacts& model, std::span<const PlacementDevice> devices,
                      const PlacementRequest& request) {
  const auto memory = StageMemory::of(model, request);
  std::vector<int32_t> counts(devices.size());
  if (!memory) return {};
  std::vector<size_t> order(devices.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return devices[a].profile.int8_ops_per_s > devices[b].profile.int8_ops_per_s;
  });
  int32_t left = model.n_layers;
  for (size_t i : order) {
    counts[i] = std::min(left, capacity(*memory, devices[i]));
    left -= counts[i];
  }
  // What fits nowhere in whole layers is read from the fastest disk.
  for (; left > 0; --left) {
    const auto fastest = std::max_element(order.begin(), order.end(), [&](size_t a, size_t b) {
      return devices[a].profile.disk_bytes_per_s < devices[b].profile.disk_bytes_per_s;
    });
    ++counts[*fastest];
  }
  return in_order(devices, counts);
}

}  // namespace exo::bench
