#pragma once
// What front.cpp and front_move.cpp share. Not for others.

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <unordered_map>

#include "serve/front.h"
#include "serve/measures.h"

namespace exo::serve {

// A request of this front's clients, and how it stands.
struct FrontRequest {
  RequestId id;
  uint64_t order = 0;  // as they came
  GenerateRequest asked;
  std::shared_ptr<RequestObserver> observer;
  std::vector<TokenId> tokens;  // prompt and answer so far
  bool finished = false;
  RequestStatus status;
  bool told_status = false;
  RequestUsage usage;

  // While submitted:
  bool submitted = false;
  bool was_submitted = false;  // ever
  bool accepted = false;       // by some ring, ever
  NodeId first_node;
  Epoch epoch;
  net::TimePoint heard_at{};  // or asked
  std::optional<net::TimePoint> silent_since;

  // While it runs on an epoch whose successor is ready: the successor computes what there is of it.
  struct Rehearsal {
    RequestId id;
    NodeId node;  // with the first stage
    Epoch epoch;
    size_t n_tokens = 0;
    int32_t rounds = 0;
    bool refused = false;  // tried again at `next_try`
    net::TimePoint heard_at{}, next_try{};
    std::optional<net::TimePoint> waits_until;  // done; the request moves when a block is full, or then
  };
  std::optional<Rehearsal> rehearsal;
  std::optional<net::TimePoint> may_move_since;

  // While waiting for a ring:
  net::TimePoint waiting_since{};  // without progress
  std::optional<net::TimePoint> problem_since;
  std::optional<net::TimePoint> unavailable_since;  // the scheduler said so, and nothing moved since
  net::TimePoint next_try{}, next_ensure{};
  Epoch seen_epoch;
  uint64_t seen_bytes = 0;
  std::string obstacle;  // what it waits for, for people

  net::TimePoint started{};
  std::optional<net::TimePoint> prefill_began, first_token;

  size_t generated() const { return tokens.size() - asked.prompt.size(); }
};
using RequestPtr = std::shared_ptr<FrontRequest>;

struct Front::Impl {
  Impl(net::Clock& clock_in, net::Transport& transport_in, cluster::Cluster& cluster_in, FrontOptions options_in)
      : clock(clock_in), transport(transport_in), cluster(cluster_in), options(options_in) {
    std::random_device device;
    ids.seed(options.id_seed != 0 ? options.id_seed : (uint64_t{device()} << 32) ^ device());
    if (options.id_seed == 0) salt = (uint64_t{device()} << 32) ^ device();
    for (const auto& link : transport.links()) linked.insert(link.peer);
  }
  ~Impl() { clock.cancel(timer); }

  // Steps of one request's life. Each may end it; observers may call back into the front.
  void advance(const RequestPtr& request);
  bool find_ring(const RequestPtr& request);
  void submit(const RequestPtr& request, const wire::InstanceRecord& record);
  bool is_linked(const NodeId& node) const { return node == transport.self() || linked.contains(node); }
  RequestId new_id() { return {ids() ^ salt, ids()}; }
  // front_move.cpp: from a ring that still serves to its successor
  void consider_move(const RequestPtr& request);
  bool keeps_state(const std::string& fingerprint) const;
  void rehearse(const RequestPtr& request, const wire::InstanceRecord& record, int32_t rounds);
  void on_rehearsal(const RequestPtr& request, const NodeId& from, const wire::RequestUpdate& update);
  void await_block(const RequestPtr& request, const wire::InstanceRecord& record);
  void end_rehearsal(const RequestPtr& request);
  void move(const RequestPtr& request, const wire::InstanceRecord& record);

  void detach(const RequestPtr& request, net::Duration retry_after);
  void on_problem(const RequestPtr& request, Error error);
  void ensure(const RequestPtr& request);
  void on_update(const NodeId& from, wire::RequestUpdate& update);
  void take_tokens(const RequestPtr& request, wire::RequestUpdate& update);
  void take_progress(const RequestPtr& request, const wire::RequestUpdate& update);
  void take_finish(const RequestPtr& request, wire::RequestUpdate& update);
  void set_status(const RequestPtr& request, RequestStatus status);
  void note(const FrontRequest& request, wire::TraceEventKind kind, int64_t value) const;
  void finish(const RequestPtr& request, wire::FinishReason reason, std::optional<Error> error);
  void count(const FrontRequest& request, wire::FinishReason reason, double first_token_s);
  void progress(FrontRequest& request) {
    request.waiting_since = clock.now();
    request.problem_since.reset();
    request.unavailable_since.reset();
  }
  int32_t context_of(const wire::InstanceRecord& record) const;
  // Calls `what` for every request that is here now and still is when its turn comes, in the order in which they
  // came. It may end requests and start others.
  template <typename What>
  void each(const What& what) {
    const uint64_t end = n_started;
    for (auto next = in_order.begin(); next != in_order.end() && next->first < end;) {
      const RequestPtr request = next->second;
      what(request);
      next = in_order.upper_bound(request->order);
    }
  }
  void arm();
  void tick();

  net::Clock& clock;
  net::Transport& transport;
  cluster::Cluster& cluster;
  const FrontOptions options;
  std::mt19937_64 ids;
  uint64_t salt = 0;
  uint64_t n_started = 0;
  FrontStatistics statistics;
  std::unordered_map<RequestId, RequestPtr> requests;
  std::map<uint64_t, RequestPtr> in_order;               // the same, as they came
  std::unordered_map<RequestId, RequestPtr> rehearsals;  // by the rehearsal's id
  std::string closed_because;                            // not empty: new requests are refused
  std::set<NodeId> linked;
  size_t n_members = 0;
  std::optional<net::TimePoint> lost_member_at;
  net::TimerId timer = 0;
};

}  // namespace exo::serve
