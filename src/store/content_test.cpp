// Manifests and tables of hashes, where they are kept, and what is completed in the background.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <random>

#include "store/content_hasher.h"
#include "store/content_manifest.h"
#include "store/manifest_cache.h"
#include "store/model_store.h"
#include "store/piece_check.h"
#include "store/testing/fake_peers.h"

namespace exo::store {
namespace {

using namespace store::testing;
using ::testing::ElementsAre;

constexpr uint64_t kMiB = 1 << 20;

std::vector<std::byte> as_bytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  return {bytes.begin(), bytes.end()};
}

TEST(ContentManifest, HasTheDescribedBytes) {
  net::Digest one{}, two{};
  one.fill(0x11);
  two.fill(0x22);
  const ContentManifest manifest(kMiB + 5, std::array{one, two});
  std::vector<std::byte> expected = as_bytes(std::string_view("EXOHASH1\x05\x00\x10\x00\x00\x00\x00\x00", 16));
  for (const uint8_t byte : {0, 0, 16, 0, 0, 0, 0, 0}) expected.push_back(std::byte{byte});
  expected.resize(24 + 32, std::byte{0x11});
  expected.resize(24 + 64, std::byte{0x22});
  EXPECT_EQ(manifest.bytes(), expected);
  EXPECT_EQ(manifest.root(), net::to_hex(net::sha256(expected)));
  const auto back = ContentManifest::parse(expected, kMiB + 5);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->pieces(), 2u);
  EXPECT_EQ(back->hash(1), two);
  EXPECT_EQ(back->root(), manifest.root());
}

TEST(ContentManifest, WhatIsNotOneIsRefused) {
  const auto model = tiny_model(1);
  const auto bytes = manifest_of(model).bytes();
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(
        ContentManifest::parse({bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size)}, model.size()));
  }
  auto longer = bytes;
  longer.resize(bytes.size() + 32);
  EXPECT_FALSE(ContentManifest::parse(longer, model.size()));
  for (size_t i = 0; i < ContentManifest::kHeaderBytes; ++i) {
    auto other = bytes;
    other[i] ^= std::byte{1};
    EXPECT_FALSE(ContentManifest::parse(other, model.size())) << "byte " << i;
  }
  EXPECT_FALSE(ContentManifest::parse(bytes, model.size() + kMiB));
  EXPECT_FALSE(ContentManifest::parse(bytes, UINT64_MAX)) << "nothing is allocated for what is claimed";
  auto other = bytes;
  other.back() ^= std::byte{1};
  const auto parsed = ContentManifest::parse(other, model.size());
  ASSERT_TRUE(parsed) << "well formed";
  EXPECT_NE(parsed->root(), manifest_of(model).root()) << "and another content";
}

TEST(ContentManifest, PiecesCoverRanges) {
  EXPECT_EQ(piece_count(0), 0u);
  EXPECT_EQ(piece_count(1), 1u);
  EXPECT_EQ(piece_count(2 * kMiB), 2u);
  EXPECT_EQ(piece_range(1, kMiB + 7), (ByteRange{kMiB, kMiB + 7}));
  RangeSet ranges;
  EXPECT_TRUE(pieces_of(ranges).empty());
  ranges.add({10, 20});
  ranges.add({30, kMiB});
  ranges.add({3 * kMiB - 1, 4 * kMiB + 1});
  ranges.add({4 * kMiB + 5, 4 * kMiB + 6});
  EXPECT_THAT(pieces_of(ranges), ElementsAre(0, 2, 3, 4));
}

TEST(PieceTable, HashesEachPieceOnce) {
  const auto model = large_model(1, 2);
  class Counting final : public net::FileSource {
   public:
    explicit Counting(const std::vector<std::byte>& model) : source_(memory_source(model, header_bytes(model))) {}
    const net::FileLayout& layout() const override { return source_->layout(); }
    bool has(uint64_t offset, uint64_t bytes) const override { return source_->has(offset, bytes); }
    Status read(uint64_t offset, std::span<std::byte> out) const override {
      ++reads;
      return source_->read(offset, out);
    }
    mutable int reads = 0;

   private:
    std::shared_ptr<const net::FileSource> source_;
  };
  const Counting source(model);
  PieceTable table(model.size());
  ASSERT_EQ(piece_count(model.size()), 9u);
  EXPECT_EQ(table.unknown_from(0), 0u);
  EXPECT_EQ(table.hashes(source, 2, 3)->at(0), net::sha256(std::span(model).subspan(2 * kMiB, kMiB)));
  EXPECT_EQ(table.hashes(source, 2, 3)->size(), 3u);
  EXPECT_EQ(source.reads, 3);
  EXPECT_EQ(table.unknown_from(2), 5u);
  EXPECT_EQ(table.manifest(), nullptr);
  ASSERT_TRUE(table.hashes(source, 0, 9));
  EXPECT_EQ(source.reads, 9);
  ASSERT_NE(table.manifest(), nullptr);
  EXPECT_EQ(table.manifest()->root(), manifest_of(model).root());
  EXPECT_EQ(table.unknown_from(0), std::nullopt);
  EXPECT_EQ(table.hashes(source, 8, 1)->at(0), net::sha256(std::span(model).subspan(8 * kMiB)));
  EXPECT_EQ(source.reads, 9);
  EXPECT_FALSE(table.hashes(source, 9, 1));
  EXPECT_FALSE(table.hashes(source, 1, UINT64_MAX));
}

TEST(ManifestCache, GivesBackOnlyWhatBelongsToTheFile) {
  TempDir dir;
  const auto model = tiny_model(1);
  const auto manifest = manifest_of(model);
  const ManifestCache cache(dir.path() / "hashes");
  EXPECT_EQ(cache.load("f", "key", model.size()).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(cache.store("f", "key", manifest));
  EXPECT_EQ(cache.load("f", "key", model.size())->root(), manifest.root());
  EXPECT_FALSE(cache.load("f", "kez", model.size()));
  EXPECT_FALSE(cache.load("f", "key", model.size() + kMiB));
  const fs::path file = dir.path() / "hashes/f.hashes";
  std::ifstream in(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  for (size_t i = 0; i < text.size(); i += 3) {
    std::string bad = text;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    std::ofstream(file, std::ios::binary) << bad;
    EXPECT_FALSE(cache.load("f", "key", model.size())) << i;
    std::ofstream(file, std::ios::binary) << text.substr(0, i);
    EXPECT_FALSE(cache.load("f", "key", model.size())) << i;
  }
}

TEST(ModelStore, HashesAFileOnceAndNoticesThatItChanged) {
  TempDir dir;
  auto model = large_model(1, 2);
  const fs::path path = dir.path() / "models/m.gguf";
  write_file(path, model);
  const std::string id = fingerprint(model);
  {
    ModelStore store({.data_dir = dir.path()});
    EXPECT_EQ(store.content_root(id), "");
    EXPECT_FALSE(store.file_source(id)->manifest());
    std::promise<void> done;
    ContentHasher hasher(store, [&] { done.set_value(); });
    hasher.want({id, std::string(64, 'f')}, true);
    ASSERT_EQ(done.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
    EXPECT_EQ(store.content_root(id), manifest_of(model).root());
    EXPECT_EQ(**store.file_source(id)->manifest(), manifest_of(model).bytes());
    EXPECT_FALSE(store.refresh());
    EXPECT_NE(store.content_root(id), "");
  }
  ModelStore store({.data_dir = dir.path()});
  EXPECT_EQ(store.content_root(id), manifest_of(model).root()) << "known from before";
  model[header_bytes(model) + 100'000] ^= std::byte{1};  // beyond the fingerprint's sample
  write_file(path, model);
  ASSERT_EQ(fingerprint(model), id);
  EXPECT_TRUE(store.refresh());
  EXPECT_EQ(store.content_root(id), "");
  ASSERT_TRUE(store.file_source(id)->piece_hashes(0, piece_count(model.size())));
  EXPECT_EQ(store.content_root(id), manifest_of(model).root());
}

TEST(DifferingPieces, AreFoundAndEndWithTheProof) {
  const auto model = large_model(1, 2);
  auto other = model;
  other[3 * kMiB + 5] ^= std::byte{1};
  other[7 * kMiB] ^= std::byte{1};
  FakeNetwork network;
  const NodeId origin = network.add(model);
  const auto source = memory_source(other, header_bytes(other));
  PieceTable table(other.size());
  const auto own = [&](uint64_t piece) -> Result<net::Digest> { return table.hashes(*source, piece, 1)->front(); };
  const std::vector<uint64_t> pieces{0, 1, 2, 3, 7, 8};
  for (const std::string& root : {std::string(), manifest_of(model).root()}) {
    ContentProof proof(network, {"f", "m", model.size(), {origin, root}, {}});
    ASSERT_TRUE(proof.establish());
    uint64_t bytes = 0;
    const auto count = [&](uint64_t n) { return bytes += n, true; };
    const auto found = differing_pieces(pieces, model.size(), own, proof, count);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_THAT(*found, ElementsAre(3, 7));
    EXPECT_EQ(bytes, 5 * kMiB + header_bytes(model));
    const auto stop = [](uint64_t) { return false; };
    EXPECT_EQ(differing_pieces(pieces, model.size(), own, proof, stop).error().code, ErrorCode::kCancelled);
  }
  ContentProof silent(network, {"f", "m", model.size(), {origin, ""}, {}});
  ASSERT_TRUE(silent.establish());
  network.remove(origin);
  EXPECT_EQ(differing_pieces(pieces, model.size(), own, silent, {}).error().code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace exo::store
