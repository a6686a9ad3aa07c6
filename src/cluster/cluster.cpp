// Gossip between members, and the wiring of membership and instances.
//
// A change of the own facts is sent at once to all neighbours. What others say is passed on to the neighbours that
// do not get it from its origin; what comes within kForwardInterval travels together, in its last version: while a
// cluster forms each new link changes the facts of two nodes, and whom they list changes faster than it could be
// passed on. A new link begins with the own facts, all instances and a digest of the rest; a digest now and then to
// one neighbour repairs what was missed.

#include "cluster/cluster.h"

#include <algorithm>

#include "base/check.h"
#include "cluster/instances.h"
#include "cluster/membership.h"
#include "wire/limits.h"

namespace exo::cluster {
namespace {

using namespace std::chrono_literals;

constexpr net::Duration kForwardInterval = 50ms;
constexpr net::Duration kDigestInterval = 1s;
constexpr net::Duration kDigestReplyInterval = 200ms;  // per neighbour
constexpr size_t kNodesPerMessage = 16, kInstancesPerMessage = 64;

}  // namespace

struct Cluster::Impl {
  Impl(net::Clock& clock_arg, net::Transport& transport_arg, StageHost& host, ClusterOptions options_arg,
       wire::NodeFacts self)
      : clock(clock_arg),
        transport(transport_arg),
        options(std::move(options_arg)),
        membership(clock, transport, options, std::move(self),
                   {[this](const wire::NodeFacts& facts, const NodeId& from) { spread(facts, from); },
                    [this] {
                      members_changed = true;
                      settle_soon();
                    }}),
        instances(clock, membership, host, options,
                  {[this](const wire::InstanceRecord& record, const NodeId& from) { spread(record, from); },
                   [this] { settle_soon(); }, [this](const InstanceView& view) { notify(view); }}) {}

  ~Impl() {
    clock.cancel(settle_timer);
    clock.cancel(forward_timer);
    clock.cancel(digest_timer);
  }

  // ---- settling: in a turn of its own, so that observers may call back

  void settle_soon() {
    if (!started || settle_timer != 0) return;
    settle_timer = clock.run_after(net::Duration(0), [this] {
      settle_timer = 0;
      instances.settle();
      if (!std::exchange(members_changed, false)) return;
      for (size_t i = 0; i < observers.size(); ++i) observers[i]->on_members_changed();
    });
  }
  void notify(const InstanceView& view) {
    for (size_t i = 0; i < observers.size(); ++i) observers[i]->on_instance_changed(view);
  }

  // ---- gossip out

  void spread(const wire::NodeFacts& facts, const NodeId& from) {
    if (!started) return;
    if (facts.id == transport.self()) {
      for (const NodeId& peer : membership.neighbours()) transport.send(peer, wire::Gossip{{facts}, {}});
      return;
    }
    to_forward[facts.id] = from;
    if (forward_timer != 0) return;
    const net::Duration wait = std::max(net::Duration(0), last_forward + kForwardInterval - clock.now());
    forward_timer = clock.run_after(wait, [this] { forward(); });
  }
  void forward() {
    forward_timer = 0;
    last_forward = clock.now();
    const auto waiting = std::exchange(to_forward, {});
    for (const NodeId& peer : membership.neighbours()) {
      std::vector<const wire::NodeFacts*> lacking;
      for (const auto& [id, from] : waiting) {
        const auto* facts = membership.find_known(id);
        if (facts == nullptr || peer == from || peer == id) continue;
        const bool has_it = std::any_of(facts->links.begin(), facts->links.end(),
                                        [&](const auto& link) { return link.peer == peer; });
        if (!has_it) lacking.push_back(facts);
      }
      send_all(peer, lacking, {});
    }
  }
  void spread(const wire::InstanceRecord& record, const NodeId& from) {
    if (!started) return;
    const auto* proposer = membership.find(record.epoch.proposer);
    const bool own = record.epoch.proposer == transport.self();
    for (const NodeId& peer : membership.neighbours()) {
      if (peer == from || peer == record.epoch.proposer) continue;
      const bool has_it = !own && proposer != nullptr && membership.is_linked(proposer->id, peer);
      if (!has_it) transport.send(peer, wire::Gossip{{}, {record}});
    }
  }
  void send_all(const NodeId& peer, const std::vector<const wire::NodeFacts*>& nodes,
                const std::vector<const wire::InstanceRecord*>& records) {
    wire::Gossip gossip;
    const auto flush = [&] {
      if (!gossip.nodes.empty() || !gossip.instances.empty()) transport.send(peer, gossip);
      gossip = {};
    };
    for (const auto* node : nodes) {
      gossip.nodes.push_back(*node);
      if (gossip.nodes.size() == kNodesPerMessage) flush();
    }
    for (const auto* record : records) {
      gossip.instances.push_back(*record);
      if (gossip.instances.size() == kInstancesPerMessage) flush();
    }
    flush();
  }

  // ---- digests

  wire::GossipDigest digest() const {
    wire::GossipDigest result;
    for (const auto* node : membership.living())
      result.nodes.push_back({node->id, node->incarnation, node->sequence});
    for (const auto* record : instances.records()) result.instances.push_back({record->fingerprint, record->epoch});
    return result;
  }

  void on_digest(const NodeId& from, const wire::GossipDigest& theirs) {
    std::map<NodeId, std::pair<uint64_t, uint64_t>> nodes;
    std::map<std::string, Epoch> epochs;
    for (const auto& node : theirs.nodes) nodes[node.id] = {node.incarnation, node.sequence};
    for (const auto& instance : theirs.instances) epochs[instance.fingerprint] = instance.epoch;
    std::vector<const wire::NodeFacts*> newer_nodes;
    for (const auto* node : membership.living()) {
      const auto found = nodes.find(node->id);
      const bool they_lack_it =
          found == nodes.end() || found->second < std::pair(node->incarnation, node->sequence);
      if (they_lack_it) newer_nodes.push_back(node);
    }
    std::vector<const wire::InstanceRecord*> newer_records;
    for (const auto* record : instances.records()) {
      const auto found = epochs.find(record->fingerprint);
      if (found == epochs.end() || found->second < record->epoch) newer_records.push_back(record);
    }
    send_all(from, newer_nodes, newer_records);
    if (is_ahead(nodes, epochs)) ask(from);
  }
  bool is_ahead(const std::map<NodeId, std::pair<uint64_t, uint64_t>>& nodes,
                const std::map<std::string, Epoch>& epochs) const {
    for (const auto& [id, version] : nodes) {
      const auto* known = membership.find_known(id);
      if (known == nullptr || std::pair(known->incarnation, known->sequence) < version) return true;
    }
    for (const auto& [fingerprint, epoch] : epochs) {
      const auto* record = instances.find_record(fingerprint);
      if (record == nullptr || record->epoch < epoch) return true;
    }
    return false;
  }
  void ask(const NodeId& peer) {
    auto& last = asked[peer];
    if (clock.now() - last < kDigestReplyInterval) return;
    last = clock.now();
    transport.send(peer, digest());
  }
  void digest_tick() {
    digest_timer = clock.run_after(kDigestInterval, [this] { digest_tick(); });
    settle_soon();  // deadlines of loading stages
    const auto peers = membership.neighbours();
    if (!peers.empty()) transport.send(peers[next_digest++ % peers.size()], digest());
  }

  net::Clock& clock;
  net::Transport& transport;
  const ClusterOptions options;
  std::vector<ClusterObserver*> observers;
  bool started = false, members_changed = false;
  net::TimerId settle_timer = 0, forward_timer = 0, digest_timer = 0;
  std::map<NodeId, NodeId> to_forward;  // whose facts, and the neighbour that sent them
  net::TimePoint last_forward{};
  std::map<NodeId, net::TimePoint> asked;
  size_t next_digest = 0;
  Membership membership;
  Instances instances;
};

Cluster::Cluster(net::Clock& clock, net::Transport& transport, StageHost& host, ClusterOptions options,
                 wire::NodeFacts self)
    : impl_(std::make_unique<Impl>(clock, transport, host, std::move(options), std::move(self))) {
  transport.add_listener(this);
}
Cluster::~Cluster() = default;

void Cluster::start() {
  EXO_CHECK(!impl_->started);
  impl_->started = true;
  impl_->membership.start();
  for (const auto& link : impl_->transport.links()) on_link_up(link);
  impl_->digest_tick();
}

void Cluster::leave(const std::string& reason) {
  impl_->membership.leave(reason);
  impl_->clock.cancel(impl_->forward_timer);
  impl_->clock.cancel(impl_->digest_timer);
  impl_->forward_timer = impl_->digest_timer = 0;
}

void Cluster::add_observer(ClusterObserver* observer) { impl_->observers.push_back(observer); }

void Cluster::update_self(const std::function<void(wire::NodeFacts&)>& change) {
  impl_->membership.update_self(change);
}
void Cluster::report_stage(const wire::StageStatus& status) { impl_->instances.report_stage(status); }
void Cluster::retire_previous(const std::string& fingerprint) { impl_->instances.retire_previous(fingerprint); }

void Cluster::withdraw(const std::string& reason) {
  impl_->membership.update_self([&](wire::NodeFacts& facts) { facts.withdrawal = reason; });
}
std::vector<StageHold> Cluster::holds() const { return impl_->instances.holds(); }

const wire::NodeFacts& Cluster::self() const { return impl_->membership.self(); }
std::vector<wire::NodeFacts> Cluster::members() const {
  std::vector<wire::NodeFacts> result{self()};
  for (const auto* node : impl_->membership.living()) {
    if (node->id != self().id) result.push_back(*node);
  }
  return result;
}
const wire::NodeFacts* Cluster::find_member(const NodeId& id) const { return impl_->membership.find(id); }
std::vector<wire::ModelFacts> Cluster::models() const { return impl_->instances.models(); }

Status Cluster::ensure_instance(const std::string& fingerprint, const std::optional<PlacementRequest>& how) {
  return impl_->instances.ensure(fingerprint, how);
}
Status Cluster::stop_instance(const std::string& fingerprint) { return impl_->instances.stop(fingerprint); }
Status Cluster::replan_instance(const std::string& fingerprint, const PlacementRequest& how) {
  return impl_->instances.replan(fingerprint, how);
}
std::vector<InstanceView> Cluster::instances() const {
  std::vector<InstanceView> result;
  for (const auto* record : impl_->instances.records())
    result.push_back(*impl_->instances.find(record->fingerprint));
  return result;
}
std::optional<InstanceView> Cluster::find_instance(const std::string& fingerprint) const {
  return impl_->instances.find(fingerprint);
}
NodeId Cluster::keeper(const std::string& fingerprint) const { return impl_->instances.keeper(fingerprint); }
ContentPin Cluster::content(const std::string& fingerprint) const { return impl_->instances.content(fingerprint); }
Result<Plan> Cluster::preview(const std::string& fingerprint, const PlacementRequest& how) const {
  return impl_->instances.preview(fingerprint, how);
}

// ---- net::TransportListener

void Cluster::on_link_up(const net::LinkInfo& link) {
  if (!impl_->started || impl_->membership.left()) return;
  impl_->membership.on_link_up(link);
  impl_->send_all(link.peer, {&self()}, impl_->instances.records());
  impl_->transport.send(link.peer, impl_->digest());
}

void Cluster::on_link_down(const NodeId& peer, const Error&) {
  impl_->asked.erase(peer);
  impl_->membership.on_link_down(peer);
}

void Cluster::on_link_moved(const net::LinkInfo& link) { impl_->membership.on_link_moved(link); }

bool Cluster::takes(const wire::Message& message) const {
  return !std::holds_alternative<wire::Step>(message) && !std::holds_alternative<wire::StepResult>(message);
}

void Cluster::on_heard(const NodeId& from) {
  if (impl_->started && !impl_->membership.left() && from != self().id) impl_->membership.on_heard(from);
}

void Cluster::on_message(const NodeId& from, wire::Message message) {
  Membership& membership = impl_->membership;
  if (!impl_->started || membership.left() || from == self().id) return;
  if (const auto* ping = std::get_if<wire::Ping>(&message)) {
    membership.on_ping(from, *ping);
  } else if (const auto* pong = std::get_if<wire::Pong>(&message)) {
    membership.on_pong(from, *pong);
  } else if (auto* gossip = std::get_if<wire::Gossip>(&message)) {
    for (auto& node : gossip->nodes) membership.merge(std::move(node), from);
    for (auto& record : gossip->instances) impl_->instances.merge(std::move(record), from);
  } else if (const auto* digest = std::get_if<wire::GossipDigest>(&message)) {
    impl_->on_digest(from, *digest);
  } else if (std::holds_alternative<wire::Goodbye>(message)) {
    membership.on_goodbye(from);
  }
}

}  // namespace exo::cluster
