#pragma once
// Who is here. Every node publishes versioned facts about itself, its live links among them. A node counts as
// living when it can be reached over links that living nodes report, so that nodes without a direct link know of
// each other too, and a death is known everywhere as soon as the dead one's neighbours notice it.
//
// Links are watched by wire::Ping and Pong, which also measure their round trip. Network thread only.

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "cluster/cluster.h"
#include "cluster/link_meter.h"

namespace exo::cluster {

class Membership {
 public:
  struct Hooks {
    // A version of a node's facts that was not known before; `from`: the neighbour that sent it, self for own
    // facts.
    std::function<void(const wire::NodeFacts& facts, const NodeId& from)> spread;
    // Members, or what is known of them.
    std::function<void()> changed;
  };

  Membership(net::Clock& clock, net::Transport& transport, const ClusterOptions& options, wire::NodeFacts self,
             Hooks hooks);
  ~Membership();
  Membership(const Membership&) = delete;
  Membership& operator=(const Membership&) = delete;

  void start();
  void leave(const std::string& reason);
  void update_self(const std::function<void(wire::NodeFacts&)>& change);

  void on_link_up(const net::LinkInfo& link);
  void on_link_down(const NodeId& peer);
  void on_link_moved(const net::LinkInfo& link);
  void on_heard(const NodeId& peer);  // any message at all
  void on_ping(const NodeId& from, const wire::Ping& ping);
  void on_pong(const NodeId& from, const wire::Pong& pong);
  void on_goodbye(const NodeId& from);
  void merge(wire::NodeFacts facts, const NodeId& from);

  const wire::NodeFacts& self() const { return self_; }
  bool left() const { return self_.leaving; }
  bool is_alive(const NodeId& id) const { return alive_.contains(id); }
  const wire::NodeFacts* find(const NodeId& id) const;        // living ones
  const wire::NodeFacts* find_known(const NodeId& id) const;  // the lately dead as well
  std::vector<const wire::NodeFacts*> living() const;         // by id, self included
  std::vector<NodeId> neighbours() const;                     // with a link to this node, by id
  bool is_linked(const NodeId& a, const NodeId& b) const;     // both report the link; true for a == b
  // Until then this node, having slept, may know less than the others and should not decide anything.
  net::TimePoint distrust_self_until() const { return distrust_self_until_; }

 private:
  struct Known {
    wire::NodeFacts facts;
    bool firsthand = false;                                     // the node itself said so
    std::optional<std::pair<wire::NodeFacts, NodeId>> hearsay;  // newer, and who says so, while there is a link
    bool departed = false;                                      // said goodbye in this incarnation
    net::TimePoint last_alive{};
  };
  struct Neighbour {
    net::LinkInfo link;
    net::TimePoint last_heard{}, ping_sent{};
    uint64_t nonce = 0;
    uint32_t burst_bytes = 0;  // with the ping of the nonce
    LinkMeter meter;
    double told_bandwidth = 0;
  };

  void tick();
  void watch_links(net::TimePoint now);
  void forget_ghosts(net::TimePoint now);
  void refresh_links();
  void mark_dirty();
  void publish();
  void recompute_alive();
  void merge_own_echo(const wire::NodeFacts& facts);

  net::Clock& clock_;
  net::Transport& transport_;
  const ClusterOptions options_;
  wire::NodeFacts self_;
  const Hooks hooks_;
  std::map<NodeId, Known> known_;  // others
  std::map<NodeId, Neighbour> neighbours_;
  std::set<NodeId> alive_;  // self included
  net::TimerId tick_timer_ = 0, publish_timer_ = 0;
  net::Duration stopped_{0};  // as far as it was noticed
  net::TimePoint last_publish_{}, last_round_trips_{}, distrust_self_until_{};
  uint64_t next_nonce_ = 1;
  bool started_ = false, dirty_ = false;
};

}  // namespace exo::cluster
