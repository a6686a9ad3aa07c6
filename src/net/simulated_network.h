#pragma once
// Whole clusters in one thread: a virtual clock, and transports whose links have latency, bandwidth, cuts, frozen
// and dying nodes. The same seed and the same calls give the same run. Messages pass through wire::encode and
// decode.
//
//   VirtualClock clock;
//   SimulatedNetwork network(clock, seed);
//   SimulatedNode& a = network.add_node(simulated_node_id(1));   // a.clock(), a.transport() go to Cluster, Front,
//   … clock.advance(std::chrono::seconds(2));

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "net/clock.h"
#include "net/path_chooser.h"
#include "net/transport.h"
#include "net/virtual_clock.h"

namespace exo::net {

struct LinkQuality {
  Duration latency = std::chrono::microseconds(300);  // one way
  Duration jitter{0};                                 // up to this much more per message; order is kept
  double bandwidth_bytes_per_s = 0;                   // 0: unlimited
  std::string interface = "sim0";
  bool wired = true;
};

NodeId simulated_node_id(uint32_t n);  // ordered as n

class SimulatedNetwork;

// One run of one device. It outlives the device's death (as long as the network), so that what was built on it can
// be destroyed in peace: a dead node's timers never fire, its sends return false.
class SimulatedNode {
 public:
  ~SimulatedNode();
  const NodeId& id() const;
  Clock& clock();  // stands still while the node is frozen; timers vanish when it dies
  Transport& transport();
  bool alive() const;
  bool frozen() const;
  uint64_t messages_sent() const;
  using MessageCounts = std::array<uint64_t, std::variant_size_v<wire::Message>>;  // by index in wire::Message
  const MessageCounts& messages_by_kind() const;
  uint64_t bytes_sent() const;

 private:
  friend class SimulatedNetwork;
  struct State;
  explicit SimulatedNode(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class SimulatedNetwork {
 public:
  SimulatedNetwork(VirtualClock& clock, uint64_t seed);
  ~SimulatedNetwork();

  // Starts a device, or starts it again after its death: then this is a new SimulatedNode. Links to all living
  // nodes come up by themselves after the connect delay, when nothing is in the way.
  SimulatedNode& add_node(const NodeId& id);
  SimulatedNode* find_node(const NodeId& id);  // living ones

  void kill(const NodeId& id);       // the process ends without a goodbye; peers see their links close
  void power_off(const NodeId& id);  // nothing is heard of it again; peers' links stay until they give up
  void freeze(const NodeId& id);     // as by SIGSTOP: timers and messages wait
  void thaw(const NodeId& id);
  // A cut holds what is under way, as TCP would; healed in time, everything arrives. May precede add_node.
  void cut(const NodeId& a, const NodeId& b);
  void heal(const NodeId& a, const NodeId& b);
  void partition(const std::vector<NodeId>& side, const std::vector<NodeId>& other);
  void heal_all();

  void set_default_quality(const LinkQuality& quality) { default_quality_ = quality; }
  void set_quality(const NodeId& a, const NodeId& b, const LinkQuality& quality);
  // Several pairs of addresses between two nodes: a link starts on the first and moves as real ones do
  // (PathChooser). Before the nodes are added. set_path changes one of them.
  void set_paths(const NodeId& a, const NodeId& b, std::vector<LinkQuality> paths);
  void set_path(const NodeId& a, const NodeId& b, size_t path, const LinkQuality& quality);
  // Nothing gets through one pair of addresses any more. When it is the present one the link goes on over another,
  // and what was under way comes over that, as real links do it.
  void cut_path(const NodeId& a, const NodeId& b, size_t path);
  void heal_path(const NodeId& a, const NodeId& b, size_t path);
  size_t present_path(const NodeId& a, const NodeId& b);
  void set_connect_delay(Duration least, Duration most);
  // A link with more unsent bytes than this is closed.
  void set_send_queue_bound(uint64_t bytes) { send_queue_bound_ = bytes; }

 private:
  friend class SimulatedNode;
  using PairKey = std::pair<NodeId, NodeId>;  // smaller id first
  struct Frame {
    std::vector<std::byte> bytes;
    uint64_t generation = 0;
    size_t path = 0;
  };
  struct Direction {         // towards end `i` of the pair
    TimePoint busy_until{};  // when the sender's wire is free again
    TimePoint last_arrival{};
    uint64_t queued_bytes = 0;
    std::deque<Frame> held;  // arrived while the link was cut
  };
  struct Pair {
    LinkQuality quality;             // of the present path
    std::vector<LinkQuality> paths;  // empty: one, which is `quality`
    std::vector<bool> path_cut;
    size_t path = 0;  // present
    std::optional<PathChooser> chooser;
    bool cut = false, connecting = false;
    uint64_t generation[2] = {0, 0};  // of the link as each end sees it; 0: down
    Direction towards[2];
  };

  static PairKey key(const NodeId& a, const NodeId& b) { return a < b ? PairKey(a, b) : PairKey(b, a); }
  Pair& pair(const PairKey& k);
  SimulatedNode::State* state(const NodeId& id);
  void end_node(const NodeId& id, bool peers_see_it);
  void touch(const PairKey& k);  // something changed: connect soon if that is possible
  void connect(const PairKey& k);
  void link_down(const PairKey& k, int end, const std::string& why);
  void close_far_end(const PairKey& k, int end, uint64_t generation, const std::string& why);
  bool send(SimulatedNode::State& from, const NodeId& to, const wire::Message& message);
  void disconnect(SimulatedNode::State& from, const NodeId& peer, const std::string& reason);
  void transmit(const PairKey& k, int receiver, Frame frame);
  void arrive(const PairKey& k, int receiver, Frame frame);
  LinkInfo link_info(const PairKey& k, int end);
  void path_tick(const PairKey& k, uint64_t generation);
  void probe_path(const PairKey& k, size_t path);
  void move_path(const PairKey& k, size_t path, bool failed = false);
  void fall_back(const PairKey& k, size_t path);

  VirtualClock& clock_;
  std::mt19937_64 random_;
  LinkQuality default_quality_;
  Duration connect_least_ = std::chrono::milliseconds(20), connect_most_ = std::chrono::milliseconds(120);
  uint64_t send_queue_bound_ = uint64_t{256} << 20;
  uint64_t next_generation_ = 1;
  std::map<PairKey, Pair> pairs_;
  std::map<NodeId, SimulatedNode*> living_;
  std::vector<std::unique_ptr<SimulatedNode>> nodes_;  // the dead as well
};

}  // namespace exo::net
