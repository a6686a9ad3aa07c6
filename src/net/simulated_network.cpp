#include "net/simulated_network.h"

#include <algorithm>

#include "base/check.h"
#include "net/running_time.h"
#include "wire/codec.h"

namespace exo::net {

NodeId simulated_node_id(uint32_t n) {
  NodeId id;
  for (int i = 0; i < 4; ++i) id.bytes[static_cast<size_t>(i)] = static_cast<uint8_t>(n >> (24 - 8 * i));
  id.bytes[31] = 1;  // never the all-zero id
  return id;
}

// ---- SimulatedNode

struct SimulatedNode::State : Clock, Transport {
  State(SimulatedNetwork& owner, NodeId node) : network(owner), id(node) {}

  // What happens to a node happens through here: later while it is frozen, never when it is dead.
  void run(std::function<void()> what) {
    if (!alive) return;
    if (frozen) {
      waiting.push_back(std::move(what));
    } else {
      what();
    }
  }
  void run_later(Duration delay, std::function<void()> what) {
    network.clock_.run_after(delay, [this, what = std::move(what)] { run(what); });
  }

  TimePoint now() const override { return (frozen ? frozen_at : network.clock_.now()) - left_out; }
  Duration stopped() const override { return left_out; }
  SteadyPoint steady_now() const override { return network.clock_.steady_now(); }
  TimerId run_after(Duration delay, std::function<void()> callback) override {
    if (!alive) return 0;
    const TimerId timer = next_timer++;
    timers.emplace(timer, std::pair(now() + delay, std::move(callback)));
    wait_for(timer, delay);
    return timer;
  }
  // As EventLoop does it: the network's time went on while the node was frozen, its own did not.
  void wait_for(TimerId timer, Duration delay) {
    run_later(delay, [this, timer] {
      const auto found = timers.find(timer);
      if (found == timers.end()) return;
      if (const Duration rest = found->second.first - now(); rest > Duration(0)) return wait_for(timer, rest);
      const auto callback = std::move(found->second.second);
      timers.erase(found);
      callback();
    });
  }
  void cancel(TimerId timer) override { timers.erase(timer); }
  void post(std::function<void()> callback) override { run_after(Duration(0), std::move(callback)); }

  NodeId self() const override { return id; }
  void add_listener(TransportListener* listener) override { listeners.push_back(listener); }
  bool send(const NodeId& to, wire::Message message) override { return alive && network.send(*this, to, message); }
  void disconnect(const NodeId& peer, const std::string& reason) override {
    if (alive) network.disconnect(*this, peer, reason);
  }
  std::vector<LinkInfo> links() const override {
    std::vector<LinkInfo> result;
    for (const auto& [peer, link] : up) result.push_back(link);
    return result;
  }
  std::vector<Refusal> refusals() const override { return {}; }

  void deliver(const NodeId& from, const std::vector<std::byte>& frame) {
    auto message = wire::decode(frame);
    EXO_CHECK(message.has_value());
    for (size_t i = 0; i < listeners.size() && alive; ++i) {
      listeners[i]->on_heard(from);
      if (alive && listeners[i]->takes(*message)) listeners[i]->on_message(from, *message);
    }
  }

  SimulatedNetwork& network;
  const NodeId id;
  bool alive = true, frozen = false;
  TimePoint frozen_at{};
  Duration left_out{0};
  std::deque<std::function<void()>> waiting;
  std::unordered_map<TimerId, std::pair<TimePoint, std::function<void()>>> timers;  // when due
  TimerId next_timer = 1;
  std::vector<TransportListener*> listeners;
  std::map<NodeId, LinkInfo> up;  // as the node was told
  uint64_t messages = 0, bytes = 0;
  SimulatedNode::MessageCounts by_kind{};
};

SimulatedNode::SimulatedNode(std::unique_ptr<State> state) : state_(std::move(state)) {}
SimulatedNode::~SimulatedNode() = default;
const NodeId& SimulatedNode::id() const { return state_->id; }
Clock& SimulatedNode::clock() { return *state_; }
Transport& SimulatedNode::transport() { return *state_; }
bool SimulatedNode::alive() const { return state_->alive; }
bool SimulatedNode::frozen() const { return state_->frozen; }
uint64_t SimulatedNode::messages_sent() const { return state_->messages; }
const SimulatedNode::MessageCounts& SimulatedNode::messages_by_kind() const { return state_->by_kind; }
uint64_t SimulatedNode::bytes_sent() const { return state_->bytes; }

// ---- SimulatedNetwork

SimulatedNetwork::SimulatedNetwork(VirtualClock& clock, uint64_t seed) : clock_(clock), random_(seed) {}
SimulatedNetwork::~SimulatedNetwork() = default;

SimulatedNode& SimulatedNetwork::add_node(const NodeId& id) {
  EXO_CHECK(!living_.contains(id));
  nodes_.emplace_back(new SimulatedNode(std::make_unique<SimulatedNode::State>(*this, id)));
  living_[id] = nodes_.back().get();
  for (const auto& [other, node] : living_) {
    if (other != id) touch(key(id, other));
  }
  return *nodes_.back();
}

SimulatedNode* SimulatedNetwork::find_node(const NodeId& id) {
  const auto found = living_.find(id);
  return found == living_.end() ? nullptr : found->second;
}

SimulatedNode::State* SimulatedNetwork::state(const NodeId& id) {
  SimulatedNode* node = find_node(id);
  return node == nullptr ? nullptr : node->state_.get();
}

SimulatedNetwork::Pair& SimulatedNetwork::pair(const PairKey& k) {
  auto [place, is_new] = pairs_.try_emplace(k);
  if (is_new) place->second.quality = default_quality_;
  return place->second;
}

void SimulatedNetwork::kill(const NodeId& id) { end_node(id, true); }
void SimulatedNetwork::power_off(const NodeId& id) { end_node(id, false); }

void SimulatedNetwork::end_node(const NodeId& id, bool peers_see_it) {
  SimulatedNode::State* node = state(id);
  if (node == nullptr) return;
  node->alive = false;
  node->waiting.clear();
  node->timers.clear();
  node->up.clear();
  living_.erase(id);
  for (auto& [k, p] : pairs_) {
    if (k.first != id && k.second != id) continue;
    const int own = k.first == id ? 0 : 1, far = 1 - own;
    p.generation[own] = 0;
    if (peers_see_it && p.generation[far] != 0) close_far_end(k, far, p.generation[far], "connection closed");
  }
}

void SimulatedNetwork::freeze(const NodeId& id) {
  auto* node = state(id);
  if (node == nullptr || node->frozen) return;
  node->frozen_at = node->network.clock_.now();
  node->frozen = true;
}

void SimulatedNetwork::thaw(const NodeId& id) {
  auto* node = state(id);
  if (node == nullptr || !node->frozen) return;
  node->frozen = false;
  node->left_out += std::max(Duration(0), clock_.now() - node->frozen_at - kLongestStep);
  auto waiting = std::exchange(node->waiting, {});
  for (auto& what : waiting) node->run_later(Duration(0), std::move(what));
  for (const auto& [other, unused] : living_) {
    if (other != id) touch(key(id, other));
  }
}

void SimulatedNetwork::cut(const NodeId& a, const NodeId& b) { pair(key(a, b)).cut = true; }

void SimulatedNetwork::heal(const NodeId& a, const NodeId& b) {
  const PairKey k = key(a, b);
  Pair& p = pair(k);
  if (!p.cut) return;
  p.cut = false;
  for (int end : {0, 1}) {
    for (Frame& frame : std::exchange(p.towards[end].held, {})) arrive(k, end, std::move(frame));
  }
  touch(k);
}

void SimulatedNetwork::partition(const std::vector<NodeId>& side, const std::vector<NodeId>& other) {
  for (const NodeId& a : side) {
    for (const NodeId& b : other) cut(a, b);
  }
}

void SimulatedNetwork::heal_all() {
  std::vector<PairKey> keys;
  for (const auto& [k, p] : pairs_) {
    if (p.cut) keys.push_back(k);
  }
  for (const PairKey& k : keys) heal(k.first, k.second);
}

void SimulatedNetwork::set_quality(const NodeId& a, const NodeId& b, const LinkQuality& quality) {
  pair(key(a, b)).quality = quality;
}

void SimulatedNetwork::set_connect_delay(Duration least, Duration most) {
  connect_least_ = least;
  connect_most_ = std::max(least, most);
}

void SimulatedNetwork::touch(const PairKey& k) {
  Pair& p = pair(k);
  if (p.connecting) return;
  p.connecting = true;
  const auto spread = static_cast<uint64_t>((connect_most_ - connect_least_).count()) + 1;
  const Duration delay = connect_least_ + Duration(static_cast<int64_t>(random_() % spread));
  clock_.run_after(delay, [this, k] {
    pair(k).connecting = false;
    connect(k);
  });
}

void SimulatedNetwork::connect(const PairKey& k) {
  Pair& p = pair(k);
  SimulatedNode::State* nodes[2] = {state(k.first), state(k.second)};
  if (p.cut || nodes[0] == nullptr || nodes[1] == nullptr || nodes[0]->frozen || nodes[1]->frozen) return;
  if (p.generation[0] == p.generation[1] && p.generation[0] != 0) return;
  for (int end : {0, 1}) {  // one end still believes in an older link
    if (p.generation[end] != 0) link_down(k, end, "replaced by a new connection");
  }
  const uint64_t generation = next_generation_++;
  for (int end : {0, 1}) {
    p.generation[end] = generation;
    p.towards[end] = Direction{};
  }
  if (!p.paths.empty()) {
    p.chooser.emplace(clock_.now());
    path_tick(k, generation);
  }
  for (int end : {0, 1}) {
    SimulatedNode::State* node = nodes[end];
    const LinkInfo link = link_info(k, end);
    node->run_later(Duration(0), [this, node, link, k, end, generation] {
      if (pair(k).generation[end] != generation) return;
      node->up[link.peer] = link;
      for (size_t i = 0; i < node->listeners.size() && node->alive; ++i) node->listeners[i]->on_link_up(link);
    });
  }
}

// The end's view: down at once; its listeners are told by a later event.
void SimulatedNetwork::link_down(const PairKey& k, int end, const std::string& why) {
  Pair& p = pair(k);
  p.generation[end] = 0;
  const NodeId own = end == 0 ? k.first : k.second, peer = end == 0 ? k.second : k.first;
  SimulatedNode::State* node = state(own);
  if (node == nullptr) return;
  node->run_later(Duration(0), [node, peer, why] {
    if (node->up.erase(peer) == 0) return;
    const Error error{ErrorCode::kUnavailable, why};
    for (size_t i = 0; i < node->listeners.size() && node->alive; ++i)
      node->listeners[i]->on_link_down(peer, error);
  });
}

// The close travels behind what was sent before it; over a cut it is noticed when the link heals.
void SimulatedNetwork::close_far_end(const PairKey& k, int end, uint64_t generation, const std::string& why) {
  Pair& p = pair(k);
  const TimePoint at = std::max(clock_.now() + p.quality.latency, p.towards[end].last_arrival);
  clock_.run_after(at - clock_.now(), [this, k, end, generation, why] {
    Pair& later = pair(k);
    if (later.generation[end] != generation || later.cut) return;
    link_down(k, end, why);
    touch(k);
  });
}

void SimulatedNetwork::disconnect(SimulatedNode::State& from, const NodeId& peer, const std::string& reason) {
  const PairKey k = key(from.id, peer);
  Pair& p = pair(k);
  const int own = k.first == from.id ? 0 : 1;
  if (p.generation[own] == 0) return;
  const uint64_t generation = p.generation[own];
  link_down(k, own, reason);
  if (p.generation[1 - own] == generation) close_far_end(k, 1 - own, generation, "closed by the peer: " + reason);
  touch(k);
}

bool SimulatedNetwork::send(SimulatedNode::State& from, const NodeId& to, const wire::Message& message) {
  auto bytes = wire::encode(message);
  if (!bytes) return false;
  if (to == from.id) {
    SimulatedNode::State* node = &from;
    node->run_later(Duration(0), [node, frame = std::move(*bytes)] { node->deliver(node->id, frame); });
    return true;
  }
  const PairKey k = key(from.id, to);
  const int own = k.first == from.id ? 0 : 1, receiver = 1 - own;
  Pair& p = pair(k);
  if (p.generation[own] == 0 || !from.up.contains(to)) return false;
  if (p.towards[receiver].queued_bytes + bytes->size() > send_queue_bound_) {
    disconnect(from, to, "the peer does not keep up");
    return false;
  }
  ++from.messages;
  ++from.by_kind[message.index()];
  from.bytes += bytes->size();
  transmit(k, receiver, {std::move(*bytes), p.generation[own], p.path});
  return true;
}

void SimulatedNetwork::transmit(const PairKey& k, int receiver, Frame frame) {
  Pair& p = pair(k);
  Direction& way = p.towards[receiver];
  way.busy_until = std::max(way.busy_until, clock_.now());
  if (p.quality.bandwidth_bytes_per_s > 0) {
    const double ns = static_cast<double>(frame.bytes.size()) / p.quality.bandwidth_bytes_per_s * 1e9;
    way.busy_until += Duration(static_cast<int64_t>(ns));
  }
  TimePoint arrival = way.busy_until + p.quality.latency;
  if (p.quality.jitter.count() > 0) {
    arrival += Duration(static_cast<int64_t>(random_() % static_cast<uint64_t>(p.quality.jitter.count())));
  }
  way.last_arrival = arrival = std::max(arrival, way.last_arrival);
  way.queued_bytes += frame.bytes.size();
  clock_.run_after(arrival - clock_.now(), [this, k, receiver, frame = std::move(frame)]() mutable {
    arrive(k, receiver, std::move(frame));
  });
}

void SimulatedNetwork::arrive(const PairKey& k, int receiver, Frame frame) {
  Pair& p = pair(k);
  if (p.generation[receiver] != frame.generation) return;
  Direction& way = p.towards[receiver];
  // What is lost on a path that the link has left was sent again over the present one.
  const bool lost = frame.path < p.path_cut.size() && p.path_cut[frame.path] && frame.path == p.path;
  if (p.cut || lost) {
    way.held.push_back(std::move(frame));
    return;
  }
  way.queued_bytes -= std::min<uint64_t>(way.queued_bytes, frame.bytes.size());
  const NodeId to = receiver == 0 ? k.first : k.second, from = receiver == 0 ? k.second : k.first;
  SimulatedNode::State* node = state(to);
  if (node == nullptr) return;
  node->run([this, node, k, receiver, from, frame = std::move(frame)] {
    if (pair(k).generation[receiver] == frame.generation && node->up.contains(from))
      node->deliver(from, frame.bytes);
  });
}

// ---- pairs of addresses

void SimulatedNetwork::set_paths(const NodeId& a, const NodeId& b, std::vector<LinkQuality> paths) {
  Pair& p = pair(key(a, b));
  p.path_cut.assign(paths.size(), false);
  p.path = 0;
  p.quality = paths.at(0);
  p.paths = std::move(paths);
}

void SimulatedNetwork::set_path(const NodeId& a, const NodeId& b, size_t path, const LinkQuality& quality) {
  Pair& p = pair(key(a, b));
  p.paths.at(path) = quality;
  if (path == p.path) p.quality = quality;
}

void SimulatedNetwork::cut_path(const NodeId& a, const NodeId& b, size_t path) {
  constexpr Duration kNoticedAfter = std::chrono::milliseconds(600);
  const PairKey k = key(a, b);
  pair(k).path_cut.at(path) = true;
  clock_.run_after(kNoticedAfter, [this, k, path] { fall_back(k, path); });
}

void SimulatedNetwork::heal_path(const NodeId& a, const NodeId& b, size_t path) {
  const PairKey k = key(a, b);
  Pair& p = pair(k);
  p.path_cut.at(path) = false;
  if (path == p.path) move_path(k, path);  // what was held arrives
}

size_t SimulatedNetwork::present_path(const NodeId& a, const NodeId& b) { return pair(key(a, b)).path; }

LinkInfo SimulatedNetwork::link_info(const PairKey& k, int end) {
  const Pair& p = pair(k);
  const NodeId& peer = end == 0 ? k.second : k.first;
  return {peer, fmt::format("10.0.{}.1:1", p.path), fmt::format("10.0.{}.2:1", p.path), p.quality.interface,
          p.quality.wired};
}

void SimulatedNetwork::path_tick(const PairKey& k, uint64_t generation) {
  Pair& p = pair(k);
  if (p.generation[0] != generation || p.generation[1] != generation) return;
  clock_.run_after(std::chrono::seconds(1), [this, k, generation] { path_tick(k, generation); });
  if (p.cut || p.path_cut[p.path]) return;
  std::vector<std::string> addresses;
  for (size_t i = 0; i < p.paths.size(); ++i) addresses.push_back(std::to_string(i));
  PathChooser& chooser = *p.chooser;
  chooser.set_addresses(addresses, std::to_string(p.path), clock_.now());
  chooser.on_round_trip(std::chrono::duration<double, std::micro>(2 * p.quality.latency).count());
  if (const auto better = chooser.better_path()) return move_path(k, std::stoul(*better));
  if (const auto due = chooser.next_probe(clock_.now(), true)) probe_path(k, std::stoul(*due));
}

void SimulatedNetwork::probe_path(const PairKey& k, size_t path) {
  const Pair& p = pair(k);
  const LinkQuality quality = p.paths[path];
  const double round_trip_us = std::chrono::duration<double, std::micro>(2 * quality.latency).count();
  const auto answer_after = p.path_cut[path] ? Duration(std::chrono::milliseconds(1500)) : 10 * quality.latency;
  clock_.run_after(answer_after, [this, k, path, quality, round_trip_us] {
    Pair& later = pair(k);
    if (!later.chooser) return;
    if (later.path_cut[path]) return later.chooser->on_failed(std::to_string(path), "no answer", clock_.now());
    const double bandwidth = quality.bandwidth_bytes_per_s > 0 ? quality.bandwidth_bytes_per_s : 1e12;
    later.chooser->on_measured(std::to_string(path), {round_trip_us, bandwidth, "", quality.interface},
                               clock_.now());
  });
}

void SimulatedNetwork::fall_back(const PairKey& k, size_t path) {
  const Pair& p = pair(k);
  if (path != p.path || !p.path_cut[path]) return;
  for (size_t other = 0; other < p.paths.size(); ++other) {
    if (!p.path_cut[other]) return move_path(k, other, true);
  }
}

void SimulatedNetwork::move_path(const PairKey& k, size_t path, bool failed) {
  Pair& p = pair(k);
  p.path = path;
  p.quality = p.paths[path];
  if (p.chooser) p.chooser->moved(std::to_string(path), clock_.now(), failed);
  for (int end : {0, 1}) {
    SimulatedNode::State* node = state(end == 0 ? k.first : k.second);
    const LinkInfo link = link_info(k, end);
    if (node != nullptr && node->up.contains(link.peer)) {
      node->up[link.peer] = link;
      node->run_later(Duration(0), [node, link] {
        for (size_t i = 0; i < node->listeners.size() && node->alive; ++i) node->listeners[i]->on_link_moved(link);
      });
    }
    for (Frame& frame : std::exchange(p.towards[end].held, {})) arrive(k, end, std::move(frame));
  }
}

}  // namespace exo::net
