#include "net/path_chooser.h"

#include <algorithm>
#include <iterator>
#include <limits>

namespace exo::net {
namespace {

using namespace std::chrono_literals;

constexpr Duration kFirstRound = 2s;    // after the link has come up
constexpr Duration kConfirmAfter = 1s;  // a better path was found: measured once more
constexpr Duration kRest = 30s;         // between rounds for a degraded link
constexpr Duration kLifetime = 10min;
constexpr Duration kFirstRetry = 15s;   // while a path does not answer; doubles
constexpr Duration kPatience = 30s;     // with a network that is never quiet
constexpr double kClearlyBetter = 0.7;  // of the present path's cost
constexpr double kNoticeableUs = 50;    // less is not worth a move
constexpr double kTypicalBytes = 64 << 10;
constexpr double kAssumedBandwidth = 100e6;

}  // namespace

PathChooser::PathChooser(TimePoint now) : up_since_(now), retry_(kFirstRetry) {}

double PathChooser::cost_us(const LinkPath& path) {
  if (path.round_trip_us <= 0) return std::numeric_limits<double>::infinity();
  const double bandwidth = path.bandwidth_bytes_per_s > 0 ? path.bandwidth_bytes_per_s : kAssumedBandwidth;
  return path.round_trip_us / 2 + kTypicalBytes / bandwidth * 1e6;
}

LinkPath* PathChooser::find(const std::string& remote) {
  const auto found =
      std::find_if(paths_.begin(), paths_.end(), [&](auto& p) { return p.remote_address == remote; });
  return found == paths_.end() ? nullptr : &*found;
}

void PathChooser::set_addresses(const std::vector<std::string>& remote, const std::string& present, TimePoint now) {
  std::vector<LinkPath> paths;
  const auto add = [&](const std::string& address) {
    if (paths.size() >= kMostPaths) return;
    if (std::any_of(paths.begin(), paths.end(), [&](auto& p) { return p.remote_address == address; })) return;
    const LinkPath* known = find(address);
    news_ = news_ || (known == nullptr && address != present);
    paths.push_back(known != nullptr ? *known : LinkPath{.remote_address = address});
  };
  add(present);
  for (const auto& address : remote) add(address);
  if (present != present_ && !present_.empty()) moved(present, now);
  present_ = present;
  if (paths.size() != paths_.size()) at_.reset(), waiting_ = false;
  paths_ = std::move(paths);
  for (auto& path : paths_) path.in_use = path.remote_address == present_;
}

double PathChooser::least_recent_us() const {
  return n_recent_ < std::size(recent_us_) ? 0 : *std::min_element(std::begin(recent_us_), std::end(recent_us_));
}

void PathChooser::on_round_trip(double us) {
  recent_us_[n_recent_++ % std::size(recent_us_)] = std::max(us, 1.0);
  if (round_trip_then_us_ == 0) round_trip_then_us_ = least_recent_us();
}

void PathChooser::moved(const std::string& remote, TimePoint now, bool failed) {
  LinkPath* before = find(present_);
  if (failed && before != nullptr && present_ != remote) {
    before->round_trip_us = before->bandwidth_bytes_per_s = 0;
    before->problem = "nothing got through";
    retry_ = kFirstRetry;
  }
  present_ = remote;
  for (auto& path : paths_) path.in_use = path.remote_address == remote;
  wins_ = 0;
  winner_.clear();
  confirm_ = false;
  n_recent_ = 0;
  round_trip_then_us_ = 0;
  round_ended_ = now;
  at_.reset();
  waiting_ = false;
}

bool PathChooser::round_due(TimePoint now) const {
  if (paths_.size() < 2) return false;
  if (!measured_once_) return now - up_since_ >= kFirstRound;
  const Duration age = now - round_ended_;
  if (confirm_) return age >= kConfirmAfter;
  if (news_) return age >= kFirstRound;
  const bool unanswered = std::any_of(paths_.begin(), paths_.end(), [](auto& p) { return !p.problem.empty(); });
  if (unanswered && age >= retry_) return true;
  const bool degraded = round_trip_then_us_ > 0 && least_recent_us() > 2 * round_trip_then_us_ + 1000;
  return age >= kLifetime || (degraded && age >= kRest);
}

std::optional<std::string> PathChooser::next_probe(TimePoint now, bool quiet) {
  if (waiting_) return std::nullopt;
  if (!at_ && !round_due(now)) {
    due_since_ = {};
    return std::nullopt;
  }
  if (due_since_ == TimePoint{}) due_since_ = now;
  if (!quiet && now - due_since_ < kPatience) return std::nullopt;
  if (!at_) at_ = 0;
  waiting_ = true;
  return paths_[*at_].remote_address;
}

void PathChooser::on_measured(const std::string& remote, const Measurement& measured, TimePoint now) {
  if (LinkPath* path = find(remote)) {
    path->round_trip_us = measured.round_trip_us;
    path->bandwidth_bytes_per_s = measured.bandwidth_bytes_per_s;
    path->local_address = measured.local_address;
    path->interface = measured.interface;
    path->problem.clear();
  }
  if (!waiting_) return;
  waiting_ = false;
  if (++*at_ >= paths_.size()) end_round(now);
}

void PathChooser::on_failed(const std::string& remote, const std::string& problem, TimePoint now) {
  if (LinkPath* path = find(remote)) {
    path->round_trip_us = path->bandwidth_bytes_per_s = 0;
    path->problem = problem;
  }
  if (!waiting_) return;
  waiting_ = false;
  if (++*at_ >= paths_.size()) end_round(now);
}

const LinkPath* PathChooser::best() const {
  const auto least =
      std::min_element(paths_.begin(), paths_.end(), [](auto& a, auto& b) { return cost_us(a) < cost_us(b); });
  return least == paths_.end() || least->round_trip_us <= 0 ? nullptr : &*least;
}

void PathChooser::end_round(TimePoint now) {
  at_.reset();
  due_since_ = {};
  round_ended_ = now;
  measured_once_ = true;
  news_ = confirm_ = false;
  retry_ = std::min<Duration>(2 * retry_, kLifetime);
  round_trip_then_us_ = least_recent_us();
  const LinkPath* winner = best();
  const LinkPath* present = find(present_);
  // A present path that cannot be dialled is no reason to leave it: the link lives.
  const bool better = winner != nullptr && present != nullptr && present->round_trip_us > 0 && winner != present &&
                      cost_us(*winner) < kClearlyBetter * cost_us(*present) &&
                      cost_us(*winner) + kNoticeableUs < cost_us(*present);
  if (!better) {
    wins_ = 0;
    winner_.clear();
    return;
  }
  wins_ = winner->remote_address == winner_ ? wins_ + 1 : 1;
  winner_ = winner->remote_address;
  confirm_ = wins_ == 1;
}

std::optional<std::string> PathChooser::better_path() const {
  if (wins_ < 2 || winner_ == present_) return std::nullopt;
  const bool answers = std::any_of(paths_.begin(), paths_.end(), [this](auto& path) {
    return path.remote_address == winner_ && path.round_trip_us > 0;
  });
  return answers ? std::optional(winner_) : std::nullopt;
}

}  // namespace exo::net
