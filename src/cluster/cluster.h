#pragma once
// Who is here, what they can do, and which device holds which layers of which model. A state machine on the network
// thread behind Clock and Transport: no I/O, no threads.
//
// Every node keeps a replica of all NodeFacts and InstanceRecords. The keeper of an instance – the first living
// participant by node id; of an unplaced one the first living node – makes a new epoch when membership asks for it.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster/placement.h"
#include "net/clock.h"
#include "net/transport.h"
#include "wire/messages.h"

namespace exo::cluster {

struct ClusterOptions {
  net::Duration heartbeat_interval = std::chrono::milliseconds(250);
  net::Duration suspect_after = std::chrono::milliseconds(1250);  // silence after which a peer counts as dead
  net::Duration ready_deadline = std::chrono::minutes(30);  // loading without any progress for 60 s fails earlier
  uint32_t link_burst_bytes = 0;  // largest burst that measures a link's bandwidth; 0: it is not measured
  PlacementRequest placement;     // defaults for instances that this node creates
  // Move a running instance when a device that it does not use would make it faster (cluster/rebalance.h).
  bool rebalance = false;
  double rebalance_gain = 0.15;                                 // at least so much faster, by the prediction
  net::Duration rebalance_interval = std::chrono::seconds(10);  // since the last move; doubles with every one
};

// An instance as one node sees it now.
struct InstanceView {
  wire::InstanceRecord record;
  bool ready = false;                       // every stage of record.epoch is loaded and its devices alive
  std::optional<int32_t> own_stage;         // index in record.stages: this node is the stage's, or one of its group
  std::vector<wire::StageStatus> statuses;  // per stage; default-constructed when a device said nothing yet
  // Of record.previous, which serves on while the present epoch loads and until its requests have moved:
  bool previous_ready = false;                // every stage is loaded and its devices alive
  std::optional<int32_t> own_previous_stage;  // loaded here: index in record.previous->stages

  bool serves() const { return ready || previous_ready; }
};

// The record as if record.previous, which must be there, were still the present ring.
wire::InstanceRecord previous_record(const wire::InstanceRecord& record);
// The ring that serves: the view itself, or while only the previous ring serves that one as if it were present.
InstanceView serving_view(const InstanceView& view);

// A loaded stage that others count on.
struct StageHold {
  std::string fingerprint, model_name;
  // Why no ring without this node can take over; empty: one can, or does already.
  std::string problem;
};

// What the cluster asks of this device. Implemented by the node (app/), faked in simulations.
class StageHost {
 public:
  virtual ~StageHost() = default;
  // Load the own stage of the record. Answer through Cluster::report_stage. Stages of two epochs of a model may be
  // loaded at the same time: the one that serves and the one that will.
  virtual void load_stage(const wire::InstanceRecord& record, int32_t stage_index) = 0;
  virtual void unload_stage(const std::string& fingerprint, const Epoch& epoch) = 0;  // also one that still loads
};

class ClusterObserver {
 public:
  virtual ~ClusterObserver() = default;
  virtual void on_instance_changed(const InstanceView& view) { (void)view; }
  virtual void on_members_changed() {}
};

class Cluster : public net::TransportListener {
 public:
  Cluster(net::Clock& clock, net::Transport& transport, StageHost& host, ClusterOptions options,
          wire::NodeFacts self);
  ~Cluster() override;

  void start();
  void leave(const std::string& reason);  // says goodbye on every link; the node then stops
  // Takes no stages from now on, and rings without this node take over those that it has, while it serves on. With
  // an empty reason it takes part again. The node may leave when holds() is empty.
  void withdraw(const std::string& reason);
  std::vector<StageHold> holds() const;
  void add_observer(ClusterObserver* observer);  // in order; outlives the cluster

  // ---- own facts; each change is gossiped
  void update_self(const std::function<void(wire::NodeFacts&)>& change);
  void report_stage(const wire::StageStatus& status);
  // The first stage's node says so when no request runs on record.previous any more: its stages are unloaded.
  void retire_previous(const std::string& fingerprint);

  // ---- members: self first, then living nodes by id
  const wire::NodeFacts& self() const;
  std::vector<wire::NodeFacts> members() const;
  const wire::NodeFacts* find_member(const NodeId& id) const;  // living ones only
  // Every model that some living node offers completely (or that the union of nodes holds), by name.
  std::vector<wire::ModelFacts> models() const;

  // ---- instances
  // Makes sure that an instance of the model exists, placing it when needed; idempotent. kNotFound: nobody offers
  // the model; kResourceExhausted: it fits nowhere, says what is missing.
  Status ensure_instance(const std::string& fingerprint, const std::optional<PlacementRequest>& how = {});
  Status stop_instance(const std::string& fingerprint);
  // Devices came or changed: plan again, also when the present ring still works.
  Status replan_instance(const std::string& fingerprint, const PlacementRequest& how);
  std::vector<InstanceView> instances() const;
  std::optional<InstanceView> find_instance(const std::string& fingerprint) const;
  // The node that decides about the instance, as this node sees it; all zero when nobody does.
  NodeId keeper(const std::string& fingerprint) const;
  // Whose weights count for the model: as its instance says, or as one made now would say. With the root as soon as
  // any fact tells it.
  ContentPin content(const std::string& fingerprint) const;
  // What place() would say now.
  Result<Plan> preview(const std::string& fingerprint, const PlacementRequest& how) const;

  // ---- net::TransportListener
  void on_link_up(const net::LinkInfo& link) override;
  void on_link_down(const NodeId& peer, const Error& why) override;
  void on_link_moved(const net::LinkInfo& link) override;
  void on_message(const NodeId& from, wire::Message message) override;
  bool takes(const wire::Message& message) const override;
  void on_heard(const NodeId& from) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace exo::cluster
