#include "cluster/instances.h"

#include <algorithm>

#include "base/log.h"
#include "wire/codec.h"
#include "wire/limits.h"

namespace exo::cluster {
namespace {

// Ahead of every epoch that the other side of a split network makes meanwhile: what people stop stays stopped.
constexpr uint64_t kStopLead = 1 << 16;
constexpr size_t kMostInstances = wire::kMaxInstances;

bool same_view(const InstanceView& a, const InstanceView& b) {
  return a.record == b.record && a.ready == b.ready && a.own_stage == b.own_stage && a.statuses == b.statuses &&
         a.previous_ready == b.previous_ready && a.own_previous_stage == b.own_previous_stage;
}

// A total order on records of one epoch, the same on every node.
bool outranks(const wire::InstanceRecord& a, const wire::InstanceRecord& b) {
  const auto left = wire::encode(wire::Gossip{{}, {a}}), right = wire::encode(wire::Gossip{{}, {b}});
  return left && right && *left > *right;
}

}  // namespace

Instances::Instances(net::Clock& clock, Membership& membership, StageHost& host, const ClusterOptions& options,
                     Hooks hooks)
    : clock_(clock), membership_(membership), host_(host), options_(options), hooks_(std::move(hooks)) {}

Instances::~Instances() { clock_.cancel(wake_timer_); }

// ---- records

Epoch Instances::next_epoch(const std::string& fingerprint, uint64_t lead) const {
  const auto found = entries_.find(fingerprint);
  const uint64_t known = found == entries_.end() ? 0 : found->second.record.epoch.counter;
  return {known > UINT64_MAX - lead ? UINT64_MAX : known + lead, membership_.self().id};
}

void Instances::merge(wire::InstanceRecord record, const NodeId& from) {
  const auto found = entries_.find(record.fingerprint);
  if (found == entries_.end()) {
    if (entries_.size() < kMostInstances && !record.fingerprint.empty()) adopt(std::move(record), from);
    return;
  }
  Entry& entry = found->second;
  if (record.epoch > entry.record.epoch) return adopt(std::move(record), from);
  if (record.epoch < entry.record.epoch || record == entry.record) return;
  // A proposer that restarted may have used an epoch twice. All take the same one; the keeper makes a fresh epoch.
  if (outranks(record, entry.record)) adopt(std::move(record), from);
  entry.conflict = true;
  hooks_.changed();
}

void Instances::adopt(wire::InstanceRecord record, const NodeId& from) {
  Entry& entry = entries_[record.fingerprint];
  std::optional<wire::ModelFacts> model = std::move(entry.model);
  std::optional<InstanceView> told = std::move(entry.told);
  const ContentPin known = pin_of(entry);
  const bool same_content = means_same(known, record.content);
  std::string origin_root = same_content ? known.root : "";
  const bool content_served = same_content && entry.content_served;
  entry = Entry{};
  entry.record = std::move(record);
  entry.origin_root = std::move(origin_root);
  entry.content_served = content_served;
  entry.model = std::move(model);
  entry.told = std::move(told);
  entry.since = clock_.now();
  hooks_.spread(entry.record, from);
  hooks_.changed();
}

void Instances::propose(const wire::ModelFacts& model, const Plan& plan, int32_t max_sequences) {
  wire::InstanceRecord record;
  record.fingerprint = model.fingerprint;
  record.model_name = model.name;
  record.epoch = next_epoch(model.fingerprint);
  record.strategy = to_string(plan.strategy);
  if (plan.strategy == Strategy::kAuto) record.objective = to_string(plan.objective);
  record.stages = plan.planned_stages();
  for (auto& stage : record.stages) {
    stage.incarnation = membership_.find(stage.node)->incarnation;
    for (auto& member : stage.members) member.incarnation = membership_.find(member.node)->incarnation;
  }
  record.context_tokens = plan.context_tokens;
  record.max_sequences = max_sequences;
  record.content = next_pin(model.fingerprint);
  if (auto serving = serving_ring(model.fingerprint)) {
    if (const auto tight = too_tight(model, plan, *serving)) {
      log_info("cluster", "{}: epoch {} ends before the next is loaded: {}", model.name, serving->epoch.counter,
               *tight);
    } else {
      record.previous = std::move(serving);
    }
  }
  log_info("cluster", "{}: epoch {} on {} devices{}", model.name, record.epoch.counter,
           participants(record.stages).size(),
           record.previous ? fmt::format(", while epoch {} serves", record.previous->epoch.counter) : "");
  adopt(std::move(record), membership_.self().id);
  entries_[model.fingerprint].model = model;
}

void Instances::propose_problem(const Entry& entry, const std::string& problem) {
  wire::InstanceRecord record = entry.record;
  record.stages.clear();
  record.previous.reset();
  record.problem = problem.substr(0, wire::kMaxTextBytes);
  if (record.problem == entry.record.problem && entry.record.stages.empty()) return;
  record.epoch = next_epoch(record.fingerprint);
  log_info("cluster", "{}: epoch {} cannot be placed: {}", record.model_name, record.epoch.counter, problem);
  adopt(std::move(record), membership_.self().id);
}

// ---- participants

bool Instances::is_valid(const wire::StageMember& member) const {
  const auto* facts = membership_.find(member.node);
  return facts != nullptr && (member.incarnation == 0 || facts->incarnation <= member.incarnation);
}

std::vector<wire::StageMember> Instances::participants(const std::vector<wire::PlannedStage>& stages) {
  std::vector<wire::StageMember> result;
  for (const auto& stage : stages) {
    for (const auto& member : stage.all_members()) result.push_back(member);
  }
  return result;
}

NodeId Instances::keeper_of(const Entry& entry) const {
  std::optional<NodeId> first;
  for (const auto& member : participants(entry.record.stages)) {
    if (is_valid(member) && (!first || member.node < *first)) first = member.node;
  }
  return first ? *first : membership_.living().front()->id;
}

NodeId Instances::keeper(const std::string& fingerprint) const {
  const auto found = entries_.find(fingerprint);
  return found == entries_.end() || found->second.record.stopped ? NodeId{} : keeper_of(found->second);
}

const wire::StageStatus* Instances::status_of(const std::string& fingerprint, const Epoch& epoch,
                                              const NodeId& node) const {
  const auto* facts = membership_.find(node);
  if (facts == nullptr) return nullptr;
  for (const auto& status : facts->stages) {
    if (status.fingerprint == fingerprint && status.epoch == epoch) return &status;
  }
  return nullptr;
}

bool Instances::is_ready(const std::string& fingerprint, const Epoch& epoch,
                         const std::vector<wire::PlannedStage>& stages) const {
  return !stages.empty() && std::ranges::all_of(participants(stages), [&](const wire::StageMember& member) {
    const auto* status = status_of(fingerprint, epoch, member.node);
    return is_valid(member) && status != nullptr && status->state == wire::StageState::kReady;
  });
}

// The least that any of them has reached, and their bytes together.
wire::StageStatus Instances::stage_status(const wire::InstanceRecord& record,
                                          const wire::PlannedStage& stage) const {
  wire::StageStatus whole{.fingerprint = record.fingerprint,
                          .epoch = record.epoch,
                          .layers = stage.layers,
                          .state = wire::StageState::kReady};
  for (const auto& member : stage.all_members()) {
    const auto* status = status_of(record.fingerprint, record.epoch, member.node);
    if (status == nullptr) return {};
    whole.done_bytes += status->done_bytes;
    whole.total_bytes += status->total_bytes;
    if (whole.state == wire::StageState::kFailed || status->state == wire::StageState::kReady) continue;
    whole.state = status->state;
    whole.error = status->error;
  }
  return whole;
}

// ---- views

InstanceView Instances::view_of(const Entry& entry) const {
  InstanceView view;
  view.record = entry.record;
  const auto& record = entry.record;
  view.ready = !record.stopped && is_ready(record.fingerprint, record.epoch, record.stages);
  for (size_t i = 0; i < record.stages.size(); ++i) {
    const auto& stage = record.stages[i];
    view.statuses.push_back(stage_status(record, stage));
    for (const auto& member : stage.all_members())
      if (member.node == membership_.self().id && is_valid(member)) view.own_stage = static_cast<int32_t>(i);
  }
  if (record.stopped || !record.previous) return view;
  const auto& previous = *record.previous;
  view.previous_ready = is_ready(record.fingerprint, previous.epoch, previous.stages);
  for (size_t i = 0; i < previous.stages.size(); ++i) {
    const bool own = previous.stages[i].share_of(membership_.self().id).has_value();
    if (own && loaded_.contains({record.fingerprint, previous.epoch}))
      view.own_previous_stage = static_cast<int32_t>(i);
  }
  return view;
}

std::vector<const wire::InstanceRecord*> Instances::records() const {
  std::vector<const wire::InstanceRecord*> result;
  for (const auto& [fingerprint, entry] : entries_) result.push_back(&entry.record);
  return result;
}

const wire::InstanceRecord* Instances::find_record(const std::string& fingerprint) const {
  const auto found = entries_.find(fingerprint);
  return found == entries_.end() ? nullptr : &found->second.record;
}

std::optional<InstanceView> Instances::find(const std::string& fingerprint) const {
  const auto found = entries_.find(fingerprint);
  if (found == entries_.end()) return std::nullopt;
  return view_of(found->second);
}

// ---- what people ask for

Status Instances::ensure(const std::string& fingerprint, const std::optional<PlacementRequest>& how) {
  const auto found = entries_.find(fingerprint);
  const Entry* entry = found == entries_.end() ? nullptr : &found->second;
  if (entry != nullptr && !entry->record.stopped && !entry->record.stages.empty()) return {};
  EXO_TRY(const wire::ModelFacts model, model_facts(fingerprint, entry));
  const PlacementRequest request = how.value_or(options_.placement);
  EXO_TRY(const Plan chosen, plan(model, request));
  propose(model, chosen, request.max_sequences);
  return {};
}

Status Instances::replan(const std::string& fingerprint, const PlacementRequest& how) {
  const auto found = entries_.find(fingerprint);
  EXO_TRY(const wire::ModelFacts model,
          model_facts(fingerprint, found == entries_.end() ? nullptr : &found->second));
  EXO_TRY(const Plan chosen, plan(model, how));
  propose(model, chosen, how.max_sequences);
  return {};
}

Status Instances::stop(const std::string& fingerprint) {
  const auto found = entries_.find(fingerprint);
  if (found == entries_.end()) return fail(ErrorCode::kNotFound, "no instance of {}", fingerprint);
  if (found->second.record.stopped) return {};
  wire::InstanceRecord record = found->second.record;
  record.stages.clear();
  record.problem.clear();
  record.stopped = true;
  record.epoch = next_epoch(fingerprint, kStopLead);
  adopt(std::move(record), membership_.self().id);
  return {};
}

Result<Plan> Instances::preview(const std::string& fingerprint, const PlacementRequest& how) const {
  const auto found = entries_.find(fingerprint);
  EXO_TRY(const wire::ModelFacts model,
          model_facts(fingerprint, found == entries_.end() ? nullptr : &found->second));
  return plan(model, how);
}

// ---- the own stage

void Instances::report_stage(const wire::StageStatus& status) {
  if (!loaded_.contains({status.fingerprint, status.epoch})) return;  // of an epoch that is over
  membership_.update_self([&](wire::NodeFacts& self) {
    std::erase_if(self.stages,
                  [&](const auto& s) { return s.fingerprint == status.fingerprint && s.epoch == status.epoch; });
    self.stages.push_back(status);
  });
}

void Instances::drop_stage(const std::string& fingerprint, const Epoch& epoch) {
  if (loaded_.erase({fingerprint, epoch}) == 0) return;
  membership_.update_self([&](wire::NodeFacts& self) {
    std::erase_if(self.stages, [&](const auto& s) { return s.fingerprint == fingerprint && s.epoch == epoch; });
  });
  host_.unload_stage(fingerprint, epoch);
}

void Instances::follow(Entry& entry) {
  const wire::InstanceRecord record = entry.record;
  const auto own = std::find_if(record.stages.begin(), record.stages.end(), [&](const auto& stage) {
    const auto members = stage.all_members();
    return std::any_of(members.begin(), members.end(), [&](const auto& member) {
      return member.node == membership_.self().id && is_valid(member);
    });
  });
  const bool active = !record.stopped && !membership_.left();
  const bool takes_part = active && own != record.stages.end();
  // What is over goes before anything is loaded: its memory may be needed.
  std::vector<Epoch> over;
  for (auto at = loaded_.lower_bound({record.fingerprint, Epoch{}});
       at != loaded_.end() && at->first == record.fingerprint; ++at) {
    const bool present = takes_part && at->second == record.epoch;
    const bool previous =
        active && record.previous && at->second == record.previous->epoch && !previous_is_over(record);
    if (!present && !previous) over.push_back(at->second);
  }
  for (const Epoch& epoch : over) drop_stage(record.fingerprint, epoch);
  if (!takes_part || !loaded_.emplace(record.fingerprint, record.epoch).second) return;
  report_stage({record.fingerprint, record.epoch, own->layers, wire::StageState::kLoading, 0, 0, {}});
  host_.load_stage(record, static_cast<int32_t>(own - record.stages.begin()));
}

// ---- settling

void Instances::settle() {
  std::vector<std::string> fingerprints;
  for (const auto& [fingerprint, entry] : entries_) fingerprints.push_back(fingerprint);
  for (const auto& fingerprint : fingerprints) {
    Entry& entry = entries_[fingerprint];  // never erased
    if (auto model = model_facts(fingerprint, nullptr)) entry.model = std::move(*model);
    learn_root(entry);
    note_failures(entry);
    follow(entry);
    if (!entry.record.stopped && !membership_.left()) keep(entry);
    tell(entry);
  }
}

void Instances::tell(Entry& entry) {
  const InstanceView view = view_of(entry);
  if (entry.told && same_view(*entry.told, view)) return;
  entry.told = view;
  hooks_.notify(view);
}

void Instances::wake_at(net::TimePoint when) {
  if (wake_timer_ != 0 && wake_time_ <= when) return;
  clock_.cancel(wake_timer_);
  wake_time_ = when;
  wake_timer_ = clock_.run_after(when - clock_.now(), [this] {
    wake_timer_ = 0;
    hooks_.changed();
  });
}

}  // namespace exo::cluster
