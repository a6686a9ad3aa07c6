#pragma once
// Which units, in which order, with which layers: the search behind the strategies `fastest`, `throughput` and
// `hybrid`. A unit is a device, or a team of them, that could be a stage; no device is in two stages.
//
// What is minimised: the sum over the ring of stage times and hops (kSum), or the slowest stage or transfer, and
// among those the sum (kBottleneck).

#include <cstdint>
#include <optional>
#include <vector>

#include "cluster/strategies.h"

namespace exo::cluster {

enum class Minimise { kSum, kBottleneck };

// Up to so many devices the search is exhaustive.
inline constexpr size_t kExactDevices = 12;

// Stage times as sums: unit u takes layers [b, e) in overhead + until[e] - until[b], and head more when e is the
// end.
struct SearchUnit {
  Team team;
  std::vector<size_t> devices;  // of the team, as indices into the problem's devices
  uint32_t set = 0;             // bit i: device i, of the first 32
  std::vector<double> until;    // [n_layers + 1] sum of layer times before
  double overhead = 0, head = 0;
  std::vector<int32_t> earliest;  // [n_layers + 1] the first b ≥ 1 for which [b, e) fits; e when none does
  int32_t first_end = 0;          // the last e for which [0, e) fits

  double stage(int32_t begin, int32_t end) const {
    const bool last = end + 1 == static_cast<int32_t>(until.size());
    return overhead + until[static_cast<size_t>(end)] - until[static_cast<size_t>(begin)] + (last ? head : 0);
  }
};

struct RingStage {
  size_t unit = 0;
  int32_t begin = 0, end = 0;
};

struct SearchSpace {
  const CostModel* costs = nullptr;
  bool from_disk = false;  // stages may be larger than their memory; then only local search is used
  int32_t n_layers = 0;
  size_t n_devices = 0;
  int32_t min_devices = 1;
  std::vector<SearchUnit> units;
  // [units × units]: from the row's unit to the column's; `back` from the last to the first.
  std::vector<double> hop, transfer, back;

  double stage_ms(const RingStage& stage) const;
  double hop_of(size_t from, size_t to) const { return hop[from * units.size() + to]; }
  double transfer_of(size_t from, size_t to) const { return transfer[from * units.size() + to]; }
  double back_of(size_t from, size_t to) const { return back[from * units.size() + to]; }
};

struct Ring {
  std::vector<RingStage> stages;
  double sum = 0, bottleneck = 0;
  bool optimal = true;
};

// Times are those of `pass`. Units that cannot hold any layer are left out, those over their memory too unless
// `from_disk`.
SearchSpace make_search_space(const PlacementProblem& problem, std::vector<Team> teams, const Pass& pass,
                              bool from_disk = false);
// One team per device.
std::vector<Team> single_teams(const PlacementProblem& problem);

// nullopt: the model does not fit on any of the rings that were looked at; with at most kExactDevices devices on
// none.
std::optional<Ring> search_ring(const SearchSpace& space, Minimise minimise);

// ---- its parts

// `order` with the best boundaries: no stage slower than `most_ms`. nullopt: it does not fit.
std::optional<Ring> best_split(const SearchSpace& space, const std::vector<size_t>& order, double most_ms);
// Likewise with the fastest slowest stage; transfers count.
std::optional<Ring> best_bottleneck_split(const SearchSpace& space, const std::vector<size_t>& order);
// Promising sets and orders, improved by local changes; deterministic.
std::optional<Ring> search_local(const SearchSpace& space, Minimise minimise);
// Exhaustive; for at most kExactDevices devices. `known`: a ring to beat; stages and transfers take at most
// `most_ms`.
std::optional<Ring> search_least_sum(const SearchSpace& space, const std::optional<Ring>& known, double most_ms);
std::optional<Ring> search_least_bottleneck(const SearchSpace& space, const std::optional<Ring>& known);

double ring_sum(const SearchSpace& space, const std::vector<RingStage>& stages);
double ring_bottleneck(const SearchSpace& space, const std::vector<RingStage>& stages);
Choices choices_of(const SearchSpace& space, const Ring& ring);

}  // namespace exo::cluster
