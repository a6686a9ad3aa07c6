#pragma once
// Many devices with a model of 405B parameters on the virtual clock: stages take as long as the cost model says,
// messages are real and counted. What comes out: tokens/s of many requests beside the bound that the slowest stage
// sets, and how many messages a node sends.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "cluster/cost_model.h"
#include "cluster/known_models.h"
#include "cluster/stage_memory.h"
#include "ring_simulation.h"

namespace exo::sim {

struct LargeClusterResult {
  uint32_t n_devices = 0;
  size_t n_stages = 0;
  bool finished = false;
  double tokens_per_s = 0, bound_tokens_per_s = 0;
  // Per node, on average.
  double forming_messages = 0, forming_bytes = 0;  // from nothing to a ring that is ready
  double forming_gossip = 0;                       // of the messages
  double heartbeats_per_s = 0, gossip_per_s = 0;   // while nothing happens
  double messages_per_token = 0;                   // steps and results of all nodes, per token of an answer
};

class LargeCluster {
 public:
  explicit LargeCluster(uint32_t n) : n_(n), model_(*cluster::known_model("llama-3.1-405b@Q4_K")) {
    model_.fingerprint = std::string(64, 'a');
    model_.n_vocab = ring::testing::kHashVocabulary;  // of the prompts and answers; the head's bytes stay
    const auto n_stages = static_cast<int32_t>(std::min<uint32_t>(n, static_cast<uint32_t>(model_.n_layers)));
    n_requests_ = kRequestsPerStage * n_stages;
    SimulationOptions options;
    options.context_tokens = n_requests_ * kContextPerRequest;
    options.max_sequences = n_requests_;
    options.concurrency = n_requests_;
    options.strategy = cluster::Strategy::kThroughput;
    options.step_time_of = [this](const auto& record, int32_t stage, const wire::Step& step) {
      return step_time(record, stage, step);
    };
    options.change_facts = [this](uint32_t i, wire::NodeFacts& facts) { facts.device = profile(i); };
    sim_ = std::make_unique<RingSimulation>(options);
    sim_->model = model_;
    sim_->network.set_default_quality({.latency = std::chrono::microseconds(150)});
    memory_ =
        std::make_unique<cluster::StageMemory>(*cluster::StageMemory::of(model_, sim_->cluster_options.placement));
  }

  LargeClusterResult run() {
    LargeClusterResult result{.n_devices = n_};
    for (uint32_t i = 1; i <= n_; ++i) sim_->start(i, profile(i).memory_budget_bytes);
    sim_->clock.advance(std::chrono::seconds(5));
    EXPECT_TRUE((*sim_)[1].cluster.ensure_instance(model_.fingerprint));
    const bool ready = sim_->clock.run_until([this] { return is_ready(); }, std::chrono::seconds(60));
    if (!ready) return result;
    const auto formed = total();
    result.forming_messages = static_cast<double>(formed.messages) / n_;
    result.forming_bytes = static_cast<double>(formed.bytes) / n_;
    result.forming_gossip = static_cast<double>(formed.gossip) / n_;
    sim_->clock.advance(kIdle);
    const auto idle = total();
    const double idle_s = std::chrono::duration<double>(kIdle).count() * n_;
    result.heartbeats_per_s = static_cast<double>(idle.heartbeats - formed.heartbeats) / idle_s;
    result.gossip_per_s = static_cast<double>(idle.gossip - formed.gossip) / idle_s;
    measure_throughput(result);
    return result;
  }

 private:
  static constexpr int32_t kRequestsPerStage = 4, kPromptTokens = 8, kNewTokens = 40, kContextPerRequest = 64;
  static constexpr net::Duration kIdle = std::chrono::seconds(10);

  struct Totals {
    uint64_t messages = 0, bytes = 0, heartbeats = 0, gossip = 0, steps = 0;
  };

  // Unlike devices that together hold 1.7 times the model.
  wire::DeviceProfile profile(uint32_t i) const {
    const double unlike = 0.8 + 0.4 * ((i * 7) % 11) / 10.0;  // 0.8 … 1.2
    wire::DeviceProfile device;
    const double whole = static_cast<double>(model_.file_bytes) + 16e9;
    device.memory_budget_bytes = static_cast<uint64_t>(std::max(1.7 * whole / n_, 5.5e9) * unlike);
    device.memory_total_bytes = device.memory_budget_bytes;
    device.memory_bandwidth_bytes_per_s = 200e9 * (2 - unlike);
    device.int8_ops_per_s = 20e12;
    device.f32_flops_per_s = 5e12;
    return device;
  }

  cluster::PlacementDevice device_of(const NodeId& id) const {
    for (uint32_t i = 1; i <= n_; ++i) {
      if (RingSimulation::id_of(i) == id) return {id, "", profile(i), {}};
    }
    return {};
  }

  // The cost model's time for the rows of the step, and for sending them on.
  double stage_ms(const wire::InstanceRecord& record, int32_t stage, double rows, double sequences, bool decode) {
    const auto& planned = record.stages[static_cast<size_t>(stage)];
    auto [known, is_new] = devices_.try_emplace(planned.node);
    if (is_new) known->second.push_back(device_of(planned.node));
    const cluster::CostModel costs(model_, known->second, {}, sim_->cluster_options.placement, *memory_);
    const cluster::Pass pass{rows, sequences, kContextPerRequest, decode ? rows : sequences, decode};
    const cluster::Team team{{known->second.data(), 1.0}};
    const bool last = stage + 1 == static_cast<int32_t>(record.stages.size());
    return costs.stage_ms(team, planned.layers.begin.value, planned.layers.end.value, pass) +
           (last ? 0 : 4.0 * model_.d_model * rows / kBytesPerMs);
  }
  static constexpr double kBytesPerMs = 250e3;  // 2.5-gigabit Ethernet

  net::Duration step_time(const wire::InstanceRecord& record, int32_t stage, const wire::Step& step) {
    int32_t rows = 0;
    for (const auto& sequence : step.sequences) rows += sequence.n_tokens;
    const bool decode = rows == static_cast<int32_t>(step.sequences.size());
    auto& ms = step_ms_[{stage, rows, decode}];
    if (ms == 0) ms = stage_ms(record, stage, rows, static_cast<double>(step.sequences.size()), decode);
    return std::chrono::nanoseconds(static_cast<int64_t>(ms * 1e6));
  }

  bool is_ready() {
    const auto view = (*sim_)[1].cluster.find_instance(model_.fingerprint);
    return view && view->ready;
  }

  Totals total() const {
    Totals sum;
    for (const auto& [i, node] : sim_->living) {
      sum.messages += node->net.messages_sent();
      sum.bytes += node->net.bytes_sent();
      const auto& kinds = node->net.messages_by_kind();
      sum.heartbeats += kinds[wire::Message(wire::Ping{}).index()] + kinds[wire::Message(wire::Pong{}).index()];
      sum.gossip +=
          kinds[wire::Message(wire::Gossip{}).index()] + kinds[wire::Message(wire::GossipDigest{}).index()];
      sum.steps += kinds[wire::Message(wire::Step{}).index()] + kinds[wire::Message(wire::StepResult{}).index()];
    }
    return sum;
  }

  void measure_throughput(LargeClusterResult& result) {
    const auto record = (*sim_)[1].cluster.find_instance(model_.fingerprint)->record;
    result.n_stages = record.stages.size();
    const Totals before = total();
    for (int32_t i = 0; i < n_requests_; ++i) {
      std::vector<TokenId> prompt;
      for (int32_t t = 0; t < kPromptTokens; ++t)
        prompt.emplace_back((i * 13 + t * 5) % ring::testing::kHashVocabulary);
      sim_->ask(1 + static_cast<uint32_t>(i) % n_, prompt, kNewTokens, static_cast<uint64_t>(i) + 1);
    }
    result.finished = sim_->settle(std::chrono::minutes(30));
    if (!result.finished) return;
    // Tokens between the last first token and the first last one: when all requests were being answered.
    net::TimePoint begin{}, end = net::TimePoint::max();
    for (const auto& client : sim_->clients) {
      begin = std::max(begin, client->token_times.front());
      end = std::min(end, client->token_times.back());
    }
    size_t tokens = 0, all = 0;
    for (const auto& client : sim_->clients) {
      all += client->answer.size();
      tokens += static_cast<size_t>(
          std::ranges::count_if(client->token_times, [&](net::TimePoint at) { return at > begin && at <= end; }));
    }
    if (end > begin)
      result.tokens_per_s = static_cast<double>(tokens) / std::chrono::duration<double>(end - begin).count();
    result.messages_per_token = static_cast<double>(total().steps - before.steps) / static_cast<double>(all);
    const double batch = static_cast<double>(n_requests_) / static_cast<double>(result.n_stages);
    double slowest_ms = 0;
    for (int32_t stage = 0; stage < static_cast<int32_t>(result.n_stages); ++stage)
      slowest_ms = std::max(slowest_ms, stage_ms(record, stage, batch, batch, true));
    result.bound_tokens_per_s = batch / slowest_ms * 1e3;
  }

  const uint32_t n_;
  wire::ModelFacts model_;
  int32_t n_requests_ = 0;
  std::unique_ptr<RingSimulation> sim_;
  std::unique_ptr<cluster::StageMemory> memory_;
  std::map<NodeId, std::vector<cluster::PlacementDevice>> devices_;
  std::map<std::tuple<int32_t, int32_t, bool>, double> step_ms_;
};

}  // namespace exo::sim
