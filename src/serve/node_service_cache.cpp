// RingService's part in carrying KV caches over from a ring to its successor: who may ask for what, and to whom it
// goes.

#include <algorithm>

#include "base/log.h"
#include "serve/node_service_impl.h"

namespace exo::serve {
namespace {

constexpr std::string_view kComponent = "cache";
constexpr auto kMayYetAsk = std::chrono::seconds(1);  // a ring that is ready asks at once
constexpr uint64_t kMostBatchBlocks = 32;

bool is_alone(const wire::PlannedStage& stage) { return stage.members.empty(); }

// Shares of groups differ from device to device; where they have a part, everything is computed anew.
bool has_groups(const wire::InstanceRecord& record) {
  return !std::ranges::all_of(record.stages, is_alone) || !std::ranges::all_of(record.previous->stages, is_alone);
}

}  // namespace

bool RingService::is_about_caches(const wire::Message& message) {
  return std::visit(
      []<typename T>(const T&) {
        return std::is_same_v<T, wire::CacheQuery> || std::is_same_v<T, wire::CacheOffer> ||
               std::is_same_v<T, wire::CacheRelease> || std::is_same_v<T, wire::CacheReleased> ||
               std::is_same_v<T, wire::CacheFill> || std::is_same_v<T, wire::CacheFilled> ||
               std::is_same_v<T, wire::CacheRead> || std::is_same_v<T, wire::CachePiece>;
      },
      message);
}

// The record of `epoch`, if that is the present one and there is a ring before it.
std::optional<wire::InstanceRecord> RingService::successor(const std::string& fingerprint,
                                                           const Epoch& epoch) const {
  auto view = cluster_.find_instance(fingerprint);
  if (!view || view->record.stopped || view->record.epoch != epoch || !view->record.previous) return std::nullopt;
  if (view->record.stages.empty() || view->record.previous->stages.empty() || has_groups(view->record))
    return std::nullopt;
  return std::move(view->record);
}

// This node's part of the ring before.
RingService::Instance* RingService::lender(const wire::InstanceRecord& record) {
  return find(record.fingerprint, record.previous->epoch);
}

// ---- the new ring ---------------------------------------------------------------------------------------------

void RingService::import_cache(const wire::InstanceRecord& record, Instance& instance) {
  if (!options_.carry_caches || instance.import || !record.previous) return;
  if (instance.config.keeps_state || !successor(record.fingerprint, record.epoch)) {
    log_debug(kComponent, "{}: nothing is carried over from epoch {}: groups or states", record.model_name,
              record.previous->epoch.counter);
    return;
  }
  uint64_t block_bytes = 0;
  for (const auto& facts : cluster_.models())
    if (facts.fingerprint == record.fingerprint)
      for (const uint64_t bytes : facts.kv_bytes_per_position)
        block_bytes += bytes * static_cast<uint64_t>(instance.config.block_positions);
  Scheduler& scheduler = *instance.scheduler;
  CacheImport::Options options{.fingerprint = record.fingerprint,
                               .model_name = record.model_name,
                               .epoch = record.epoch,
                               .previous_epoch = record.previous->epoch,
                               .lender = record.previous->stages.front().node,
                               .nonce = ++imports_,
                               .next_step = [&scheduler] { return scheduler.next_micro_batch(); }};
  for (const auto& stage : record.stages)
    if (std::ranges::find(options.stages, stage.node) == options.stages.end()) options.stages.push_back(stage.node);
  options.batch_blocks = static_cast<int32_t>(
      std::clamp<uint64_t>(options_.carried_batch_bytes / std::max<uint64_t>(block_bytes, 1), 1, kMostBatchBlocks));
  instance.import = std::make_unique<CacheImport>(
      clock_, transport_, scheduler.prefix_cache(), std::move(options),
      [&scheduler](uint64_t blocks, uint64_t bytes) { scheduler.take_supply(blocks, bytes); });
  scheduler.set_supply(
      [&import = *instance.import](std::span<const TokenId> tokens) { return import.awaits(tokens); });
}

// From its first step on: the filler knows what they use.
void RingService::prepare_filler(const wire::InstanceRecord& record, Instance& instance,
                                 ring::StageExecutor& executor) {
  if (!options_.carry_caches || !successor(record.fingerprint, record.epoch) || !executor.cache_layout()) return;
  ring::CacheFiller::Options options{
      .fingerprint = record.fingerprint, .epoch = record.epoch, .scheduler = record.stages.front().node};
  for (const auto& stage : record.previous->stages) options.sources.push_back({stage.node, stage.layers});
  options.bandwidth = [this](const NodeId& node) { return bandwidth_from(node); };
  instance.filler = std::make_unique<ring::CacheFiller>(clock_, transport_, executor,
                                                        instance.runner->newest_step(), std::move(options));
  instance.runner->watch_steps([filler = instance.filler.get()](const wire::Step& step) { filler->on_step(step); });
}

void RingService::on_cache(const NodeId& from, wire::CacheFill fill) {
  const auto record = successor(fill.fingerprint, fill.epoch);
  Instance* instance = find(fill.fingerprint, fill.epoch);
  if (!record || instance == nullptr || record->stages.front().node != from) return;
  if (instance->filler) return instance->filler->fill(std::move(fill));
  transport_.send(from, wire::CacheFilled{fill.fingerprint, fill.epoch, fill.batch, 0,
                                          "a stage has no cache that could be filled"});
}

double RingService::bandwidth_from(const NodeId& node) const {
  const auto& links = cluster_.self().links;
  const auto link = std::ranges::find(links, node, &wire::LinkFacts::peer);
  return link == links.end() ? 0 : link->bandwidth_bytes_per_s;
}

// ---- the ring before ------------------------------------------------------------------------------------------

// Caches hold what people wrote: they are told to stages of the next ring alone, and their layers only.

void RingService::on_cache(const NodeId& from, const wire::CacheQuery& query) {
  const auto record = successor(query.fingerprint, query.epoch);
  Instance* instance = record ? lender(*record) : nullptr;
  if (instance == nullptr || !instance->scheduler || instance->config.keeps_state ||
      record->stages.front().node != from) {
    transport_.send(from, wire::CacheOffer{query.fingerprint, query.epoch, query.nonce, {}, {}, {}, true});
    return;
  }
  instance->lease.reset();
  instance->lease =
      std::make_unique<CacheLease>(clock_, transport_, instance->scheduler->prefix_cache(), from, query);
}

void RingService::on_cache(const NodeId& from, const wire::CacheRelease& release) {
  const auto record = successor(release.fingerprint, release.epoch);
  Instance* instance = record ? lender(*record) : nullptr;
  if (instance != nullptr && instance->lease && instance->lease->borrower() == from)
    return instance->lease->on_release(release);
  transport_.send(from,
                  wire::CacheReleased{release.fingerprint, release.epoch, release.nonce, release.count, false});
}

void RingService::on_cache(const NodeId& from, wire::CacheRead read) {
  const auto record = successor(read.fingerprint, read.epoch);
  Instance* instance = record ? lender(*record) : nullptr;
  LayerRange allowed;
  if (record)
    for (const auto& stage : record->stages)
      if (stage.node == from && read.layers.begin >= stage.layers.begin && read.layers.end <= stage.layers.end)
        allowed = stage.layers;
  if (instance == nullptr || allowed.empty()) {
    transport_.send(from, wire::CachePiece{read.fingerprint, read.epoch, read.nonce, {}, "refused"});
    return;
  }
  if (!instance->server) instance->server = std::make_unique<ring::CacheServer>(transport_);
  instance->server->serve(from, std::move(read), allowed, instance->runner->executor());
}

// The successor reads what is cached here, or may begin to.
bool RingService::lends_cache(const wire::InstanceRecord& record, const Instance& instance) const {
  if (instance.lease && instance.lease->epoch() == record.epoch) return !instance.lease->over();
  return options_.carry_caches && successor(record.fingerprint, record.epoch) && !instance.config.keeps_state &&
         clock_.now() - instance.superseded_at < kMayYetAsk;
}

void RingService::on_cache_message(const NodeId& from, wire::Message message) {
  if (const auto* query = std::get_if<wire::CacheQuery>(&message)) {
    on_cache(from, *query);
  } else if (const auto* release = std::get_if<wire::CacheRelease>(&message)) {
    on_cache(from, *release);
  } else if (auto* fill = std::get_if<wire::CacheFill>(&message)) {
    on_cache(from, std::move(*fill));
  } else if (auto* read = std::get_if<wire::CacheRead>(&message)) {
    on_cache(from, std::move(*read));
  } else if (auto* offer = std::get_if<wire::CacheOffer>(&message)) {
    Instance* instance = find(offer->fingerprint, offer->epoch);
    if (instance && instance->import) instance->import->on_offer(from, std::move(*offer));
  } else if (const auto* released = std::get_if<wire::CacheReleased>(&message)) {
    Instance* instance = find(released->fingerprint, released->epoch);
    if (instance && instance->import) instance->import->on_released(from, *released);
  } else if (const auto* filled = std::get_if<wire::CacheFilled>(&message)) {
    Instance* instance = find(filled->fingerprint, filled->epoch);
    if (instance && instance->import) instance->import->on_filled(from, *filled);
  } else if (auto* piece = std::get_if<wire::CachePiece>(&message)) {
    Instance* instance = find(piece->fingerprint, piece->epoch);
    if (instance && instance->filler) instance->filler->on_piece(from, std::move(*piece));
  }
}

}  // namespace exo::serve
