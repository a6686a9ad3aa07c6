#include "ring/cache_filler.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "wire/limits.h"

namespace exo::ring {
namespace {

constexpr std::string_view kComponent = "cache";
constexpr uint64_t kPieceBytes = 256 << 10;
constexpr double kWindowSeconds = 0.01;  // how long a step may wait behind pieces
constexpr uint64_t kLeastWindow = 128 << 10, kUsualWindow = 512 << 10, kLargestWindow = 4 << 20;

LayerRange common(const LayerRange& a, const LayerRange& b) {
  return {std::max(a.begin, b.begin), std::min(a.end, b.end)};
}

}  // namespace

CacheFiller::CacheFiller(net::Clock& clock, net::Transport& transport, StageExecutor& executor, MicroBatchId newest,
                         Options options)
    : clock_(clock),
      transport_(transport),
      executor_(executor),
      options_(std::move(options)),
      layout_(executor.cache_layout().value_or(CacheLayout{})),
      newest_step_(newest),
      used_by_(static_cast<size_t>(std::max(layout_.n_blocks, 0)), newest) {}

CacheFiller::~CacheFiller() { clock_.cancel(timer_); }

bool CacheFiller::is_sound(const wire::CacheFill& fill) const {
  return !fill.to.empty() && fill.from.size() == fill.to.size() && !batches_.contains(fill.batch) &&
         batches_.size() < kMostBatches &&
         std::ranges::all_of(fill.to, [&](const BlockId block) { return block.value < used_by_.size(); });
}

void CacheFiller::fill(wire::CacheFill fill) {
  // A batch with the same blocks is of a scheduler that is no more.
  for (const uint64_t other : ids()) {
    const auto& blocks = batches_.at(other).order.to;
    if (std::ranges::find_first_of(blocks, fill.to) != blocks.end()) answer(other, "its blocks are filled anew");
  }
  const uint64_t id = fill.batch;
  if (!is_sound(fill)) {
    transport_.send(options_.scheduler, wire::CacheFilled{options_.fingerprint, options_.epoch, id, 0, "refused"});
    return;
  }
  if (batches_.empty()) last_piece_ = clock_.now();
  const Batch& batch = batches_.emplace(id, Batch{.order = std::move(fill)}).first->second;
  watch();
  if (is_used(batch)) return answer(id, "a step uses its blocks");
  begin(id);
}

// A step that came after the order has one of the blocks.
bool CacheFiller::is_used(const Batch& batch) const {
  return std::ranges::any_of(batch.order.to,
                             [&](const BlockId block) { return used_by_[block.value] >= batch.order.next_step; });
}

// Unless steps are still to come that were sent before the order.
void CacheFiller::begin(uint64_t id) {
  Batch& batch = batches_.at(id);
  if (batch.begun || newest_step_.value + 1 < batch.order.next_step.value) return;
  batch.begun = true;
  int32_t layers_found = 0;
  for (const Source& source : options_.sources) {
    const LayerRange layers = common(source.layers, layout_.layers);
    if (layers.empty()) continue;
    layers_found += layers.size();
    split(batch, {source.node, layers});
  }
  if (layers_found != layout_.layers.size()) return answer(id, "nobody had some of its layers");
  ask();
}

std::vector<uint64_t> CacheFiller::ids() const {
  std::vector<uint64_t> found;
  for (const auto& [id, batch] : batches_) found.push_back(id);
  return found;
}

// Into parts of about kPieceBytes: some blocks of all layers, or some layers of a block.
void CacheFiller::split(Batch& batch, const Source& source) {
  const wire::CacheFill& fill = batch.order;
  auto& waiting = peers_[source.node].waiting;
  const auto add = [&](LayerRange layers, size_t first, size_t count) {
    Part part{.batch = fill.batch, .node = source.node, .layers = layers};
    part.from.assign(fill.from.begin() + static_cast<ptrdiff_t>(first),
                     fill.from.begin() + static_cast<ptrdiff_t>(first + count));
    part.to.assign(fill.to.begin() + static_cast<ptrdiff_t>(first),
                   fill.to.begin() + static_cast<ptrdiff_t>(first + count));
    part.bytes = layout_.bytes_of(layers) * count;
    ++batch.parts_left;
    waiting.push_back(std::move(part));
  };
  const uint64_t block_bytes = layout_.bytes_of(source.layers);
  if (block_bytes <= kPieceBytes) {
    const size_t most = kPieceBytes / std::max<uint64_t>(block_bytes, 1);
    for (size_t first = 0; first < fill.to.size(); first += most)
      add(source.layers, first, std::min(most, fill.to.size() - first));
    return;
  }
  for (size_t i = 0; i < fill.to.size(); ++i) {
    LayerRange layers{source.layers.begin, source.layers.begin};
    while (layers.end < source.layers.end) {
      ++layers.end;
      const bool full = layers.end == source.layers.end ||
                        layout_.bytes_of({layers.begin, LayerIndex(layers.end.value + 1)}) > kPieceBytes;
      if (!full) continue;
      add(layers, i, 1);
      layers.begin = layers.end;
    }
  }
}

uint64_t CacheFiller::window_bytes(const NodeId& node) const {
  if (node == transport_.self()) return kLargestWindow;
  const double bandwidth = options_.bandwidth ? options_.bandwidth(node) : 0;
  if (!(bandwidth > 0)) return kUsualWindow;
  return static_cast<uint64_t>(
      std::clamp(bandwidth * kWindowSeconds, double{kLeastWindow}, double{kLargestWindow}));
}

void CacheFiller::ask() {
  std::vector<NodeId> nodes;
  for (const auto& [node, peer] : peers_) nodes.push_back(node);
  for (const NodeId& node : nodes) ask(node, peers_[node]);
}

void CacheFiller::ask(const NodeId& node, Peer& peer) {
  const uint64_t window = window_bytes(node);
  while (!peer.waiting.empty() &&
         (peer.under_way_bytes == 0 || peer.under_way_bytes + peer.waiting.front().bytes <= window)) {
    Part part = std::move(peer.waiting.front());
    peer.waiting.pop_front();
    const wire::CacheRead read{options_.fingerprint, options_.epoch,         ++last_nonce_, part.layers, part.from,
                               layout_.type,         layout_.block_positions};
    const uint64_t batch = part.batch;
    peer.under_way_bytes += part.bytes;
    under_way_.emplace(last_nonce_, std::move(part));
    if (!transport_.send(node, read)) answer(batch, "there is no link to the device that had its layers");
  }
}

void CacheFiller::on_piece(const NodeId& from, wire::CachePiece piece) {
  const auto found = under_way_.find(piece.nonce);
  if (found == under_way_.end() || found->second.node != from) return;
  const Part part = std::move(found->second);
  under_way_.erase(found);
  Peer& peer = peers_[from];
  peer.under_way_bytes -= part.bytes;
  last_piece_ = clock_.now();
  if (!piece.error.empty()) {
    answer(part.batch, std::move(piece.error));
  } else if (piece.bytes.size() != part.bytes) {
    answer(part.batch, "a piece of another size");
  } else {
    executor_.write_cache({part.layers, part.to}, std::move(piece.bytes),
                          [this, alive = std::weak_ptr<bool>(alive_), batch = part.batch](const Status& written) {
                            if (!alive.expired()) on_written(batch, written);
                          });
  }
  ask(from, peer);
}

void CacheFiller::on_written(uint64_t id, const Status& written) {
  const auto found = batches_.find(id);
  if (found == batches_.end()) return;
  if (!written) return answer(id, written.error().message);
  Batch& batch = found->second;
  if (--batch.parts_left > 0) return;
  batch.bytes = layout_.bytes_of(layout_.layers) * batch.order.to.size();
  executor_.complete_blocks(batch.order.to,
                            [this, alive = std::weak_ptr<bool>(alive_), id](const Status& completed) {
                              if (alive.expired() || !batches_.contains(id)) return;
                              answer(id, completed ? std::string() : completed.error().message);
                            });
}

void CacheFiller::answer(uint64_t id, std::string error) {
  const auto found = batches_.find(id);
  if (found == batches_.end()) return;
  const uint64_t bytes = found->second.bytes;
  batches_.erase(found);
  const auto of_batch = [id](const Part& part) { return part.batch == id; };
  for (auto& [node, peer] : peers_) std::erase_if(peer.waiting, of_batch);
  std::erase_if(under_way_, [&](const auto& entry) {
    if (!of_batch(entry.second)) return false;
    peers_[entry.second.node].under_way_bytes -= entry.second.bytes;
    return true;
  });
  if (!error.empty()) log_debug(kComponent, "batch {} is not carried over: {}", id, error);
  error.resize(std::min(error.size(), wire::kMaxTextBytes));
  transport_.send(options_.scheduler,
                  wire::CacheFilled{options_.fingerprint, options_.epoch, id, bytes, std::move(error)});
}

void CacheFiller::on_step(const wire::Step& step) {
  newest_step_ = step.micro_batch;
  for (const auto& sequence : step.sequences)
    for (const BlockId block : sequence.blocks)
      if (block.value < used_by_.size()) used_by_[block.value] = step.micro_batch;
  for (const uint64_t id : ids()) {
    const auto batch = batches_.find(id);
    if (batch == batches_.end()) continue;  // given up while another one began
    if (is_used(batch->second)) {
      answer(id, "a step uses its blocks");
    } else {
      begin(id);
    }
  }
}

void CacheFiller::on_link_down(const NodeId& peer) {
  // The scheduler has given up what it hears nothing of, and may want the blocks back.
  const bool all = peer == options_.scheduler;
  std::set<uint64_t> lost;
  for (const auto& [nonce, part] : under_way_)
    if (all || part.node == peer) lost.insert(part.batch);
  if (const auto found = peers_.find(peer); found != peers_.end())
    for (const Part& part : found->second.waiting) lost.insert(part.batch);
  for (const auto& [id, batch] : batches_)
    if (all) lost.insert(id);
  for (const uint64_t id : lost) answer(id, "a link went down");
}

void CacheFiller::watch() {
  if (timer_ != 0 || batches_.empty()) return;
  timer_ = clock_.run_after(options_.deadline / 4, [this] {
    timer_ = 0;
    if (clock_.now() - last_piece_ >= options_.deadline)
      for (const uint64_t id : ids()) answer(id, "no piece came for too long");
    watch();
  });
}

}  // namespace exo::ring
