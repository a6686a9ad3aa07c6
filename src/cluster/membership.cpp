#include "cluster/membership.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <utility>

#include "base/log.h"
#include "wire/limits.h"

namespace exo::cluster {
namespace {

using namespace std::chrono_literals;

constexpr net::Duration kPublishInterval = 50ms;  // changes within it travel together
constexpr net::Duration kRoundTripInterval = 5s;  // measured round trips are republished at most this often
constexpr net::Duration kGhostLifetime = 60s;     // facts of a dead node are kept this long
constexpr size_t kMostKnown = wire::kMaxNodes - 1;

bool newer(const wire::NodeFacts& a, const wire::NodeFacts& b) {
  return std::pair(a.incarnation, a.sequence) > std::pair(b.incarnation, b.sequence);
}

bool lists(const wire::NodeFacts& facts, const NodeId& peer) {
  return std::any_of(facts.links.begin(), facts.links.end(), [&](const auto& link) { return link.peer == peer; });
}

std::string cut(std::string text, size_t most) {
  if (text.size() > most) text.resize(most);
  return text;
}

// What others would refuse is not sent: a long name must not silence the node.
void keep_within_limits(wire::NodeFacts& facts) {
  const auto shorten = [](std::string& text) { text = cut(std::move(text), wire::kMaxNameBytes); };
  shorten(facts.name);
  shorten(facts.software_version);
  for (auto* text : {&facts.device.os, &facts.device.arch, &facts.device.processor}) shorten(*text);
  if (facts.addresses.size() > wire::kMaxAddresses) facts.addresses.resize(wire::kMaxAddresses);
  if (facts.models.size() > wire::kMaxModels) facts.models.resize(wire::kMaxModels);
  if (facts.stages.size() > wire::kMaxStages) facts.stages.resize(wire::kMaxStages);
  facts.withdrawal = cut(std::move(facts.withdrawal), wire::kMaxTextBytes);
  for (auto& stage : facts.stages) stage.error = cut(std::move(stage.error), wire::kMaxTextBytes);
  const auto sane = [](double& rate) {
    if (!(rate >= 0) || std::isinf(rate)) rate = 0;
  };
  auto& device = facts.device;
  for (auto* rate : {&device.memory_bandwidth_bytes_per_s, &device.int8_ops_per_s, &device.f32_flops_per_s,
                     &device.disk_bytes_per_s, &device.step_overhead_s, &device.decode_correction,
                     &device.prefill_correction, &facts.tokens_per_s}) {
    sane(*rate);
  }
  if (device.format_rates.size() > wire::kMaxFormatRates) device.format_rates.resize(wire::kMaxFormatRates);
  for (auto& rate : device.format_rates) {
    shorten(rate.weight_type);
    sane(rate.stream_bytes_per_s);
    sane(rate.ops_per_s);
    sane(rate.few_rows_ops_per_s);
  }
  if (facts.stage_times.size() > wire::kMaxStages) facts.stage_times.resize(wire::kMaxStages);
  for (auto& times : facts.stage_times) {
    sane(times.decode_ms);
    sane(times.prefill_ms_per_row);
  }
}

}  // namespace

Membership::Membership(net::Clock& clock, net::Transport& transport, const ClusterOptions& options,
                       wire::NodeFacts self, Hooks hooks)
    : clock_(clock), transport_(transport), options_(options), self_(std::move(self)), hooks_(std::move(hooks)) {
  self_.id = transport_.self();
  self_.links.clear();
  self_.leaving = false;
  keep_within_limits(self_);
  alive_.insert(self_.id);
}

Membership::~Membership() {
  clock_.cancel(tick_timer_);
  clock_.cancel(publish_timer_);
}

void Membership::start() {
  started_ = true;
  stopped_ = clock_.stopped();
  mark_dirty();
  tick_timer_ = clock_.run_after(options_.heartbeat_interval, [this] { tick(); });
}

void Membership::leave(const std::string& reason) {
  if (self_.leaving) return;
  self_.leaving = true;
  publish();
  for (const NodeId& peer : neighbours()) transport_.send(peer, wire::Goodbye{cut(reason, wire::kMaxTextBytes)});
  clock_.cancel(tick_timer_);
  clock_.cancel(publish_timer_);
  tick_timer_ = publish_timer_ = 0;
}

void Membership::update_self(const std::function<void(wire::NodeFacts&)>& change) {
  wire::NodeFacts changed = self_;
  change(changed);
  changed.id = self_.id;
  changed.incarnation = self_.incarnation;
  changed.sequence = self_.sequence;
  changed.links = self_.links;
  changed.leaving = self_.leaving;
  keep_within_limits(changed);
  if (changed == self_) return;
  self_ = std::move(changed);
  mark_dirty();
  hooks_.changed();
}

// ---- publishing

void Membership::mark_dirty() {
  dirty_ = true;
  if (!started_ || left() || publish_timer_ != 0) return;
  const net::Duration wait = std::max(net::Duration(0), last_publish_ + kPublishInterval - clock_.now());
  publish_timer_ = clock_.run_after(wait, [this] {
    publish_timer_ = 0;
    if (dirty_) publish();
  });
}

void Membership::publish() {
  dirty_ = false;
  last_publish_ = clock_.now();
  ++self_.sequence;
  hooks_.spread(self_, self_.id);
}

// ---- links

void Membership::on_link_up(const net::LinkInfo& link) {
  Neighbour& neighbour = neighbours_[link.peer];
  neighbour = Neighbour{};
  neighbour.link = link;
  neighbour.meter = LinkMeter(options_.link_burst_bytes);
  neighbour.last_heard = clock_.now();
  // Whoever links runs: a goodbye that came before, perhaps late and from an earlier run, is void.
  if (const auto known = known_.find(link.peer); known != known_.end()) known->second.departed = false;
  refresh_links();
  recompute_alive();
}

void Membership::on_link_down(const NodeId& peer) {
  if (neighbours_.erase(peer) == 0) return;
  refresh_links();
  recompute_alive();
  if (const auto known = known_.find(peer); known != known_.end()) {
    if (auto hearsay = std::exchange(known->second.hearsay, {})) merge(std::move(hearsay->first), hearsay->second);
  }
}

// Measured anew; until then the old numbers stand.
void Membership::on_link_moved(const net::LinkInfo& link) {
  const auto found = neighbours_.find(link.peer);
  if (found == neighbours_.end()) return;
  found->second.link = link;
  found->second.meter = LinkMeter(options_.link_burst_bytes);
  found->second.nonce = 0;
  refresh_links();
}

void Membership::on_heard(const NodeId& peer) {
  const auto found = neighbours_.find(peer);
  if (found != neighbours_.end()) found->second.last_heard = clock_.now();
}

void Membership::on_ping(const NodeId& from, const wire::Ping& ping) {
  transport_.send(from, wire::Pong{ping.nonce});
}

void Membership::on_pong(const NodeId& from, const wire::Pong& pong) {
  const auto found = neighbours_.find(from);
  if (found == neighbours_.end() || pong.nonce != found->second.nonce || pong.nonce == 0) return;
  Neighbour& neighbour = found->second;
  neighbour.nonce = 0;
  const bool first = neighbour.meter.round_trip_us() == 0;
  neighbour.meter.on_answer(neighbour.burst_bytes, clock_.now() - neighbour.ping_sent, clock_.now());
  const double bandwidth = neighbour.meter.bandwidth_bytes_per_s();
  // The first measurement is news, later ones when they differ by a quarter.
  const bool news = std::abs(bandwidth - neighbour.told_bandwidth) > neighbour.told_bandwidth / 4;
  if (news) neighbour.told_bandwidth = bandwidth;
  if (first || news) refresh_links();
}

// Own link facts from the neighbours; a round trip is kept until it has moved by a quarter and some time has
// passed.
void Membership::refresh_links() {
  const bool renew = clock_.now() - last_round_trips_ >= kRoundTripInterval;
  std::vector<wire::LinkFacts> links;
  for (const auto& [peer, neighbour] : neighbours_) {
    if (links.size() >= wire::kMaxLinks) break;
    wire::LinkFacts facts{peer, cut(neighbour.link.interface, wire::kMaxNameBytes),
                          static_cast<uint32_t>(std::min(neighbour.meter.round_trip_us(), 4e9)),
                          neighbour.told_bandwidth};
    const auto old = std::find_if(self_.links.begin(), self_.links.end(), [&](auto& l) { return l.peer == peer; });
    if (old != self_.links.end()) {
      const double moved = std::abs(static_cast<double>(facts.round_trip_us) - old->round_trip_us);
      const bool keep = old->round_trip_us != 0 && (!renew || moved < std::max(50.0, old->round_trip_us / 4.0));
      if (keep || facts.round_trip_us == 0) facts.round_trip_us = old->round_trip_us;
    }
    links.push_back(std::move(facts));
  }
  if (renew) last_round_trips_ = clock_.now();
  if (links == self_.links) return;
  self_.links = std::move(links);
  mark_dirty();
}

void Membership::tick() {
  tick_timer_ = clock_.run_after(options_.heartbeat_interval, [this] { tick(); });
  const net::TimePoint now = clock_.now();
  if (const auto stopped = clock_.stopped() - std::exchange(stopped_, clock_.stopped());
      stopped > options_.suspect_after / 4) {
    distrust_self_until_ = now + options_.suspect_after;
    log_info("cluster", "this node was stopped for {} ms",
             std::chrono::duration_cast<std::chrono::milliseconds>(stopped).count());
  }
  watch_links(now);
  if (now - last_round_trips_ >= kRoundTripInterval) refresh_links();
  forget_ghosts(now);
}

void Membership::watch_links(net::TimePoint now) {
  std::vector<NodeId> silent;
  std::vector<std::pair<NodeId, wire::Ping>> pings;
  for (auto& [peer, neighbour] : neighbours_) {
    if (now - neighbour.last_heard > options_.suspect_after) {
      silent.push_back(peer);
      continue;
    }
    // One ping at a time measures; the others only show life.
    const bool measure = neighbour.nonce == 0 || now - neighbour.ping_sent > options_.suspect_after;
    if (measure) {
      neighbour.nonce = next_nonce_++;
      neighbour.ping_sent = now;
      neighbour.burst_bytes = neighbour.meter.next_burst(now);
    }
    pings.emplace_back(peer, measure ? wire::Ping{neighbour.nonce, neighbour.burst_bytes} : wire::Ping{});
  }
  for (const auto& [peer, ping] : pings) transport_.send(peer, ping);
  for (const NodeId& peer : silent) {
    log_info("cluster", "{} is silent: link closed", peer.short_hex());
    transport_.disconnect(peer, "no sign of life");
    on_link_down(peer);
  }
}

void Membership::forget_ghosts(net::TimePoint now) {
  for (auto& [id, known] : known_) {
    if (alive_.contains(id)) known.last_alive = now;
  }
  std::erase_if(known_, [&](const auto& item) {
    return !alive_.contains(item.first) && now - item.second.last_alive > kGhostLifetime;
  });
}

// ---- facts of others

void Membership::on_goodbye(const NodeId& from) {
  const auto found = known_.find(from);
  if (found == known_.end()) return;
  found->second.departed = true;
  recompute_alive();
}

// Somebody holds a newer version of this node's facts than this node: an earlier run's, when the clock that made
// the incarnation went back. Outdo it.
void Membership::merge_own_echo(const wire::NodeFacts& facts) {
  if (!newer(facts, self_) || facts.incarnation == UINT64_MAX || left()) return;
  self_.incarnation = facts.incarnation + 1;
  mark_dirty();
  hooks_.changed();
}

void Membership::merge(wire::NodeFacts facts, const NodeId& from) {
  if (facts.id == self_.id) return merge_own_echo(facts);
  // Nobody speaks for a node that has a link here: it says itself what there is to say, and replaces at once what
  // others made up before. What they say counts when the link goes.
  const bool firsthand = from == facts.id;
  auto found = known_.find(facts.id);
  if (!firsthand && neighbours_.contains(facts.id)) {
    if (found == known_.end()) return;
    auto& hearsay = found->second.hearsay;
    if (newer(facts, hearsay ? hearsay->first : found->second.facts)) hearsay = {std::move(facts), from};
    return;
  }
  const bool replaces_hearsay = firsthand && found != known_.end() && !found->second.firsthand;
  if (found != known_.end() && !replaces_hearsay && !newer(facts, found->second.facts)) return;
  if (found == known_.end()) {
    if (known_.size() >= kMostKnown) return;
    found = known_.try_emplace(facts.id).first;
  } else if (facts.incarnation > found->second.facts.incarnation) {
    found->second.departed = false;
  }
  Known& known = found->second;
  known.facts = std::move(facts);
  known.firsthand = firsthand;
  known.hearsay.reset();
  known.last_alive = clock_.now();
  hooks_.spread(known.facts, from);
  recompute_alive();
  hooks_.changed();
}

void Membership::recompute_alive() {
  std::set<NodeId> reached{self_.id};
  std::deque<const wire::NodeFacts*> open;
  const auto reach = [&](const NodeId& id) {
    const auto found = known_.find(id);
    if (found == known_.end() || found->second.facts.leaving || found->second.departed) return;
    if (reached.insert(id).second) open.push_back(&found->second.facts);
  };
  for (const auto& [peer, neighbour] : neighbours_) reach(peer);
  // Where all have links with all there is nobody left to be reached over others.
  for (; !open.empty() && reached.size() <= known_.size(); open.pop_front()) {
    for (const auto& link : open.front()->links) reach(link.peer);
  }
  if (reached == alive_) return;
  for (const NodeId& id : alive_) {
    if (!reached.contains(id)) known_[id].last_alive = clock_.now();
  }
  alive_ = std::move(reached);
  hooks_.changed();
}

// ---- views

const wire::NodeFacts* Membership::find(const NodeId& id) const { return is_alive(id) ? find_known(id) : nullptr; }

const wire::NodeFacts* Membership::find_known(const NodeId& id) const {
  if (id == self_.id) return &self_;
  const auto found = known_.find(id);
  return found == known_.end() ? nullptr : &found->second.facts;
}

std::vector<const wire::NodeFacts*> Membership::living() const {
  std::vector<const wire::NodeFacts*> result;
  for (const NodeId& id : alive_) result.push_back(find_known(id));
  return result;
}

std::vector<NodeId> Membership::neighbours() const {
  std::vector<NodeId> result;
  for (const auto& [peer, neighbour] : neighbours_) result.push_back(peer);
  return result;
}

bool Membership::is_linked(const NodeId& a, const NodeId& b) const {
  if (a == b) return true;
  const auto reports = [this](const NodeId& from, const NodeId& to) {
    if (from == self_.id) return neighbours_.contains(to);
    const auto* facts = find_known(from);
    return facts != nullptr && lists(*facts, to);
  };
  return reports(a, b) && reports(b, a);
}

}  // namespace exo::cluster
