#include "serve/trace_service.h"

#include <algorithm>

#include "wire/limits.h"

namespace exo::serve {
namespace {

constexpr int kClockProbes = 4;

// What a peer states may be anything: sums wrap instead of being undefined.
int64_t wrapping_difference(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}

}  // namespace

TraceService::TraceService(net::Clock& clock, net::Transport& transport, cluster::Cluster& cluster, Front& front,
                           ring::TraceLog& log)
    : clock_(clock), transport_(transport), cluster_(cluster), front_(front), log_(log) {}

TraceService::~TraceService() {
  for (const auto& [id, gathering] : gatherings_) clock_.cancel(gathering.timer);
}

Status TraceService::gather(const RequestId& request, Done done) {
  return start({.request = request}, std::move(done));
}

Status TraceService::gather_running(Done done) { return start({.list = true}, std::move(done)); }

wire::TraceReply TraceService::answer(const wire::TraceQuery& query) const {
  wire::TraceReply reply{.nonce = query.nonce, .now_ns = ring::trace_ns(clock_.steady_now())};
  if (query.request != RequestId{}) log_.report(query.request, reply);
  if (query.list) reply.requests = front_.running();
  if (reply.requests.size() > wire::kMaxTraceRequests) reply.requests.resize(wire::kMaxTraceRequests);
  return reply;
}

Status TraceService::start(const wire::TraceQuery& what, Done done) {
  if (gatherings_.size() >= kMostGatherings)
    return fail(ErrorCode::kResourceExhausted, "{} traces are being gathered already", gatherings_.size());
  const uint64_t id = next_++;
  Gathering& gathering = gatherings_[id];
  gathering.done = std::move(done);
  auto own = answer(what);
  gathering.nodes.push_back({.node = transport_.self(),
                             .name = cluster_.self().name,
                             .reached = true,
                             .events = std::move(own.events),
                             .steps = std::move(own.steps),
                             .running = std::move(own.requests)});
  for (const auto& member : cluster_.members()) {
    if (member.id == transport_.self()) continue;
    gathering.nodes.push_back({.node = member.id, .name = member.name});
    for (int probe = 0; probe < kClockProbes; ++probe) ask(id, member.id, {}, true);
    gathering.missing += ask(id, member.id, what, false);
  }
  const auto wait = gathering.missing > 0 ? kDeadline : net::Duration{};
  gathering.timer = clock_.run_after(wait, [this, id] { end(id); });
  return {};
}

bool TraceService::ask(uint64_t gathering, const NodeId& node, wire::TraceQuery query, bool probe) {
  const uint64_t nonce = next_++;
  query.nonce = nonce;
  if (!transport_.send(node, query)) return false;
  asked_[nonce] = {gathering, node, clock_.steady_now(), probe};
  return true;
}

void TraceService::take(const Asked& asked, wire::TraceReply& reply) {
  const auto found = gatherings_.find(asked.gathering);
  if (found == gatherings_.end()) return;
  Gathering& gathering = found->second;
  const auto node = std::ranges::find(gathering.nodes, asked.node, &NodeTrace::node);
  if (node == gathering.nodes.end()) return;
  const auto half_ns = std::max<int64_t>((clock_.steady_now() - asked.sent_at).count() / 2, 1);
  if (node->uncertainty_ns == 0 || half_ns < node->uncertainty_ns) {
    node->uncertainty_ns = half_ns;
    node->offset_ns = wrapping_difference(ring::trace_ns(asked.sent_at) + half_ns, reply.now_ns);
  }
  if (asked.probe) return;
  node->reached = true;
  node->events = std::move(reply.events);
  node->steps = std::move(reply.steps);
  node->running = std::move(reply.requests);
  if (--gathering.missing == 0) end(asked.gathering);
}

void TraceService::end(uint64_t id) {
  const auto found = gatherings_.find(id);
  if (found == gatherings_.end()) return;
  clock_.cancel(found->second.timer);
  Gathering gathering = std::move(found->second);
  gatherings_.erase(found);
  std::erase_if(asked_, [&](const auto& entry) { return entry.second.gathering == id; });
  gathering.done(std::move(gathering.nodes));
}

bool TraceService::takes(const wire::Message& message) const {
  return std::holds_alternative<wire::TraceQuery>(message) || std::holds_alternative<wire::TraceReply>(message);
}

void TraceService::on_message(const NodeId& from, wire::Message message) {
  if (const auto* query = std::get_if<wire::TraceQuery>(&message)) {
    transport_.send(from, answer(*query));
  } else if (auto* reply = std::get_if<wire::TraceReply>(&message)) {
    const auto found = asked_.find(reply->nonce);
    if (found == asked_.end() || found->second.node != from) return;
    const Asked asked = found->second;
    asked_.erase(found);
    take(asked, *reply);
  }
}

void TraceService::on_link_up(const net::LinkInfo&) {}

void TraceService::on_link_down(const NodeId& peer, const Error&) {
  std::vector<uint64_t> ended;
  std::erase_if(asked_, [&](const auto& entry) {
    const Asked& asked = entry.second;
    if (asked.node != peer) return false;
    const auto gathering = gatherings_.find(asked.gathering);
    if (!asked.probe && gathering != gatherings_.end() && --gathering->second.missing == 0)
      ended.push_back(asked.gathering);
    return true;
  });
  for (const uint64_t id : ended) end(id);
}

}  // namespace exo::serve
