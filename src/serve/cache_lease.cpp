#include "serve/cache_lease.h"

#include <algorithm>

#include "base/log.h"
#include "wire/limits.h"

namespace exo::serve {
namespace {

constexpr std::string_view kComponent = "cache";
constexpr int32_t kKeptShare = 8;  // of the ring's blocks, one in so many stays for its own sequences

size_t part_blocks(int32_t block_positions) {
  return std::clamp<size_t>(wire::kMaxOfferPartTokens / static_cast<size_t>(block_positions), 1,
                            wire::kMaxOfferPartBlocks);
}

}  // namespace

CacheLease::CacheLease(net::Clock& clock, net::Transport& transport, PrefixCache& cache, const NodeId& borrower,
                       const wire::CacheQuery& query)
    : clock_(clock),
      transport_(transport),
      cache_(cache),
      borrower_(borrower),
      epoch_(query.epoch),
      nonce_(query.nonce) {
  std::vector<PrefixCache::Cached> listed;
  if (query.block_positions == cache.block_positions()) {
    const auto most =
        std::min<size_t>(static_cast<size_t>(std::max(query.most_blocks, 0)), wire::kMaxOfferedBlocks);
    const int32_t kept = cache.size() / kKeptShare + 1;
    listed = cache.list(most, static_cast<size_t>(std::max(cache.available() - kept, 0)));
  }
  send_offer(query, listed);
  for (const auto& cached : listed) blocks_.push_back(cached.block);
  for (const BlockId block : blocks_) cache_.hold(block);
  log_debug(kComponent, "{} blocks are offered to {}", blocks_.size(), borrower_.short_hex());
  over_ = blocks_.empty();
  watch();
}

CacheLease::~CacheLease() { end(); }

void CacheLease::send_offer(const wire::CacheQuery& query, const std::vector<PrefixCache::Cached>& listed) {
  const size_t per_part = part_blocks(cache_.block_positions());
  for (size_t first = 0; first == 0 || first < listed.size(); first += per_part) {
    const size_t end = std::min(listed.size(), first + per_part);
    wire::CacheOffer offer{.fingerprint = query.fingerprint, .epoch = query.epoch, .nonce = nonce_};
    for (size_t i = first; i < end; ++i) {
      offer.blocks.push_back(listed[i].block);
      offer.parents.push_back(listed[i].parent);
      offer.tokens.insert(offer.tokens.end(), listed[i].tokens.begin(), listed[i].tokens.end());
    }
    offer.last = end == listed.size();
    transport_.send(borrower_, std::move(offer));
  }
}

void CacheLease::on_release(const wire::CacheRelease& release) {
  const bool held = !over_ && release.nonce == nonce_ && static_cast<size_t>(release.count) <= blocks_.size();
  transport_.send(borrower_,
                  wire::CacheReleased{release.fingerprint, release.epoch, release.nonce, release.count, held});
  if (!held) return;
  const auto count = static_cast<size_t>(release.count);
  if (count > released_) {
    cache_.release(std::span(blocks_).subspan(released_, count - released_));
    released_ = count;
  }
  if (release.done || released_ == blocks_.size()) return end();
  watch();
}

void CacheLease::end() {
  clock_.cancel(timer_);
  timer_ = 0;
  over_ = true;
  cache_.release(std::span(blocks_).subspan(released_));
  released_ = blocks_.size();
}

void CacheLease::watch() {
  clock_.cancel(timer_);
  timer_ = 0;
  if (over_) return;
  timer_ = clock_.run_after(kSilence, [this] {
    timer_ = 0;
    log_debug(kComponent, "{} does not read what was offered to it", borrower_.short_hex());
    end();
  });
}

}  // namespace exo::serve
