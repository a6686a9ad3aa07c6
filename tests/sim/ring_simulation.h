#pragma once
// Nodes as the product wires them – Cluster, RingService, Front – on the simulated network, with stages that
// compute hashes (ring/testing/hash_executor.h), so that each answer can be checked against its oracle.

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster/cluster.h"
#include "group_executor.h"
#include "net/simulated_network.h"
#include "ring/testing/hash_executor.h"
#include "ring/testing/oracle_drafter.h"
#include "serve/front.h"
#include "serve/node_service.h"
#include "serve/timeline.h"

namespace exo::sim {

struct SimulationOptions {
  uint64_t seed = 1;
  int32_t context_tokens = 128;  // KV positions of the pool, and of one sequence at most
  int32_t block_positions = 4;
  int32_t max_sequences = 4;
  int32_t min_stages = 1;
  bool rebalance = false;
  net::Duration rebalance_interval = std::chrono::seconds(10);
  net::Duration load_time = std::chrono::milliseconds(100);
  net::Duration step_time = std::chrono::milliseconds(2);
  double bytes_per_s = 50e9;  // of each device's memory, as placement believes
  cluster::Strategy strategy = cluster::Strategy::kRingMemoryWeighted;
  std::optional<ring::testing::OracleDrafterOptions> drafts = {};  // every first stage has a draft model
  bool carry_caches = true;
  uint64_t carried_batch_bytes = 4 << 20;
  int32_t concurrency = 4;  // that placement counts on
  // Instead of step_time: of a step at a stage.
  std::function<net::Duration(const wire::InstanceRecord&, int32_t stage, const wire::Step&)> step_time_of;
  std::function<void(uint32_t n, wire::NodeFacts&)> change_facts;  // of node n, before it starts
};

// One client's request and everything it was told.
struct Client final : serve::RequestObserver {
  void on_status(const serve::RequestStatus& status) override {
    EXPECT_FALSE(finished);
    phases.push_back(status.phase);
    most_queued = std::max(most_queued, status.queue_position);
  }
  void on_token(const SampledToken& token) override {
    EXPECT_FALSE(finished);
    answer.push_back(token.token);
    token_times.push_back(clock->now());
  }
  void on_finish(wire::FinishReason how, const std::optional<Error>& why,
                 const serve::RequestUsage& used) override {
    EXPECT_FALSE(finished) << "finished twice";
    finished = true;
    reason = how;
    error = why;
    usage = used;
    finished_at = clock->now();
  }

  std::vector<TokenId> oracle() const {
    return ring::testing::oracle_answer(request.prompt, request.max_new_tokens, request.sampler.seed,
                                        request.stop_tokens);
  }
  bool is_prefix_of_oracle() const {
    const auto whole = oracle();
    return answer.size() <= whole.size() && std::equal(answer.begin(), answer.end(), whole.begin());
  }

  const net::Clock* clock = nullptr;
  serve::GenerateRequest request;
  RequestId id;
  uint32_t node = 0;
  std::vector<TokenId> answer;
  std::vector<net::TimePoint> token_times;
  std::vector<serve::RequestStatus::Phase> phases;
  int32_t most_queued = 0;
  bool finished = false;
  wire::FinishReason reason = wire::FinishReason::kNone;
  std::optional<Error> error;
  serve::RequestUsage usage;
  net::TimePoint finished_at{};
};

class RingSimulation {
 public:
  // A node's StageHost loads a hash stage after a while.
  struct Node final : cluster::StageHost {
    Node(RingSimulation& owner, uint32_t n, uint64_t memory, uint64_t incarnation)
        : simulation(owner),
          net(owner.network.add_node(id_of(n))),
          cluster(net.clock(), net.transport(), *this, owner.cluster_options, owner.facts(n, memory, incarnation)),
          ring(net.clock(), net.transport(), cluster,
               {.trace = &trace,
                .carry_caches = owner.options.carry_caches,
                .carried_batch_bytes = owner.options.carried_batch_bytes,
                .drafters = owner.drafters(net.clock())}),
          front(net.clock(), net.transport(), cluster,
                {.block_positions = static_cast<size_t>(owner.options.block_positions),
                 .id_seed = owner.options.seed * 1000 + n * 37 + incarnation,
                 .trace = &trace}),
          traces(net.clock(), net.transport(), cluster, front, trace) {
      net.transport().add_listener(&ring);
      net.transport().add_listener(&front);
      net.transport().add_listener(&traces);
      cluster.add_observer(&ring);
      cluster.add_observer(&front);
      cluster.start();
    }
    void load_stage(const wire::InstanceRecord& record, int32_t index) override {
      const Epoch epoch = record.epoch;
      timers[epoch] = net.clock().run_after(simulation.options.load_time, [this, record, index] {
        const auto& options = simulation.options;
        const auto n_stages = static_cast<int32_t>(record.stages.size());
        const int32_t n_blocks = record.context_tokens / options.block_positions;
        const ring::StageLimits limits{
            .max_slots = options.max_sequences,
            .n_blocks = n_blocks,
            .block_positions = options.block_positions,
            .max_batch_rows = 32,
            .first_stage = index == 0,
            .last_stage =
                index + 1 == n_stages && record.stages[static_cast<size_t>(index)].node == net.transport().self()};
        auto stage = std::make_unique<ring::testing::HashExecutor>(
            net.clock(), limits, simulation.log, [this, record, index](const wire::Step& step) {
              const auto& how = simulation.options;
              return how.step_time_of ? how.step_time_of(record, index, step) : how.step_time;
            });
        executors[record.epoch] = stage.get();
        const auto layers = record.stages[static_cast<size_t>(index)].layers;
        stage->set_layers(layers);
        if (!ring.install_executor(record.fingerprint, record.epoch, in_group(record, index, std::move(stage)),
                                   n_blocks, options.block_positions, options.max_sequences, 32)) {
          executors.erase(record.epoch);
          return;
        }
        cluster.report_stage({record.fingerprint, record.epoch, layers, wire::StageState::kReady, 1, 1, {}});
      });
    }
    std::unique_ptr<ring::StageExecutor> in_group(const wire::InstanceRecord& record, int32_t index,
                                                  std::unique_ptr<ring::testing::HashExecutor> stage) {
      const auto& members = record.stages[static_cast<size_t>(index)].members;
      if (members.empty()) return stage;
      const auto own = std::ranges::find(members, net.transport().self(), &wire::StageMember::node);
      return std::make_unique<GroupExecutor>(
          net.clock(), simulation.groups,
          fmt::format("{}/{}/{}", record.epoch.counter, record.epoch.proposer.hex(), index),
          static_cast<size_t>(own - members.begin()), members.size(), std::move(stage));
    }
    void unload_stage(const std::string& fingerprint, const Epoch& epoch) override {
      net.clock().cancel(timers[epoch]);
      ring.remove_executor(fingerprint, epoch);
      executors.erase(epoch);
    }

    RingSimulation& simulation;
    net::SimulatedNode& net;
    std::map<Epoch, net::TimerId> timers;
    std::map<Epoch, ring::testing::HashExecutor*> executors;  // owned by `ring`
    cluster::Cluster cluster;
    ring::TraceLog trace{4096};
    serve::RingService ring;
    serve::Front front;
    serve::TraceService traces;
  };

  explicit RingSimulation(SimulationOptions options_in) : options(options_in), network(clock, options_in.seed) {
    cluster_options.placement.context_tokens = options.context_tokens;
    cluster_options.placement.max_sequences = options.max_sequences;
    cluster_options.placement.min_stages = options.min_stages;
    cluster_options.placement.max_batch_rows = 32;
    cluster_options.rebalance = options.rebalance;
    cluster_options.rebalance_interval = options.rebalance_interval;
    cluster_options.placement.strategy = options.strategy;
    cluster_options.placement.concurrency = options.concurrency;
    model.name = "hash";
    model.fingerprint = std::string(64, 'a');
    model.architecture = "llama";
    model.weight_type = "Q8_0";
    model.n_layers = 12;
    model.d_model = ring::testing::kHashWidth;
    model.n_vocab = ring::testing::kHashVocabulary;
    model.context_length = 4096;
    model.layer_bytes.assign(12, uint64_t{1} << 20);
    model.kv_bytes_per_position.assign(12, 16);
    model.file_bytes = uint64_t{12} << 20;
  }
  ~RingSimulation() {
    for (auto& [n, node] : living) network.kill(id_of(n));
  }

  static NodeId id_of(uint32_t n) { return net::simulated_node_id(n); }
  static constexpr uint64_t kMiB = uint64_t{1} << 20;

  wire::NodeFacts facts(uint32_t n, uint64_t memory, uint64_t incarnation) const {
    wire::NodeFacts result;
    result.name = fmt::format("node-{}", n);
    result.software_version = "0.1.0";
    result.incarnation = incarnation;
    result.device.memory_total_bytes = result.device.memory_budget_bytes = memory;
    result.device.memory_bandwidth_bytes_per_s = options.bytes_per_s;
    result.device.int8_ops_per_s = 10 * options.bytes_per_s;
    result.models.push_back({model, true});
    if (options.change_facts) options.change_facts(n, result);
    return result;
  }
  ring::DrafterSource drafters(net::Clock& of_node) {
    if (!options.drafts) return {};
    return [this, &of_node](const std::string&, ring::DraftSink& sink) {
      return std::make_unique<ring::testing::OracleDrafter>(of_node, sink, draft_log, *options.drafts);
    };
  }
  void start(uint32_t n, uint64_t memory = 64 * kMiB) {
    living[n] = std::make_unique<Node>(*this, n, memory, ++incarnations[n]);
  }
  // Requests that the node's clients had started are gone with it.
  void end(uint32_t n, bool peers_see_it) {
    if (peers_see_it) {
      network.kill(id_of(n));
    } else {
      network.power_off(id_of(n));
    }
    living.erase(n);
    std::erase_if(clients, [&](const auto& client) { return client->node == n; });
  }
  // The node says goodbye and is gone.
  void leave(uint32_t n) {
    living.at(n)->cluster.leave("test");
    clock.advance(std::chrono::milliseconds(30));
    end(n, true);
  }
  Node& operator[](uint32_t n) { return *living.at(n); }

  std::shared_ptr<Client> ask(uint32_t n, std::vector<TokenId> prompt, int32_t max_new, uint64_t seed = 5,
                              std::vector<TokenId> stops = {}) {
    auto client = std::make_shared<Client>();
    client->clock = &clock;
    client->node = n;
    client->request.fingerprint = model.fingerprint;
    client->request.prompt = std::move(prompt);
    client->request.max_new_tokens = max_new;
    client->request.stop_tokens = std::move(stops);
    client->request.sampler.seed = seed;
    client->id = living.at(n)->front.start(client->request, client);
    clients.push_back(client);
    return client;
  }
  std::vector<uint32_t> ring_of(uint32_t n) {
    std::vector<uint32_t> nodes;
    if (const auto view = living.at(n)->cluster.find_instance(model.fingerprint))
      for (const auto& stage : view->record.stages)
        for (const auto& member : stage.all_members())
          for (uint32_t k = 0; k < 100; ++k)
            if (id_of(k) == member.node) nodes.push_back(k);
    return nodes;
  }
  bool all_finished() const {
    return std::ranges::all_of(clients, [](const auto& client) { return client->finished; });
  }
  bool settle(net::Duration limit) {
    return clock.run_until([this] { return all_finished(); }, limit);
  }
  // How every node sees the instance, for a failing seed.
  std::string describe() {
    std::string text;
    for (auto& [n, node] : living) {
      text += fmt::format("\nnode {}{}: ", n, node->net.frozen() ? " (frozen)" : "");
      for (const auto& link : node->net.transport().links()) text += fmt::format("~{} ", link.peer.bytes[3]);
      for (const auto& member : node->cluster.members())
        text += fmt::format("{}:{} ", member.id.bytes[3], member.incarnation);
      const auto view = node->cluster.find_instance(model.fingerprint);
      if (!view) continue;
      text += fmt::format("epoch {}/{}{} ", view->record.epoch.counter, view->record.epoch.proposer.bytes[3],
                          view->ready ? " ready" : "");
      for (size_t i = 0; i < view->record.stages.size(); ++i)
        text += fmt::format("[{}: epoch {} state {}] ", view->record.stages[i].node.bytes[3],
                            view->statuses[i].epoch.counter, static_cast<int>(view->statuses[i].state));
      text += view->record.problem;
    }
    return text;
  }
  // What is wrong with memory once everything has finished; empty when all is free.
  std::string leaks() {
    std::string text;
    if (draft_log.known != 0) text += fmt::format("{} sequences are known to draft models; ", draft_log.known);
    for (auto& [n, node] : living) {
      if (node->front.active_requests() != 0) text += fmt::format("node {}: front has requests; ", n);
      for (const auto& stage : node->ring.stages()) {
        const auto executor = node->executors.find(stage.epoch);
        if (stage.has_executor && executor != node->executors.end() && executor->second->open_slots() != 0)
          text += fmt::format("node {}: stage {} has open slots; ", n, stage.stage_index);
        if (!stage.scheduler) continue;
        const auto& scheduler = *stage.scheduler;
        if (scheduler.waiting + scheduler.running + scheduler.in_flight != 0 ||
            scheduler.free_slots != options.max_sequences || scheduler.available_blocks != scheduler.n_blocks)
          text += fmt::format("node {}: {} waiting, {} running, {} in flight, {} slots free, {} of {} blocks; ", n,
                              scheduler.waiting, scheduler.running, scheduler.in_flight, scheduler.free_slots,
                              scheduler.available_blocks, scheduler.n_blocks);
      }
    }
    return text;
  }

  const SimulationOptions options;
  net::VirtualClock clock;
  net::SimulatedNetwork network;
  cluster::ClusterOptions cluster_options;
  wire::ModelFacts model;
  ring::testing::HashLog log;
  ring::testing::DraftLog draft_log;
  GroupBoard groups;
  std::map<uint32_t, uint64_t> incarnations;
  std::map<uint32_t, std::unique_ptr<Node>> living;
  std::vector<std::shared_ptr<Client>> clients;
};

// Tests of one simulation at a time, and of what its clients were told.
class SimulationTest : public ::testing::Test {
 protected:
  void run_until_answer_has(const Client& client, size_t n) {
    ASSERT_TRUE(simulation->clock.run_until([&] { return client.answer.size() >= n; }, std::chrono::seconds(20)));
  }
  void expect_complete(const Client& client) {
    EXPECT_TRUE(client.finished);
    EXPECT_EQ(client.answer, client.oracle());
    EXPECT_FALSE(client.error) << client.error->message;
    EXPECT_TRUE(simulation->log.violations.empty()) << simulation->log.violations.front();
  }

  std::unique_ptr<RingSimulation> simulation;
};

}  // namespace exo::sim
