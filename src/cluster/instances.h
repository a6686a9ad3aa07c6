#pragma once
// Which device holds which layers: the replica of all instance records, the keeper's decisions, and the own stages.
//
// The highest epoch wins everywhere. The keeper – the first living participant by node id, of an unplaced instance
// the first living node – makes a new epoch when a participant is gone, has restarted, lost its place in the ring
// or could not load. A participant that has restarted has lost its stage; whoever knows that does not count it as
// keeper.
//
// Make before break: a new epoch that is made while a ring serves names that ring as its `previous`. Its stages
// stay loaded, if there is room for both, until those of the new epoch are ready and requests have moved. Nothing
// is decided at the switch: an epoch is ready when all its stages say so, and the previous one is over when its
// first stage no longer says so. Network thread only; changes take effect in settle(), which the owner calls in a
// turn of its own.

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cluster/cluster.h"
#include "cluster/membership.h"

namespace exo::cluster {

class Instances {
 public:
  struct Hooks {
    std::function<void(const wire::InstanceRecord& record, const NodeId& from)> spread;  // not known before
    std::function<void()> changed;                                                       // settle() is due
    std::function<void(const InstanceView& view)> notify;
  };

  Instances(net::Clock& clock, Membership& membership, StageHost& host, const ClusterOptions& options, Hooks hooks);
  ~Instances();
  Instances(const Instances&) = delete;
  Instances& operator=(const Instances&) = delete;

  void merge(wire::InstanceRecord record, const NodeId& from);
  void report_stage(const wire::StageStatus& status);
  void retire_previous(const std::string& fingerprint);
  std::vector<StageHold> holds() const;
  // Looks at every instance: own stages are loaded or unloaded, the keeper's duties done, observers told.
  void settle();

  Status ensure(const std::string& fingerprint, const std::optional<PlacementRequest>& how);
  Status stop(const std::string& fingerprint);
  Status replan(const std::string& fingerprint, const PlacementRequest& how);
  Result<Plan> preview(const std::string& fingerprint, const PlacementRequest& how) const;
  std::vector<wire::ModelFacts> models() const;

  std::vector<const wire::InstanceRecord*> records() const;
  const wire::InstanceRecord* find_record(const std::string& fingerprint) const;
  std::optional<InstanceView> find(const std::string& fingerprint) const;
  // Whose weights the model's instance means, or a new one would.
  ContentPin content(const std::string& fingerprint) const;
  // The node that decides about the instance, as this node sees it; zero when nobody does.
  NodeId keeper(const std::string& fingerprint) const;

 private:
  struct Entry {
    wire::InstanceRecord record;
    std::optional<wire::ModelFacts> model;                           // the last that anybody offered
    std::string origin_root;                                         // the first that record.content.origin told
    bool content_served = false;                                     // a ring with these weights was ready
    std::optional<InstanceView> told;                                // what observers know
    net::TimePoint since{};                                          // of this epoch, here
    std::map<NodeId, std::pair<uint64_t, net::TimePoint>> progress;  // loaded bytes and when they last grew
    std::optional<net::TimePoint> broken_since;
    bool conflict = false;  // two records of this epoch were seen
    std::string tried;      // the cluster as the last vain attempt saw it
    net::TimePoint tried_at{};
    std::string looked_at;  // the cluster as the last look for a better ring saw it
    net::TimePoint look_again_at{};
  };
  struct Ban {
    net::TimePoint until{};
    int32_t times = 0;
    Epoch epoch;  // of the last failure
    std::string error;
  };

  bool is_valid(const wire::StageMember& member) const;  // its node lives, and has not restarted since
  const wire::StageStatus* status_of(const std::string& fingerprint, const Epoch& epoch, const NodeId& node) const;
  // Of all members of a stage together.
  wire::StageStatus stage_status(const wire::InstanceRecord& record, const wire::PlannedStage& stage) const;
  bool is_ready(const std::string& fingerprint, const Epoch& epoch,
                const std::vector<wire::PlannedStage>& stages) const;
  bool previous_is_over(const wire::InstanceRecord& record) const;
  // The devices of all stages, in ring order; a group's leader before its other members.
  static std::vector<wire::StageMember> participants(const std::vector<wire::PlannedStage>& stages);
  InstanceView view_of(const Entry& entry) const;
  NodeId keeper_of(const Entry& entry) const;

  void note_failures(Entry& entry);
  void follow(Entry& entry);  // own stages
  void drop_stage(const std::string& fingerprint, const Epoch& epoch);
  void keep(Entry& entry);  // the keeper's duties
  struct Fault {
    std::string why;
    net::Duration patience{};  // how long it must last before the keeper acts
  };
  std::optional<Fault> find_fault(Entry& entry);
  std::optional<Fault> find_missing_link(const wire::InstanceRecord& record) const;
  void ban(const Entry& entry, const NodeId& node, const std::string& error);
  void replace(Entry& entry, const std::string& why);
  void retry(Entry& entry);
  void improve(Entry& entry);
  void relieve(Entry& entry, const wire::NodeFacts& leaving);
  void rebalance(Entry& entry);
  void tell(Entry& entry);

  Result<wire::ModelFacts> model_facts(const std::string& fingerprint, const Entry* entry) const;
  Status check_weights_available(const wire::ModelFacts& model) const;
  struct Candidates {
    std::vector<PlacementDevice> devices;
    std::vector<PlacementLink> links;
  };
  enum class Leavers { kOut, kIn };  // devices that withdraw
  Candidates candidates(const std::set<NodeId>& out, Leavers leavers = Leavers::kOut) const;
  Result<Plan> plan(const wire::ModelFacts& model, const PlacementRequest& request,
                    Leavers leavers = Leavers::kOut) const;
  // For a ring that is gone: with devices that withdraw where it does not go without them, as long as they are
  // there.
  Result<Plan> plan_anew(const Entry& entry, const wire::ModelFacts& model) const;
  PlacementRequest request_of(const wire::InstanceRecord& record, Leavers leavers = Leavers::kOut) const;
  std::string cluster_signature(const std::string& fingerprint) const;
  std::set<NodeId> banned(const std::string& fingerprint) const;
  void propose(const wire::ModelFacts& model, const Plan& plan, int32_t max_sequences);
  std::optional<wire::PlannedRing> serving_ring(const std::string& fingerprint) const;
  // Why a device cannot hold its stages of both rings; nullopt: all can.
  std::optional<std::string> too_tight(const wire::ModelFacts& model, const Plan& next,
                                       const wire::PlannedRing& now) const;
  void propose_problem(const Entry& entry, const std::string& problem);
  ContentPin pin_of(const Entry& entry) const;
  ContentPin pin_anew(const std::string& fingerprint) const;
  ContentPin next_pin(const std::string& fingerprint) const;
  static bool means_same(const ContentPin& known, const ContentPin& next);
  void learn_root(Entry& entry) const;
  Epoch next_epoch(const std::string& fingerprint, uint64_t lead = 1) const;
  void adopt(wire::InstanceRecord record, const NodeId& from);
  void wake_at(net::TimePoint when);

  net::Clock& clock_;
  Membership& membership_;
  StageHost& host_;
  const ClusterOptions options_;
  const Hooks hooks_;
  std::map<std::string, Entry> entries_;            // by fingerprint
  std::set<std::pair<std::string, Epoch>> loaded_;  // own stages that the host was asked to load
  struct Moves {
    net::TimePoint last{};
    int32_t times = 0;
  };
  std::map<std::string, Moves> moves_;  // for a better ring, by fingerprint
  std::map<std::pair<std::string, NodeId>, Ban> bans_;
  net::TimerId wake_timer_ = 0;
  net::TimePoint wake_time_{};
};

}  // namespace exo::cluster
