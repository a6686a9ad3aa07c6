#include "app/departure.h"

#include <algorithm>

#include "base/log.h"

namespace exo::app {
namespace {

constexpr auto kIdle = std::chrono::seconds(1);  // without a step

}  // namespace

DepartureDecision decide_departure(const DepartureFacts& facts) {
  std::vector<std::string> reasons;
  bool wait = false;
  if (facts.active_requests > 0) {
    wait = true;
    reasons.push_back(fmt::format("{} request{} of this device still run{}", facts.active_requests,
                                  facts.active_requests == 1 ? "" : "s", facts.active_requests == 1 ? "s" : ""));
  }
  for (const auto& hold : facts.holds) {
    if (hold.problem.empty()) {
      wait = true;
      reasons.push_back(fmt::format("{} moves to the other devices", hold.model_name));
    } else {
      wait = wait || facts.computes;
      reasons.push_back(fmt::format("{} cannot run without this device: {}", hold.model_name, hold.problem));
    }
  }
  return {!wait || facts.waited >= kDepartureDeadline, fmt::format("{}", fmt::join(reasons, "; "))};
}

void Departure::begin(const std::string& reason) {
  if (began_) return;
  began_ = clock_.now();
  reason_ = reason;
  log_info("node", "leaving: {}", reason);
  front_.close(fmt::format("this device is leaving the cluster: {}", reason));
  cluster_.withdraw(reason);
}

DepartureDecision Departure::decide() const {
  if (!began_) return {};
  DepartureFacts facts;
  facts.active_requests = front_.active_requests();
  facts.holds = cluster_.holds();
  facts.computes = clock_.now() - ring_.last_step() < kIdle;
  facts.waited = clock_.now() - *began_;
  return decide_departure(facts);
}

void Departure::on_message(const NodeId& from, wire::Message message) {
  if (const auto* request = std::get_if<wire::LeaveRequest>(&message))
    begin(request->reason.empty() ? fmt::format("{} asked for it", from.short_hex()) : request->reason);
}

}  // namespace exo::app
