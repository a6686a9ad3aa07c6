#pragma once
// Leaving without hurting anybody: the node gives its stages away, finishes what its own clients asked, then ends.

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cluster/cluster.h"
#include "net/transport.h"
#include "serve/front.h"
#include "serve/node_service.h"

namespace exo::app {

struct DepartureFacts {
  size_t active_requests = 0;             // of this node's clients
  std::vector<cluster::StageHold> holds;  // stages that others count on
  bool computes = false;                  // they did lately
  net::Duration waited{};
};

struct DepartureDecision {
  bool leave = false;
  std::string why;  // for people: what is waited for, or what is lost by leaving now; empty: nothing
};

inline constexpr net::Duration kDepartureDeadline = std::chrono::seconds(30);

// A stage that others can take over is waited for, and so are requests; a stage that nobody can take over only
// until nothing is computed. Nothing is waited for longer than kDepartureDeadline.
DepartureDecision decide_departure(const DepartureFacts& facts);

// Network thread only. Begins when the node is asked to: by a signal, over HTTP, or by another device.
class Departure final : public net::TransportListener {
 public:
  Departure(net::Clock& clock, cluster::Cluster& cluster, serve::RingService& ring, serve::Front& front)
      : clock_(clock), cluster_(cluster), ring_(ring), front_(front) {}

  void begin(const std::string& reason);  // again: no change
  bool begun() const { return began_.has_value(); }
  const std::string& reason() const { return reason_; }
  DepartureDecision decide() const;

  void on_link_up(const net::LinkInfo&) override {}
  void on_link_down(const NodeId&, const Error&) override {}
  void on_message(const NodeId& from, wire::Message message) override;
  bool takes(const wire::Message& message) const override {
    return std::holds_alternative<wire::LeaveRequest>(message);
  }

 private:
  net::Clock& clock_;
  cluster::Cluster& cluster_;
  serve::RingService& ring_;
  serve::Front& front_;
  std::optional<net::TimePoint> began_;
  std::string reason_;
};

}  // namespace exo::app
