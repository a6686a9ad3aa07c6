#pragma once
// What a request did, from all nodes: asks each neighbour's trace log (ring/trace_log.h) and answers those that
// ask. Clocks: each node's is known to half of the shortest round trip of a few small queries sent beside the real
// one. Network thread only.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cluster/cluster.h"
#include "net/clock.h"
#include "net/transport.h"
#include "ring/trace_log.h"
#include "serve/front.h"

namespace exo::serve {

// What one node said.
struct NodeTrace {
  NodeId node;
  std::string name;
  bool reached = false;        // false: no link from here, or no answer in time
  int64_t offset_ns = 0;       // to be added to the node's times, to have this node's
  int64_t uncertainty_ns = 0;  // of the offset, either way
  std::vector<wire::TraceEvent> events;
  std::vector<wire::StepTrace> steps;
  std::vector<wire::RunningRequest> running;
};

class TraceService final : public net::TransportListener {
 public:
  using Done = std::function<void(std::vector<NodeTrace>)>;

  TraceService(net::Clock& clock, net::Transport& transport, cluster::Cluster& cluster, Front& front,
               ring::TraceLog& log);
  ~TraceService() override;

  // Asks all living nodes for what they know of the request. `done` is called once, later, at most kDeadline from
  // now; this node comes first. kResourceExhausted: too many are being gathered already.
  Status gather(const RequestId& request, Done done);
  // The same for the requests that the nodes' fronts have.
  Status gather_running(Done done);
  const RequestId& last_received() const { return log_.last_received(); }

  void on_link_up(const net::LinkInfo& link) override;
  void on_link_down(const NodeId& peer, const Error& why) override;
  void on_message(const NodeId& from, wire::Message message) override;
  bool takes(const wire::Message& message) const override;

  static constexpr net::Duration kDeadline = std::chrono::seconds(2);
  static constexpr size_t kMostGatherings = 64;

 private:
  struct Gathering {
    std::vector<NodeTrace> nodes;
    size_t missing = 0;  // answers
    net::TimerId timer = 0;
    Done done;
  };
  struct Asked {  // one query under way
    uint64_t gathering = 0;
    NodeId node;
    net::SteadyPoint sent_at{};
    bool probe = false;  // of the clock only
  };

  Status start(const wire::TraceQuery& what, Done done);
  wire::TraceReply answer(const wire::TraceQuery& query) const;
  bool ask(uint64_t gathering, const NodeId& node, wire::TraceQuery query, bool probe);
  void take(const Asked& asked, wire::TraceReply& reply);
  void end(uint64_t gathering);

  net::Clock& clock_;
  net::Transport& transport_;
  cluster::Cluster& cluster_;
  Front& front_;
  ring::TraceLog& log_;
  std::map<uint64_t, Gathering> gatherings_;
  std::map<uint64_t, Asked> asked_;  // by nonce
  uint64_t next_ = 1;
};

}  // namespace exo::serve
