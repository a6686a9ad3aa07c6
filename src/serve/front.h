#pragma once
// The front: owner of every request that this node's API (or `exo run`) took. It keeps prompt and tokens so far,
// so that a request survives its ring: when an epoch dies it waits for the next and replays.
// Network thread only.

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/sampler_settings.h"
#include "cluster/cluster.h"
#include "net/clock.h"
#include "net/transport.h"
#include "ring/trace_log.h"
#include "serve/histogram.h"

namespace exo::serve {

struct GenerateRequest {
  std::string fingerprint;           // of the model
  std::vector<TokenId> prompt;       // not empty
  int32_t max_new_tokens = 0;        // 0: as many as the context holds
  std::vector<TokenId> stop_tokens;  // end the answer; not part of it
  SamplerSettings sampler;
  net::Duration deadline = std::chrono::hours(1);  // for the whole request; then it ends with kDeadlineExceeded
};

struct RequestStatus {
  using Phase = wire::RequestPhase;
  Phase phase = Phase::kPlacing;
  int32_t queue_position = 0;
  int32_t prefilled_tokens = 0, prompt_tokens = 0;
  uint64_t loaded_bytes = 0, total_bytes = 0;  // kLoading, over all stages
};

struct RequestUsage {
  int32_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  double queue_s = 0, prefill_s = 0, decode_s = 0;  // as the front saw them
  int32_t resumed = 0;                              // how often a ring died under it
};

// Told on the network thread; on_finish is the last call and comes exactly once for every request.
class RequestObserver {
 public:
  virtual ~RequestObserver() = default;
  virtual void on_status(const RequestStatus& status) { (void)status; }
  virtual void on_token(const SampledToken& token) = 0;
  // kError comes with `error`.
  virtual void on_finish(wire::FinishReason reason, const std::optional<Error>& error,
                         const RequestUsage& usage) = 0;
};

// Of the requests that ended.
struct FrontStatistics {
  std::array<uint64_t, 5> finished{};  // by wire::FinishReason
  uint64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0, resumed = 0;
  uint64_t moved = 0;  // times that a request changed to the successor of a ring that still served
  Histogram queue, first_token, per_token;  // of those that got so far
};

struct FrontOptions {
  net::Duration resume_deadline = std::chrono::seconds(60);  // how long a request waits for a ring without progress
  net::Duration problem_grace =
      std::chrono::seconds(5);                       // an unplaceable model may be so only while nodes come back
  net::Duration silence = std::chrono::seconds(10);  // without news of a request its scheduler is asked again
  size_t block_positions = 32;                       // tokens of a block of the rings' prefix caches
  uint64_t id_seed = 0;                              // of request ids, for simulations; 0: from the system
  ring::TraceLog* trace = nullptr;                   // outlives the front; null: nothing is noted
};

// How nothing gets lost between front and ring. A request is either waiting for a ring or submitted to the first
// stage of one epoch, and then tied to that epoch and to the link to that node: when either goes, the front submits
// again what it has (prompt + tokens so far, the rest of max_new_tokens) to the newest ready epoch; the scheduler
// drops requests of a front whose link went down, so both ends agree. Updates count only from the node and epoch
// submitted to, and only tokens that continue the sequence: each is delivered once. A gap, or silence while
// everything looks well, makes the front submit again, which a scheduler that still has the request answers with
// its status. An update for a request that the front no longer has is answered with CancelRequest.
//
// A ring whose successor is ready is left without a pause: the successor first computes the request's tokens so far
// as a request of its own, whose answer nobody wants, while the old ring goes on; again when a block of the cache
// has become full meanwhile. Then the request is cancelled there and submitted here, where the prefix cache has
// nearly all of it. Models without a prefix cache stay on the old ring for kMostStay, in case they end by
// themselves.

class Front : public net::TransportListener, public cluster::ClusterObserver {
 public:
  Front(net::Clock& clock, net::Transport& transport, cluster::Cluster& cluster, FrontOptions options = {});
  ~Front() override;

  // Never fails at once: what is wrong comes through the observer, later. The observer lives until on_finish.
  RequestId start(GenerateRequest request, std::shared_ptr<RequestObserver> observer);
  // on_finish(kCancelled) follows at once; stages free its blocks within one step. Unknown ids are ignored.
  void cancel(const RequestId& request);
  // Requests started from now on end with kUnavailable and this reason; those that run go on.
  void close(const std::string& why);
  // close(), and those that run end with the same error.
  void end(const std::string& why);
  size_t active_requests() const;
  std::vector<wire::RunningRequest> running() const;  // those, as they came
  const FrontStatistics& statistics() const;

  void on_link_up(const net::LinkInfo& link) override;
  void on_link_down(const NodeId& peer, const Error& why) override;
  void on_message(const NodeId& from, wire::Message message) override;
  bool takes(const wire::Message& message) const override;
  void on_instance_changed(const cluster::InstanceView& view) override;
  void on_members_changed() override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace exo::serve
