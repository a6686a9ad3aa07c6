#include "store/content_proof.h"

#include <algorithm>

#include "base/log.h"

namespace exo::store {

ContentProof::ContentProof(net::FileConnector& connector, ProofRequest request)
    : connector_(connector), request_(std::move(request)) {}

Result<std::shared_ptr<net::FileConnection>> ContentProof::connect(const NodeId& peer) {
  EXO_TRY(auto made, connector_.connect_files(peer));
  std::shared_ptr<net::FileConnection> connection = std::move(made);
  const std::lock_guard lock(mutex_);
  if (cancelled_) return fail(ErrorCode::kCancelled, "cancelled");
  busy_ = connection;
  return connection;
}

void ContentProof::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  if (busy_) busy_->cancel();
}

Result<ContentManifest> ContentProof::manifest_from(const NodeId& peer) {
  EXO_TRY(const auto connection, connect(peer));
  const uint64_t size = ContentManifest::byte_size(request_.total_bytes);
  std::vector<std::byte> bytes;
  while (bytes.size() < size) {
    const uint64_t n = std::min<uint64_t>(net::kMaxChunkBytes, size - bytes.size());
    EXO_TRY(const auto part, connection->manifest(request_.fingerprint, bytes.size(), n));
    bytes.insert(bytes.end(), part.begin(), part.end());
  }
  return ContentManifest::parse(std::move(bytes), request_.total_bytes);
}

Status ContentProof::establish(std::vector<std::byte> kept) {
  if (request_.total_bytes > kMaxContentBytes)
    return fail(ErrorCode::kUnsupported, "a model of {} bytes", request_.total_bytes);
  const ContentPin& pin = request_.pin;
  if (pin.root.empty()) {
    told_.resize(piece_count(request_.total_bytes));
    if (pin.origin != NodeId{}) return {};
    return fail(ErrorCode::kUnavailable, "nobody here can prove the weights of {}: no device has all of it",
                request_.model_name);
  }
  auto manifest = ContentManifest::parse(std::move(kept), request_.total_bytes);
  std::vector<NodeId> peers = request_.sources;
  if (std::ranges::find(peers, pin.origin) == peers.end()) peers.push_back(pin.origin);
  Error last{ErrorCode::kUnavailable, "no device was asked"};
  for (auto peer = peers.begin(); peer != peers.end() && !is_right(manifest); ++peer) {
    manifest = manifest_from(*peer);
    if (is_right(manifest)) break;
    last = manifest ? Error{ErrorCode::kCorrupt, "it has other weights under the same header"} : manifest.error();
    if (last.code == ErrorCode::kCancelled) return std::unexpected(std::move(last));
    log_info("store", "the hashes of {} from {}: {}", request_.model_name, peer->short_hex(), last.message);
  }
  if (is_right(manifest)) {
    manifest_ = std::make_shared<const ContentManifest>(std::move(*manifest));
    return {};
  }
  return fail(ErrorCode::kUnavailable,
              "the weights of {} cannot be proven: no device gave the list of hashes {}…: {}", request_.model_name,
              pin.root.substr(0, 8), last.message);
}

std::optional<net::Digest> ContentProof::known(uint64_t piece) {
  if (manifest_ != nullptr) return manifest_->hash(piece);
  const std::lock_guard lock(mutex_);
  return told_[piece];
}

// The hashes of the piece and its neighbours, from the origin; twice, in case the connection was left idle for too
// long.
Status ContentProof::ask_origin(uint64_t piece) {
  const std::lock_guard asking(asking_);
  if (known(piece)) return {};
  const uint64_t first = piece - piece % net::kMaxPieceHashes;
  const uint64_t count = std::min<uint64_t>(net::kMaxPieceHashes, piece_count(request_.total_bytes) - first);
  Error last;
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (origin_ == nullptr) {
      auto made = connect(request_.pin.origin);
      if (!made) return std::unexpected(std::move(made).error());
      origin_ = std::move(*made);
    }
    const auto hashes = origin_->piece_hashes(request_.fingerprint, first, count);
    if (hashes && hashes->size() == count) {
      const std::lock_guard lock(mutex_);
      std::copy(hashes->begin(), hashes->end(), told_.begin() + static_cast<ptrdiff_t>(first));
      return {};
    }
    last = hashes ? Error{ErrorCode::kCorrupt, "too few hashes"} : hashes.error();
    origin_.reset();
    if (last.code == ErrorCode::kCancelled || last.code == ErrorCode::kNotFound) break;
  }
  return std::unexpected(std::move(last));
}

Result<std::vector<net::Digest>> ContentProof::expected(uint64_t first, uint64_t count) {
  std::vector<net::Digest> result;
  for (uint64_t piece = first; piece < first + count; ++piece) {
    if (Status told = known(piece) ? Status() : ask_origin(piece); !told) {
      return fail(told.error().code == ErrorCode::kCancelled ? ErrorCode::kCancelled : ErrorCode::kUnavailable,
                  "the weights of {} cannot be proven: {}, whose copy counts, says: {}", request_.model_name,
                  request_.pin.origin.short_hex(), told.error().message);
    }
    result.push_back(*known(piece));
  }
  return result;
}

}  // namespace exo::store
