#pragma once
// A cluster of simulated devices for tests: nodes by number, their facts, hosts and clusters, and what must hold of
// all of them once things have settled.

#include <map>
#include <memory>
#include <string>

#include "cluster/cluster.h"
#include "cluster/testing/fake_stage_host.h"
#include "net/simulated_network.h"

namespace exo::cluster::testing {

inline wire::ModelFacts small_model(const std::string& name, int32_t layers, uint64_t layer_bytes) {
  wire::ModelFacts model;
  model.name = name;
  model.fingerprint = name + std::string(64 - name.size(), '0');
  model.architecture = "llama";
  model.weight_type = "Q8_0";
  model.n_layers = layers;
  model.d_model = 8;
  model.n_vocab = 32;
  model.context_length = 4096;
  model.layer_bytes.assign(static_cast<size_t>(layers), layer_bytes);
  model.kv_bytes_per_position.assign(static_cast<size_t>(layers), 16);
  model.file_bytes = layer_bytes * static_cast<uint64_t>(layers);
  return model;
}

class SimulatedCluster {
 public:
  struct Node : ClusterObserver {
    Node(SimulatedCluster& owner, uint32_t n, uint64_t memory, uint64_t incarnation)
        : link(owner.network.add_node(net::simulated_node_id(n))),
          number(n),
          host(link.clock(), owner.load_time),
          cluster(link.clock(), link.transport(), host, owner.options, owner.facts(n, memory, incarnation)) {
      host.attach(&cluster);
      cluster.add_observer(this);
      cluster.start();
    }
    void on_instance_changed(const InstanceView& view) override {
      Epoch& last = last_epoch[view.record.fingerprint];
      epochs_went_back = epochs_went_back || view.record.epoch < last;
      last = view.record.epoch;
      was_ready = was_ready || view.ready;
      // No request runs here: the ring before is given up as soon as the new one is ready.
      if (view.ready && view.own_previous_stage == 0)
        link.clock().post([this, model = view.record.fingerprint] { cluster.retire_previous(model); });
    }

    net::SimulatedNode& link;
    const uint32_t number;
    FakeStageHost host;
    Cluster cluster;
    std::map<std::string, Epoch> last_epoch;
    bool epochs_went_back = false, was_ready = false;
  };

  explicit SimulatedCluster(uint64_t seed) : network(clock, seed) {}

  wire::NodeFacts facts(uint32_t n, uint64_t memory, uint64_t incarnation) const {
    wire::NodeFacts result;
    result.name = fmt::format("node-{}", n);
    result.software_version = "0.1.0";
    result.incarnation = incarnation;
    result.device.memory_total_bytes = memory;
    result.device.memory_budget_bytes = memory;
    result.device.memory_bandwidth_bytes_per_s = 50e9;
    result.device.int8_ops_per_s = 1e12;
    for (const auto& model : models) result.models.push_back({model, true});
    return result;
  }

  static NodeId id(uint32_t n) { return net::simulated_node_id(n); }

  // Starts node n, or starts it again.
  Node& start(uint32_t n, uint64_t memory) {
    auto node = std::make_unique<Node>(*this, n, memory, ++incarnations[n]);
    Node& result = *node;
    living[n] = std::move(node);
    return result;
  }
  void kill(uint32_t n) {
    end(n, [&] { network.kill(id(n)); });
  }
  void power_off(uint32_t n) {
    end(n, [&] { network.power_off(id(n)); });
  }
  void leave(uint32_t n) {
    living.at(n)->cluster.leave("test");
    clock.advance(std::chrono::milliseconds(5));  // what was sent leaves the machine
    kill(n);
  }
  Node& operator[](uint32_t n) { return *living.at(n); }
  void advance(net::Duration duration) { clock.advance(duration); }

  net::VirtualClock clock;
  net::SimulatedNetwork network;
  ClusterOptions options;
  net::Duration load_time = std::chrono::milliseconds(50);
  std::vector<wire::ModelFacts> models;  // that every node started from now on offers
  std::map<uint32_t, uint64_t> incarnations;
  std::map<uint32_t, std::unique_ptr<Node>> living;

 private:
  template <typename How>
  void end(uint32_t n, How how) {
    how();
    living.erase(n);
  }
};

}  // namespace exo::cluster::testing
