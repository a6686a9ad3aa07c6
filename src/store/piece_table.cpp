#include "store/piece_table.h"

namespace exo::store {

namespace {

class HashedSource final : public net::FileSource {
 public:
  HashedSource(std::shared_ptr<const net::FileSource> source, std::shared_ptr<PieceTable> table)
      : source_(std::move(source)), table_(std::move(table)) {}
  const net::FileLayout& layout() const override { return source_->layout(); }
  bool has(uint64_t offset, uint64_t bytes) const override { return source_->has(offset, bytes); }
  Status read(uint64_t offset, std::span<std::byte> out) const override { return source_->read(offset, out); }
  Result<std::vector<net::Digest>> piece_hashes(uint64_t first, uint64_t count) const override {
    return table_->hashes(*source_, first, count);
  }
  Result<std::shared_ptr<const std::vector<std::byte>>> manifest() const override {
    const auto manifest = table_->manifest();
    if (manifest == nullptr) return FileSource::manifest();
    return std::shared_ptr<const std::vector<std::byte>>(manifest, &manifest->bytes());
  }

 private:
  const std::shared_ptr<const net::FileSource> source_;
  const std::shared_ptr<PieceTable> table_;
};

}  // namespace

PieceTable::PieceTable(uint64_t total_bytes) : total_bytes_(total_bytes), known_(piece_count(total_bytes)) {}

Result<std::vector<net::Digest>> PieceTable::hashes(const net::FileSource& source, uint64_t first, uint64_t count) {
  const uint64_t pieces = piece_count(total_bytes_);
  if (first > pieces || count > pieces - first) return fail(ErrorCode::kInvalidArgument, "pieces beyond the file");
  std::vector<net::Digest> result(count);
  std::vector<std::byte> buffer;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t piece = first + i;
    {
      const std::lock_guard lock(mutex_);
      if (manifest_ != nullptr || known_[piece]) {
        result[i] = manifest_ != nullptr ? manifest_->hash(piece) : *known_[piece];
        continue;
      }
    }
    const ByteRange range = piece_range(piece, total_bytes_);
    buffer.resize(range.size());
    EXO_CHECK_OK(source.read(range.begin, buffer));  // unlocked: others may hash other pieces, or even this one
    result[i] = net::sha256(buffer);
    const std::lock_guard lock(mutex_);
    if (manifest_ != nullptr || known_[piece]) continue;
    known_[piece] = result[i];
    if (++n_known_ < pieces) continue;
    std::vector<net::Digest> all;
    for (const auto& hash : known_) all.push_back(*hash);
    manifest_ = std::make_shared<const ContentManifest>(total_bytes_, all);
    known_ = {};
  }
  return result;
}

std::optional<uint64_t> PieceTable::unknown_from(uint64_t from) const {
  const std::lock_guard lock(mutex_);
  for (uint64_t piece = from; piece < known_.size(); ++piece) {
    if (!known_[piece]) return piece;
  }
  return std::nullopt;
}

std::shared_ptr<const ContentManifest> PieceTable::manifest() const {
  const std::lock_guard lock(mutex_);
  return manifest_;
}

void PieceTable::adopt(ContentManifest manifest) {
  const std::lock_guard lock(mutex_);
  if (manifest.pieces() != piece_count(total_bytes_)) return;
  manifest_ = std::make_shared<const ContentManifest>(std::move(manifest));
  known_ = {};
}

std::shared_ptr<const net::FileSource> with_hashes(std::shared_ptr<const net::FileSource> source,
                                                   std::shared_ptr<PieceTable> table) {
  return std::make_shared<HashedSource>(std::move(source), std::move(table));
}

}  // namespace exo::store
