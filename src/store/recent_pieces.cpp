#include "store/recent_pieces.h"

#include <algorithm>
#include <cstring>
#include <list>
#include <mutex>
#include <vector>

#include "store/content_manifest.h"

namespace exo::store {

namespace {

constexpr size_t kKept = 64;

class RecentPieces final : public net::FileSource {
 public:
  explicit RecentPieces(std::shared_ptr<const net::FileSource> source)
      : source_(std::move(source)), total_bytes_(source_->layout().total_bytes()) {}
  const net::FileLayout& layout() const override { return source_->layout(); }
  bool has(uint64_t offset, uint64_t bytes) const override { return source_->has(offset, bytes); }
  Status read(uint64_t offset, std::span<std::byte> out) const override {
    if (!has(offset, out.size())) return fail(ErrorCode::kInvalidArgument, "bytes beyond the file");
    while (!out.empty()) {
      const uint64_t number = offset / net::kPieceBytes;
      EXO_TRY(const auto piece, piece_of(number));
      const uint64_t begin = offset - piece_range(number, total_bytes_).begin;
      const size_t n = std::min<uint64_t>(out.size(), piece->size() - begin);
      std::memcpy(out.data(), piece->data() + begin, n);
      out = out.subspan(n);
      offset += n;
    }
    return {};
  }

 private:
  using Piece = std::shared_ptr<const std::vector<std::byte>>;

  Result<Piece> piece_of(uint64_t number) const {
    {
      const std::lock_guard lock(mutex_);
      const auto found = std::ranges::find(recent_, number, &Entry::number);
      if (found != recent_.end()) {
        recent_.splice(recent_.begin(), recent_, found);
        return found->piece;
      }
    }
    const ByteRange range = piece_range(number, total_bytes_);
    auto made = std::make_shared<std::vector<std::byte>>(range.size());
    EXO_CHECK_OK(source_->read(range.begin, *made));
    const std::lock_guard lock(mutex_);
    recent_.push_front({number, made});
    if (recent_.size() > kKept) recent_.pop_back();
    return Piece(std::move(made));
  }

  struct Entry {
    uint64_t number = 0;
    Piece piece;
  };
  const std::shared_ptr<const net::FileSource> source_;
  const uint64_t total_bytes_;
  mutable std::mutex mutex_;
  mutable std::list<Entry> recent_;  // the last used one first
};

}  // namespace

std::shared_ptr<const net::FileSource> with_recent_pieces(std::shared_ptr<const net::FileSource> source) {
  return std::make_shared<RecentPieces>(std::move(source));
}

}  // namespace exo::store
