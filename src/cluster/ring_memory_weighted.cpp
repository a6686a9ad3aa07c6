// The default strategy: layers in proportion to memory, stages ordered by (memory, id) descending, rounded by the
// largest remainder; no stage empty, none over its budget. Devices that would get no layer are left out.

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "cluster/strategies.h"

namespace exo::cluster {
namespace {

using Devices = std::span<const PlacementDevice* const>;

// Shares `layers` in proportion to `weights` by the largest remainder, but never more than `most` each and, when
// `at_least_one`, never none. What does not fit anywhere is left out of the sum. Ties go to the earlier device.
std::vector<int32_t> share(const std::vector<double>& weights, int32_t layers, const std::vector<int32_t>& most,
                           bool at_least_one) {
  std::vector<int32_t> counts(weights.size(), 0);
  std::vector<size_t> open(weights.size());
  std::iota(open.begin(), open.end(), size_t{0});
  double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  int32_t left = layers;
  const auto quota = [&](size_t i) { return total > 0 ? left * (weights[i] / total) : 0; };

  for (bool again = true; again;) {  // whoever would be over its cap gets just that; the rest share what is left
    std::vector<size_t> over;
    for (size_t i : open) {
      if (quota(i) > most[i]) over.push_back(i);
    }
    for (size_t i : over) {
      counts[i] = most[i];
      left -= most[i];
      total -= weights[i];
      std::erase(open, i);
    }
    again = !over.empty();
  }

  std::vector<std::pair<double, size_t>> remainders;
  int32_t given = 0;
  for (size_t i : open) {
    counts[i] = static_cast<int32_t>(quota(i) + 1e-9);
    given += counts[i];
    remainders.emplace_back(counts[i] - quota(i), i);  // negative: ascending is the largest remainder first
  }
  std::stable_sort(remainders.begin(), remainders.end(), [](const auto& a, const auto& b) {
    return std::llround(a.first * 1e6) < std::llround(b.first * 1e6);
  });
  for (const auto& [remainder, i] : remainders) {
    if (given >= left) break;
    ++counts[i];
    ++given;
  }

  if (at_least_one) {
    for (int32_t& count : counts) {
      if (count > 0) continue;
      --*std::max_element(counts.begin(), counts.end());
      count = 1;
    }
  }
  return counts;
}

// The most layers from `begin` that fit on the device, at most up to `limit`.
int32_t last_end(const StageMemory& memory, const PlacementDevice& device, int32_t begin, int32_t limit) {
  int32_t low = begin, high = limit;
  while (low < high) {
    const int32_t middle = low + (high - low + 1) / 2;
    if (memory.fits(begin, middle, device.profile.memory_budget_bytes))
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

int32_t first_begin(const StageMemory& memory, const PlacementDevice& device, int32_t end, int32_t limit) {
  int32_t low = limit, high = end;
  while (low < high) {
    const int32_t middle = low + (high - low) / 2;
    if (memory.fits(middle, end, device.profile.memory_budget_bytes))
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

// Boundaries as near to the wanted counts as the budgets allow; nullopt when these devices in this order cannot.
std::optional<Choices> pack(const PlacementProblem& problem, Devices devices, const std::vector<int32_t>& wanted) {
  const StageMemory& memory = problem.memory;
  const int32_t layers = memory.n_layers(), n = static_cast<int32_t>(devices.size());
  // least[i]: the earliest layer from which devices i… can hold everything to the end.
  std::vector<int32_t> least(devices.size() + 1, layers);
  for (int32_t i = n - 1; i > 0; --i) {
    const auto at = static_cast<size_t>(i);
    least[at] = first_begin(memory, *devices[at], least[at + 1], i);
    if (least[at] >= least[at + 1]) return std::nullopt;
  }
  Choices choices;
  int32_t begin = 0, target = 0;
  for (int32_t i = 0; i < n; ++i) {
    const auto at = static_cast<size_t>(i);
    target += wanted[at];
    const int32_t limit = layers - (n - 1 - i);
    const int32_t most = last_end(memory, *devices[at], begin, limit);
    const int32_t low = std::max(least[at + 1], begin + 1);
    if (low > most) return std::nullopt;
    const int32_t end = i == n - 1 ? layers : std::clamp(target, low, most);
    if (end > most) return std::nullopt;
    choices.emplace_back(devices[at], begin, end);
    begin = end;
  }
  return choices;
}

std::optional<Choices> try_devices(const PlacementProblem& problem, Devices devices) {
  const StageMemory& memory = problem.memory;
  const int32_t layers = memory.n_layers(), n = static_cast<int32_t>(devices.size());
  std::vector<double> weights;
  std::vector<int32_t> most;
  for (int32_t i = 0; i < n; ++i) {
    const PlacementDevice& device = *devices[static_cast<size_t>(i)];
    weights.push_back(static_cast<double>(device.profile.memory_budget_bytes));
    // Caps by position: the first holds the embedding, the last the head, the others begin somewhere in the middle.
    int32_t cap = 0;
    if (i == 0) {
      cap = last_end(memory, device, 0, layers);
    } else if (i == n - 1) {
      cap = layers - first_begin(memory, device, layers, 0);
    } else {
      cap = last_end(memory, device, 1, layers - 1) - 1;
    }
    most.push_back(std::max(cap, 1));
  }
  return pack(problem, devices, share(weights, layers, most, true));
}

// How many devices a plain largest-remainder split would use.
size_t natural_size(const PlacementProblem& problem, Devices devices) {
  std::vector<double> weights;
  for (const auto* device : devices) weights.push_back(static_cast<double>(device->profile.memory_budget_bytes));
  const int32_t layers = problem.memory.n_layers();
  const auto counts = share(weights, layers, std::vector<int32_t>(devices.size(), layers), false);
  return static_cast<size_t>(std::count_if(counts.begin(), counts.end(), [](int32_t c) { return c > 0; }));
}

Error refusal_of(const PlacementProblem& problem, Devices devices) {
  const StageMemory& memory = problem.memory;
  const int32_t layers = memory.n_layers();
  uint64_t have = 0;
  for (const auto* device : devices) have += StageMemory::usable(device->profile.memory_budget_bytes);
  const uint64_t stages = std::max<uint64_t>(std::min<uint64_t>(devices.size(), static_cast<uint64_t>(layers)), 1);
  const uint64_t need = memory.need(0, layers) + (stages - 1) * memory.activation_bytes(0, 0);
  if (need > have) {
    return does_not_fit(
        problem,
        fmt::format("the {} usable device{} together offer", devices.size(), devices.size() == 1 ? "" : "s"), need,
        have);
  }
  uint64_t largest = 0;
  for (int32_t i = 0; i < layers; ++i) largest = std::max(largest, memory.need(i, i + 1));
  return {ErrorCode::kResourceExhausted,
          fmt::format("{} does not fit: {} are enough in sum for the {} it needs, but not in whole layers (a stage "
                      "of one layer takes up to {} = {} bytes)",
                      problem.model.name, human_bytes(have), human_bytes(need), human_bytes(largest), largest)};
}

// Those that can hold at least one layer.
std::vector<const PlacementDevice*> usable_devices(const PlacementProblem& problem) {
  uint64_t smallest = UINT64_MAX;  // the least that any stage takes
  for (int32_t i = 0; i < problem.memory.n_layers(); ++i)
    smallest = std::min(smallest, problem.memory.need(i, i + 1));
  std::vector<const PlacementDevice*> usable;
  for (const auto& device : problem.devices) {
    if (StageMemory::usable(device.profile.memory_budget_bytes) >= smallest) usable.push_back(&device);
  }
  return usable;
}

}  // namespace

Result<Choices> choose_ring_memory_weighted(const PlacementProblem& problem) {
  const int32_t layers = problem.memory.n_layers();
  const auto usable = usable_devices(problem);
  const auto least = static_cast<size_t>(std::max(problem.request.min_stages, 1));
  if (least > static_cast<size_t>(layers)) {
    return fail(ErrorCode::kInvalidArgument, "{} stages asked for, but {} has {} layers", least, problem.model.name,
                layers);
  }
  if (usable.size() < least && usable.size() == problem.devices.size()) {
    return fail(ErrorCode::kResourceExhausted, "{} stages asked for, but there are {} devices", least,
                usable.size());
  }
  const Devices all(usable);
  const size_t most = std::min(all.size(), static_cast<size_t>(layers));
  if (most >= least) {
    const size_t natural = std::clamp(natural_size(problem, all), least, most);
    for (size_t n = natural; n >= least; --n) {
      if (auto choices = try_devices(problem, all.first(n))) return *choices;
    }
    for (size_t n = natural + 1; n <= most; ++n) {
      if (auto choices = try_devices(problem, all.first(n))) return *choices;
    }
  }
  return std::unexpected(ring_refusal(problem));
}

Error ring_refusal(const PlacementProblem& problem) {
  const auto usable = usable_devices(problem);
  std::vector<const PlacementDevice*> everyone;
  for (const auto& device : problem.devices) everyone.push_back(&device);
  return refusal_of(problem, usable.empty() ? Devices(everyone) : Devices(usable));
}

}  // namespace exo::cluster
