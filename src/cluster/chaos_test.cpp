// Random schedules of joins, deaths, freezes, cuts, delays and failed loads; then peace, and everybody must agree.
// EXO_SEEDS=first:count runs others than the default.

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <set>

#include "cluster/testing/simulated_cluster.h"

namespace exo::cluster {
namespace {

using namespace std::chrono_literals;
using testing::SimulatedCluster;
using testing::small_model;

constexpr uint64_t kMiB = uint64_t{1} << 20;

class Schedule {
 public:
  explicit Schedule(uint64_t seed) : random_(seed), sim_(seed) {
    sim_.models = {small_model("small", 6, kMiB), small_model("large", 20, 2 * kMiB)};
    sim_.network.set_default_quality({.latency = std::chrono::microseconds(pick(100, 20'000)),
                                      .jitter = std::chrono::microseconds(pick(0, 10'000)),
                                      .bandwidth_bytes_per_s = pick(0, 1) == 0 ? 0 : 1e6});
    sim_.options.rebalance = pick(0, 1) == 0;
    sim_.options.rebalance_gain = 0.05;
    sim_.options.rebalance_interval = std::chrono::milliseconds(pick(500, 10'000));
    sim_.load_time = std::chrono::milliseconds(pick(1, 800));
    size_ = static_cast<uint32_t>(pick(2, 7));
    for (uint32_t n = 1; n <= size_; ++n) start(n);
  }

  // For the test of the test: how much there was to agree on.
  size_t living() const { return sim_.living.size(); }
  int placed_on(size_t least_stages) {
    int result = 0;
    for (const auto& view : sim_.living.begin()->second->cluster.instances()) {
      result += view.ready && view.record.stages.size() >= least_stages;
    }
    return result;
  }

  void disturb() {
    for (uint64_t steps = pick(10, 40); steps > 0; --steps) {
      act();
      sim_.advance(std::chrono::milliseconds(pick(0, 3) == 0 ? pick(500, 3000) : pick(1, 200)));
      check_safety();
    }
  }

  void calm_down() {
    for (uint32_t n : std::set(frozen_)) sim_.network.thaw(sim_.id(n));
    frozen_.clear();
    sim_.network.heal_all();
    if (sim_.living.empty()) start(1);
    for (auto& [n, node] : sim_.living) node->cluster.withdraw("");
    // Suspicion, new links, gossip, a ban of a few seconds for each failed load, loading.
    sim_.clock.run_until([this] { return settled(false); }, 60s);
    sim_.advance(3s);
    // It stays so, but for a device whose time of being left out ends just now: it is tried again.
    sim_.clock.run_until([this] { return settled(false); }, 20s);
    settled(true);
    check_safety();
  }

 private:
  using Node = SimulatedCluster::Node;

  uint64_t pick(uint64_t least, uint64_t most) { return least + random_() % (most - least + 1); }
  uint32_t any() { return static_cast<uint32_t>(pick(1, size_)); }
  Node* living(uint32_t n) {
    const auto found = sim_.living.find(n);
    return found == sim_.living.end() ? nullptr : found->second.get();
  }
  const std::string& any_model() { return sim_.models[pick(0, sim_.models.size() - 1)].fingerprint; }

  void start(uint32_t n) {
    Node& node = sim_.start(n, pick(4, 40) * kMiB);
    auto failures = std::make_shared<uint64_t>(pick(0, 9) == 0 ? pick(1, 2) : 0);
    node.host.set_failure([failures](const wire::InstanceRecord&, int32_t) -> std::optional<std::string> {
      if (*failures == 0) return std::nullopt;
      --*failures;
      return "disk is full";
    });
  }

  void act() {
    const uint32_t n = any(), other = any();
    Node* node = living(n);
    switch (pick(0, 19)) {
      case 0:
        if (node != nullptr) sim_.kill(n);
        break;
      case 1:
        if (node != nullptr) sim_.power_off(n);
        break;
      case 2:
        if (node != nullptr && !frozen_.contains(n)) sim_.leave(n);
        break;
      case 3:
      case 4:
        if (node == nullptr) start(n);
        break;
      case 5:
        if (node != nullptr) {
          sim_.network.freeze(sim_.id(n));
          frozen_.insert(n);
        }
        break;
      case 6:
      case 7:
        sim_.network.thaw(sim_.id(n));
        frozen_.erase(n);
        break;
      case 8:
        if (n != other) sim_.network.cut(sim_.id(n), sim_.id(other));
        break;
      case 9:
        if (n != other) sim_.network.heal(sim_.id(n), sim_.id(other));
        break;
      case 10:
        split();
        break;
      case 11:
        sim_.network.heal_all();
        break;
      case 12:
        ask(node, n);
        break;
      case 13:
        if (pick(0, 3) == 0 && node != nullptr) (void)node->cluster.stop_instance(any_model());
        break;
      case 14:
      case 15:
        if (node != nullptr && !frozen_.contains(n)) node->cluster.withdraw(pick(0, 2) == 0 ? "" : "chaos");
        break;
      default:
        if (node == nullptr) start(n);
        break;
    }
    if (node == nullptr || living(n) == nullptr) frozen_.erase(n);
  }

  void ask(Node* node, uint32_t n) {
    if (node == nullptr || frozen_.contains(n)) return;
    PlacementRequest request;
    request.min_stages = static_cast<int32_t>(pick(1, 3));
    if (pick(0, 4) == 0) {
      (void)node->cluster.replan_instance(any_model(), request);
    } else {
      (void)node->cluster.ensure_instance(any_model(), request);
    }
  }

  void split() {
    std::vector<NodeId> sides[2];
    for (uint32_t n = 1; n <= size_; ++n) sides[pick(0, 1)].push_back(sim_.id(n));
    sim_.network.partition(sides[0], sides[1]);
  }

  void check_safety() {
    for (auto& [n, node] : sim_.living) {
      EXPECT_FALSE(node->epochs_went_back) << "node " << n;
      std::set<std::pair<std::string, Epoch>> loads;
      for (const auto& load : node->host.loads()) {
        EXPECT_TRUE(loads.emplace(load.fingerprint, load.epoch).second) << "node " << n << " loaded an epoch twice";
      }
    }
  }

  // Whether all agree; with `report`, what is wrong becomes a failure.
  bool settled(bool report) {
    bool good = true;
    const auto require = [&](bool condition, const std::string& what) {
      if (!condition && report) ADD_FAILURE() << what;
      good = good && condition;
    };
    const Cluster& first = sim_.living.begin()->second->cluster;
    for (auto& [n, node] : sim_.living) {
      const Cluster& cluster = node->cluster;
      require(cluster.members().size() == sim_.living.size(),
              fmt::format("node {} knows {} of {} members", n, cluster.members().size(), sim_.living.size()));
      for (auto& [m, other] : sim_.living) {
        const auto* facts = cluster.find_member(sim_.id(m));
        require(facts != nullptr && facts->incarnation == other->cluster.self().incarnation,
                fmt::format("node {} does not know node {} as it is", n, m));
      }
      size_t stages = 0;
      for (const auto& model : sim_.models) {
        if (!good && !report) return false;
        agree_on(model, first, *node, require);
        const auto view = cluster.find_instance(model.fingerprint);
        stages += view && view->own_stage && !view->record.stopped;
      }
      require(node->host.n_loaded() == stages,
              fmt::format("node {} holds {} stages for {} instances", n, node->host.n_loaded(), stages));
    }
    return good;
  }

  template <typename Require>
  void agree_on(const wire::ModelFacts& model, const Cluster& first, Node& node, const Require& require) {
    const std::string who = fmt::format("node {}, {}: ", node.number, model.name);
    const auto view = node.cluster.find_instance(model.fingerprint), same = first.find_instance(model.fingerprint);
    require(view.has_value() == same.has_value(), who + "one has the instance, one has not");
    if (!view || !same) return;
    require(view->record == same->record, who + "records differ");
    require(node.cluster.keeper(model.fingerprint) == first.keeper(model.fingerprint), who + "keepers differ");
    const auto* loaded = node.host.loaded(model.fingerprint);
    if (view->record.stopped || view->record.stages.empty()) {
      require(loaded == nullptr, who + "holds a stage of an instance that is not placed");
      if (view->record.stopped) return;
      require(!view->record.problem.empty(), who + "neither placed nor a problem");
      PlacementRequest request;
      request.context_tokens = view->record.context_tokens;
      const auto preview = node.cluster.preview(model.fingerprint, request);
      require(!preview, who + "it would fit: " + view->record.problem);
      return;
    }
    require(view->ready, who + "not ready");
    require((loaded != nullptr) == view->own_stage.has_value(), who + "own stage and host disagree");
    if (loaded != nullptr) require(loaded->epoch == view->record.epoch, who + "holds another epoch's stage");
    int32_t next = 0;
    for (const auto& stage : view->record.stages) {
      require(stage.layers.begin.value == next, who + "layers are not covered");
      next = stage.layers.end.value;
    }
    require(next == model.n_layers, who + "layers are missing");
  }

  std::mt19937_64 random_;
  SimulatedCluster sim_;
  uint32_t size_ = 0;
  std::set<uint32_t> frozen_;
};

TEST(Chaos, EverybodyAgreesOncePeaceReturns) {
  uint64_t first = 1, count = 300;
  if (const char* seeds = std::getenv("EXO_SEEDS")) {
    char* colon = nullptr;
    first = std::strtoull(seeds, &colon, 10);
    if (*colon == ':') count = std::strtoull(colon + 1, nullptr, 10);
  }
  uint64_t rings = 0, nodes = 0;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE(fmt::format("EXO_SEEDS={}:1", seed));
    Schedule schedule(seed);
    schedule.disturb();
    schedule.calm_down();
    if (::testing::Test::HasFailure()) return;
    rings += static_cast<uint64_t>(schedule.placed_on(2));
    nodes += schedule.living();
  }
  fmt::print("{} schedules: {} nodes alive at the end, {} rings of several devices ready\n", count, nodes, rings);
  if (count >= 100) {
    EXPECT_GT(rings, count / 5);
  }
}

}  // namespace
}  // namespace exo::cluster
