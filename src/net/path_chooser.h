#pragma once
// Which pair of addresses the link with one peer should run over: says what to measure when, and when to move. A
// state machine without I/O, for real links and simulated ones. A peer with one address is never measured here.
//
// A round measures every known path, one after the other, soon after the link has come up; again when paths appear,
// when the link's round trip has doubled, every ten minutes, and sooner while a path did not answer. The link moves
// when a path was clearly better than the present one in two rounds running.

#include <optional>
#include <string>
#include <vector>

#include "net/clock.h"
#include "net/link_path.h"

namespace exo::net {

class PathChooser {
 public:
  struct Measurement {
    double round_trip_us = 0, bandwidth_bytes_per_s = 0;
    std::string local_address, interface;
  };

  explicit PathChooser(TimePoint now);

  // Remote addresses under which the peer is known, best guess first; beyond kMostPaths they are left out. The
  // present one is among them.
  void set_addresses(const std::vector<std::string>& remote, const std::string& present, TimePoint now);
  // A round trip of the link itself, by its heartbeats.
  void on_round_trip(double us);
  // The link runs over another path now; `failed`: because nothing got through the one before.
  void moved(const std::string& remote, TimePoint now, bool failed = false);

  // The remote address to measure now; nullopt: nothing is due, or the last answer is still waited for. What is due
  // waits for the network to be quiet, but not for long.
  std::optional<std::string> next_probe(TimePoint now, bool quiet);
  // Of the address that next_probe gave.
  void on_measured(const std::string& remote, const Measurement& measured, TimePoint now);
  void on_failed(const std::string& remote, const std::string& problem, TimePoint now);
  // Where the link should move now. Asked again until it has moved or another round says otherwise.
  std::optional<std::string> better_path() const;

  const std::vector<LinkPath>& paths() const { return paths_; }

  static constexpr size_t kMostPaths = 8;
  // What a message of middling size takes, in µs: half a round trip and its bytes.
  static double cost_us(const LinkPath& path);

 private:
  bool round_due(TimePoint now) const;
  void end_round(TimePoint now);
  LinkPath* find(const std::string& remote);
  const LinkPath* best() const;
  double least_recent_us() const;

  std::vector<LinkPath> paths_;
  std::string present_;
  TimePoint up_since_, round_ended_{}, due_since_{};
  bool measured_once_ = false, news_ = false, confirm_ = false;
  std::optional<size_t> at_;  // of the round under way: which path is next
  bool waiting_ = false;      // for the answer of a probe
  std::string winner_;        // better in the last round
  int wins_ = 0;
  double recent_us_[8] = {};
  size_t n_recent_ = 0;
  double round_trip_then_us_ = 0;
  Duration retry_;  // after a round in which a path did not answer
};

}  // namespace exo::net
