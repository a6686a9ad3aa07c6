#pragma once
// Models made of nothing, and peers that have them and misbehave as told, for tests of the store.

#include <atomic>
#include <chrono>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <thread>

#include "formats/gguf_writer.h"
#include "net/crypto.h"
#include "store/fingerprint.h"
#include "store/piece_table.h"
#include "store/shard_fetcher.h"

namespace exo::store::testing {

namespace fs = std::filesystem;

class TempDir {
 public:
  TempDir() {
    std::array<uint8_t, 8> random;
    net::random_bytes(random);
    path_ = fs::temp_directory_path() / ("exo-store-test-" + net::to_hex(random));
    fs::create_directories(path_);
  }
  ~TempDir() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// A GGUF file of `tensors` tensors of side × side numbers of 4 bytes, whose bytes depend on `seed`.
inline std::vector<std::byte> tiny_model(int seed, int tensors = 8, int64_t side = 128) {
  formats::GgufWriter writer;
  writer.set("general.architecture", "llama");
  writer.set("general.name", "tiny " + std::to_string(seed));
  for (int i = 0; i < tensors; ++i)
    writer.add_tensor(fmt::format("blk.{}.weight", i), ElementType::kF32, {side, side});
  const auto fill = [seed](const formats::GgufWriter::Tensor& tensor, uint64_t offset, std::span<std::byte> piece) {
    for (size_t i = 0; i < piece.size(); ++i) {
      const uint64_t at = tensor.offset + offset + i;
      piece[i] = static_cast<std::byte>(at * 31 + (at >> 8) * 7 + (at >> 20) * 5 + static_cast<uint64_t>(seed));
    }
    return Status();
  };
  return writer.encode(fill).value();
}
// Tensors of 4 MiB: some of them can be fetched without the others.
inline std::vector<std::byte> large_model(int seed, int tensors = 8) { return tiny_model(seed, tensors, 1024); }

inline void write_file(const fs::path& path, std::span<const std::byte> bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), std::streamsize(bytes.size()));
}

inline uint64_t header_bytes(std::span<const std::byte> model) {
  return formats::GgufFile::parse(model)->data_offset();
}
inline std::string fingerprint(std::span<const std::byte> model) {
  const auto source = memory_source(model, header_bytes(model));
  return fingerprint_of(*source, source->layout()).value();
}
inline ContentManifest manifest_of(std::span<const std::byte> model) {
  PieceTable table(model.size());
  const auto source = memory_source(model, header_bytes(model));
  (void)table.hashes(*source, 0, piece_count(model.size()));
  return *table.manifest();
}

struct FakePeer {
  std::vector<std::byte> model;
  uint64_t header = 0;
  RangeSet has;                       // what it can give; all by default
  std::atomic<int> reads = 0;         // answered
  std::atomic<int> asked_hashes = 0;  // of pieces
  int fail_after = -1;                // answers before it breaks for good
  std::optional<uint64_t> flipped;    // a byte that it sends wrongly
  std::vector<std::byte> claimed;     // the bytes of which it tells the hashes; empty: it tells none
  std::chrono::milliseconds delay{0};
  std::optional<net::FileLayout> layout;  // that it states instead of the model's
  std::function<void()> on_read;          // told of every question for bytes
};

class FakeNetwork : public net::FileConnector {
 public:
  NodeId add(std::vector<std::byte> model, const std::function<void(FakePeer&)>& change = {}) {
    NodeId id;
    id.bytes[0] = static_cast<uint8_t>(peers_.size() + 1);
    auto peer = std::make_shared<FakePeer>();
    peer->header = header_bytes(model);
    peer->has.add({0, model.size()});
    peer->claimed = model;
    peer->model = std::move(model);
    if (change) change(*peer);
    peers_[id] = peer;
    return id;
  }
  void remove(const NodeId& id) { peers_.erase(id); }
  FakePeer& peer(const NodeId& id) { return *peers_.at(id); }

  Result<std::unique_ptr<net::FileConnection>> connect_files(const NodeId& id) override {
    if (!peers_.contains(id)) return fail(ErrorCode::kUnavailable, "gone");
    return std::make_unique<FakeConnection>(peers_.at(id));
  }

 private:
  class FakeConnection : public net::FileConnection {
   public:
    explicit FakeConnection(std::shared_ptr<FakePeer> peer) : peer_(std::move(peer)) {}
    Result<net::FileLayout> layout(const std::string&) override {
      return peer_->layout ? *peer_->layout : memory_source(peer_->model, peer_->header)->layout();
    }
    Result<std::vector<std::byte>> read(const std::string&, uint64_t offset, uint64_t bytes) override {
      if (peer_->on_read) peer_->on_read();
      std::this_thread::sleep_for(peer_->delay);
      if (cancelled_) return fail(ErrorCode::kCancelled, "cancelled");
      if (peer_->fail_after >= 0 && peer_->reads >= peer_->fail_after)
        return fail(ErrorCode::kUnavailable, "broke");
      if (!peer_->has.contains({offset, offset + bytes})) return fail(ErrorCode::kNotFound, "not here");
      ++peer_->reads;
      const auto begin = peer_->model.begin() + static_cast<ptrdiff_t>(offset);
      std::vector<std::byte> sent(begin, begin + static_cast<ptrdiff_t>(bytes));
      const auto& flipped = peer_->flipped;
      if (flipped && *flipped >= offset && *flipped < offset + bytes) sent[*flipped - offset] ^= std::byte{1};
      return sent;
    }
    Result<std::vector<net::Digest>> piece_hashes(const std::string&, uint64_t first, uint64_t count) override {
      if (peer_->claimed.empty()) return fail(ErrorCode::kNotFound, "the whole model is not here");
      peer_->asked_hashes += static_cast<int>(count);
      PieceTable table(peer_->claimed.size());
      return table.hashes(*memory_source(peer_->claimed, peer_->header), first, count);
    }
    Result<std::vector<std::byte>> manifest(const std::string&, uint64_t offset, uint64_t bytes) override {
      if (peer_->claimed.empty()) return fail(ErrorCode::kNotFound, "no manifest");
      const auto all = manifest_of(peer_->claimed).bytes();
      const auto begin = all.begin() + static_cast<ptrdiff_t>(offset);
      return std::vector<std::byte>(begin, begin + static_cast<ptrdiff_t>(bytes));
    }
    void cancel() override { cancelled_ = true; }

   private:
    std::shared_ptr<FakePeer> peer_;
    std::atomic<bool> cancelled_ = false;
  };
  std::map<NodeId, std::shared_ptr<FakePeer>> peers_;
};

// Every second tensor, so that the wanted ranges stay apart.
inline Result<RangeSet> every_second_tensor(const formats::GgufFile& file, const net::FileLayout& layout) {
  RangeSet ranges;
  for (size_t i = 0; i < file.tensors().size(); i += 2) ranges.add(tensor_range(layout, file.tensors()[i]));
  return ranges;
}

}  // namespace exo::store::testing
