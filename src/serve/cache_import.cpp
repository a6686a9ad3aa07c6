#include "serve/cache_import.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "wire/limits.h"

namespace exo::serve {
namespace {

constexpr std::string_view kComponent = "cache";
constexpr size_t kBatchesAtOnce = 2;  // one is read while the other's answers travel
constexpr int32_t kSpareShare = 8;    // of the own blocks, one in so many stays free

}  // namespace

CacheImport::CacheImport(net::Clock& clock, net::Transport& transport, PrefixCache& cache, Options options,
                         Progress progress)
    : clock_(clock),
      transport_(transport),
      cache_(cache),
      options_(std::move(options)),
      progress_(std::move(progress)),
      began_(clock.now()),
      last_batch_(options_.nonce << 32) {
  const int32_t most = cache_.available() - cache_.size() / kSpareShare;
  restart_timer(options_.ask_deadline);
  if (!transport_.send(options_.lender, wire::CacheQuery{options_.fingerprint, options_.epoch, options_.nonce,
                                                         std::max(most, 0), cache_.block_positions()}))
    end("there is no link to its first stage");
}

CacheImport::~CacheImport() {
  clock_.cancel(timer_);
  for (const Batch& batch : batches_) cache_.release(batch.here);
}

bool CacheImport::awaits(std::span<const TokenId> tokens) const {
  if (phase_ != Phase::kFilling) return phase_ == Phase::kAsking;
  const auto per_block = static_cast<size_t>(cache_.block_positions());
  const std::vector<int32_t>* next = &first_blocks_;
  for (size_t begin = 0; begin + per_block < tokens.size(); begin += per_block) {
    const auto wanted = tokens.subspan(begin, per_block);
    const auto found = std::ranges::find_if(*next, [&](const int32_t i) {
      return std::ranges::equal(offered_[static_cast<size_t>(i)].tokens, wanted);
    });
    if (found == next->end() || static_cast<size_t>(*found) >= end_) return false;
    const Block& block = offered_[static_cast<size_t>(*found)];
    if (block.chain == 0) return true;
    next = &block.children;
  }
  return false;
}

void CacheImport::on_offer(const NodeId& from, wire::CacheOffer offer) {
  if (phase_ != Phase::kAsking || from != options_.lender || offer.nonce != options_.nonce) return;
  if (!take_offer(offer)) return end("its offer contradicts itself");
  if (!offer.last) return restart_timer(options_.ask_deadline);
  phase_ = Phase::kFilling;
  end_ = offered_.size();
  restart_timer(options_.progress_deadline);
  fill_next();
  if (phase_ == Phase::kFilling) progress_(0, 0);  // who waits for nothing in it need not wait
}

bool CacheImport::take_offer(const wire::CacheOffer& offer) {
  const auto per_block = static_cast<size_t>(cache_.block_positions());
  if (offer.parents.size() != offer.blocks.size() || offer.tokens.size() != offer.blocks.size() * per_block ||
      offered_.size() + offer.blocks.size() > wire::kMaxOfferedBlocks)
    return false;
  for (size_t i = 0; i < offer.blocks.size(); ++i) {
    const int32_t parent = offer.parents[i];
    const auto own = static_cast<int32_t>(offered_.size());
    if (parent < -1 || parent >= own) return false;
    (parent < 0 ? first_blocks_ : offered_[static_cast<size_t>(parent)].children).push_back(own);
    const auto tokens = offer.tokens.begin() + static_cast<ptrdiff_t>(i * per_block);
    offered_.push_back({.there = offer.blocks[i],
                        .parent = parent,
                        .tokens = {tokens, tokens + static_cast<ptrdiff_t>(per_block)}});
  }
  return true;
}

PrefixCache::ChainId CacheImport::parent_chain(const Block& block) const {
  return block.parent < 0 ? 0 : offered_[static_cast<size_t>(block.parent)].chain;
}

void CacheImport::fill_next() {
  while (phase_ == Phase::kFilling && batches_.size() < kBatchesAtOnce && next_ < end_) {
    Batch batch{.id = ++last_batch_, .missing = {options_.stages.begin(), options_.stages.end()}};
    wire::CacheFill fill{options_.fingerprint, options_.epoch, batch.id, options_.next_step(), {}, {}};
    while (next_ < end_ && fill.to.size() < static_cast<size_t>(options_.batch_blocks)) {
      Block& block = offered_[next_];
      // Computed here meanwhile.
      const auto before = parent_chain(block);
      if (block.parent < 0 || before != 0) block.chain = cache_.find(before, block.tokens);
      if (block.chain == 0) {
        const auto here = cache_.allocate_free(cache_.size() / kSpareShare);
        if (!here) {
          end_ = next_;  // no room for more
          break;
        }
        batch.which.push_back(next_);
        batch.here.push_back(*here);
        fill.from.push_back(block.there);
        fill.to.push_back(*here);
      }
      ++next_;
    }
    batch.end = next_;
    if (fill.to.empty()) break;
    batches_.push_back(std::move(batch));
    for (const NodeId& stage : options_.stages)
      if (!transport_.send(stage, fill)) return end("there is no link to a stage");
  }
  if (phase_ == Phase::kFilling && batches_.empty()) end("");
}

void CacheImport::on_filled(const NodeId& from, const wire::CacheFilled& filled) {
  const auto batch = std::ranges::find(batches_, filled.batch, &Batch::id);
  if (batch == batches_.end() || batch->missing.erase(from) == 0) return;
  if (!filled.error.empty()) return end(filled.error);
  batch->bytes += filled.bytes;
  ask_next();
}

// Whether the blocks were still as they were offered, when every stage had read them.
void CacheImport::ask_next() {
  for (Batch& batch : batches_) {
    if (!batch.missing.empty()) return;
    if (batch.asked) continue;
    batch.asked = true;
    if (!transport_.send(options_.lender, wire::CacheRelease{options_.fingerprint, options_.epoch, options_.nonce,
                                                             static_cast<int32_t>(batch.end), false}))
      return end("the link to its first stage is gone");
  }
}

void CacheImport::on_released(const NodeId& from, const wire::CacheReleased& released) {
  if (phase_ != Phase::kFilling || from != options_.lender || released.nonce != options_.nonce) return;
  if (batches_.empty() || !batches_.front().asked || static_cast<size_t>(released.count) != batches_.front().end)
    return;
  if (!released.held) return end("the blocks were not held for so long");
  Batch batch = std::move(batches_.front());
  batches_.pop_front();
  insert(batch);
  restart_timer(options_.progress_deadline);
  fill_next();
  progress_(batch.here.size(), batch.bytes);
}

void CacheImport::insert(Batch& batch) {
  for (size_t i = 0; i < batch.which.size(); ++i) {
    Block& block = offered_[batch.which[i]];
    EXO_CHECK(block.parent < 0 || parent_chain(block) != 0);
    block.chain = cache_.adopt(parent_chain(block), block.tokens, batch.here[i]);
  }
  carried_blocks_ += batch.here.size();
  carried_bytes_ += batch.bytes;
}

void CacheImport::on_link_down(const NodeId& peer) {
  const bool of_ring = std::ranges::find(options_.stages, peer) != options_.stages.end();
  if (phase_ != Phase::kOver && (peer == options_.lender || of_ring)) end("a link went down");
}

void CacheImport::end(const std::string& why) {
  if (phase_ == Phase::kOver) return;
  phase_ = Phase::kOver;
  clock_.cancel(timer_);
  timer_ = 0;
  // Whether or not a stage still fills them: the step that uses them next ends that (ring/cache_filler.h).
  for (const Batch& batch : batches_) cache_.release(batch.here);
  batches_.clear();
  transport_.send(options_.lender,
                  wire::CacheRelease{options_.fingerprint, options_.epoch, options_.nonce, 0, true});
  const double ms = std::chrono::duration<double, std::milli>(clock_.now() - began_).count();
  if (offered_.empty()) {
    log_debug(kComponent, "{}: nothing is carried over from epoch {}{}{}", options_.model_name,
              options_.previous_epoch.counter, why.empty() ? "" : ": ", why);
  } else {
    log_info(kComponent, "{}: {} of {} cached blocks ({:.1f} MiB) carried over from epoch {} in {:.0f} ms{}{}",
             options_.model_name, carried_blocks_, offered_.size(), static_cast<double>(carried_bytes_) / (1 << 20),
             options_.previous_epoch.counter, ms, why.empty() ? "" : "; then ", why);
  }
  clock_.post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) progress_(0, 0);
  });
}

void CacheImport::restart_timer(net::Duration deadline) {
  clock_.cancel(timer_);
  const auto left = options_.deadline - (clock_.now() - began_);
  timer_ = clock_.run_after(std::max(std::min(deadline, left), net::Duration{}), [this] {
    timer_ = 0;
    end("it took too long");
  });
}

}  // namespace exo::serve
