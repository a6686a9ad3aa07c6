// Fetching from peers that break, lack, lie; what was fetched before and was damaged; own copies.

#include "store/shard_fetcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "net/test_node.h"
#include "store/header_copy.h"
#include "store/model_store.h"
#include "store/partial_file.h"
#include "store/testing/fake_peers.h"

namespace exo::store {
namespace {

using namespace store::testing;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr uint64_t kMiB = 1 << 20, kTensor = 4 * kMiB;

class Fetch : public ::testing::Test {
 protected:
  Fetch() {
    loop.start();
    start_again();
  }
  ~Fetch() override {
    loop.run_and_wait([this] { fetcher.reset(); });
  }
  void start_again() {
    loop.run_and_wait([this] { fetcher = std::make_unique<ShardFetcher>(loop, network, dir.path()); });
  }
  Result<std::shared_ptr<PartialFile>> fetch(std::vector<NodeId> sources, const std::string& id, ContentPin pin) {
    std::promise<Result<std::shared_ptr<PartialFile>>> done;
    loop.run_and_wait([&] {
      fetcher->fetch(
          {id, "m", std::move(pin), std::move(sources), {}, every_second_tensor},
          [this](const FetchProgress& p) { progress = p; },
          [&](auto result) { done.set_value(std::move(result)); });
    });
    return done.get_future().get();
  }
  // With the root known, as it is soon after a model was placed.
  Result<std::shared_ptr<PartialFile>> fetch(std::vector<NodeId> sources, const std::vector<std::byte>& model) {
    return fetch(std::move(sources), fingerprint(model), ContentPin{NodeId{}, manifest_of(model).root()});
  }
  void expect_right(const PartialFile& file, const std::vector<std::byte>& model) {
    const auto gguf = formats::GgufFile::open(file.path());
    ASSERT_TRUE(gguf.has_value());
    const auto original = formats::GgufFile::parse(model);
    for (size_t i = 0; i < gguf->tensors().size(); ++i) {
      const auto data = gguf->tensors()[i].data, expected = original->tensors()[i].data;
      const bool equal = std::equal(data.begin(), data.end(), expected.begin(), expected.end());
      EXPECT_EQ(equal, i % 2 == 0) << "tensor " << i << ": the wanted ones are right, the others not here";
    }
  }
  void flip(const fs::path& file, uint64_t at) {
    std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
    stream.seekg(static_cast<std::streamoff>(at));
    const char byte = static_cast<char>(stream.get() ^ 1);
    stream.seekp(static_cast<std::streamoff>(at));
    stream.put(byte);
  }
  TempDir dir;
  FakeNetwork network;
  net::EventLoop loop;
  std::unique_ptr<ShardFetcher> fetcher;
  FetchProgress progress;
};

TEST_F(Fetch, BringsHeaderAndThePiecesOfChosenTensorsOnly) {
  const auto model = large_model(1);
  const NodeId a = network.add(model);
  const auto file = fetch({a}, model);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  expect_right(**file, model);
  EXPECT_EQ((*file)->present().total_bytes(), 20 * kMiB) << "tensors lie across five pieces each";
  EXPECT_EQ(progress.done_bytes, progress.total_bytes);
  EXPECT_EQ(progress.total_bytes, 20 * kMiB);
  EXPECT_EQ(network.peer(a).asked_hashes, 0) << "the manifest has them all";
}

TEST_F(Fetch, SeveralAtOnceOfOneModelWriteToOneCopy) {
  const auto nothing = [](const formats::GgufFile&, const net::FileLayout&) {
    return Result<RangeSet>(RangeSet());
  };
  for (int round = 1; round <= 3; ++round) {
    const auto model = large_model(round);
    const NodeId a = network.add(model);
    const ContentPin pin{NodeId{}, manifest_of(model).root()};
    std::array<std::promise<Result<std::shared_ptr<PartialFile>>>, 4> done;
    loop.run_and_wait([&] {
      for (auto& one : done) {
        const bool all = &one == &done[2];
        FetchRequest request{fingerprint(model), "m", pin, {a}, {}, nothing};
        if (all) request.choose = every_second_tensor;
        fetcher->fetch(std::move(request), nullptr, [&one](auto result) { one.set_value(std::move(result)); });
      }
    });
    for (auto& one : done) {
      const auto file = one.get_future().get();
      ASSERT_TRUE(file.has_value()) << file.error().message;
      if (&one == &done[2]) expect_right(**file, model);
    }
    const auto again = PartialFile::open(dir.path(), fingerprint(model));
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ((*again)->present().total_bytes(), 20 * kMiB) << "what the note says";
  }
}

TEST_F(Fetch, GoesOnWithOtherSourcesAndResumesLater) {
  const auto model = large_model(1, 10);
  const NodeId breaks = network.add(model, [](FakePeer& p) { p.fail_after = 5; });
  const auto first = fetch({breaks}, model);
  ASSERT_FALSE(first.has_value());
  EXPECT_EQ(first.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(first.error().message, HasSubstr("broke"));
  const NodeId good = network.add(model);
  start_again();
  const auto second = fetch({breaks, good}, model);
  ASSERT_TRUE(second.has_value()) << second.error().message;
  expect_right(**second, model);
  EXPECT_EQ(network.peer(good).reads, 10 - 4) << "what had come before was not fetched again";
}

TEST_F(Fetch, SharesTheWorkAndRespectsWhatSourcesLack) {
  const auto model = large_model(1, 10);
  const uint64_t half = 18 * kMiB;  // within a run of pieces that is asked for at once
  const NodeId front = network.add(model, [&](FakePeer& p) { p.has = RangeSet(std::array{ByteRange{0, half}}); });
  const NodeId back = network.add(model, [&](FakePeer& p) {
    p.has = RangeSet(std::array{ByteRange{half, model.size()}});
  });
  const auto file = fetch({front, back}, model);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  expect_right(**file, model);
  EXPECT_GE(network.peer(back).reads, 5);
  start_again();
  const int before = network.peer(front).reads;
  EXPECT_TRUE(fetch({front}, model).has_value()) << "everything is here already";
  EXPECT_EQ(network.peer(front).reads, before);
}

TEST_F(Fetch, WrongHeaderIsRefusedAndLeavesNothing) {
  const auto model = large_model(1), other = large_model(2);
  const NodeId liar = network.add(other);
  const auto refused = fetch({liar}, model);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt);
  EXPECT_TRUE(fs::is_empty(dir.path()));
  const NodeId honest = network.add(model);
  EXPECT_TRUE(fetch({liar, honest}, model).has_value());
}

// A member that says the model has a thousand files has none of them made here.
TEST_F(Fetch, NothingIsWrittenBeforeTheHeaderIsProven) {
  const auto model = large_model(1);
  size_t files_seen = 0;
  net::FileLayout many;
  for (size_t i = 0; i < net::kMaxFileParts; ++i) many.parts.push_back({2, 1});
  net::FileLayout huge;
  huge.parts = {{1ull << 40, HeaderCopy::kMostBytes / 2}, {1ull << 40, HeaderCopy::kMostBytes / 2 + 1}};
  for (const auto& lie : {many, huge}) {
    const NodeId liar = network.add(model, [&](FakePeer& p) {
      p.layout = lie;
      p.has.add({0, 1ull << 41});
      p.model.resize(net::kMaxFileParts * 2 + net::kMaxChunkBytes);
      p.on_read = [&] { files_seen += static_cast<size_t>(std::distance(fs::directory_iterator(dir.path()), {})); };
      p.fail_after = 3000;
    });
    const auto refused = fetch({liar}, model);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(network.peer(liar).reads, lie == many ? int{net::kMaxFileParts} : 0);
    EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(files_seen, 0u);
    EXPECT_TRUE(fs::is_empty(dir.path()));
  }
}

TEST_F(Fetch, ALieAboutTheFilesOfAModelDoesNotCostWhatIsHere) {
  const auto model = large_model(1);
  const NodeId honest = network.add(model);
  flip(fetch({honest}, model).value()->path(), 100);
  start_again();
  const NodeId liar = network.add(model, [](FakePeer& p) {
    p.layout = net::FileLayout{.parts = {{9, 8}, {9, 8}}};
  });
  const int before = network.peer(honest).reads;
  const auto file = fetch({liar, honest}, model);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  expect_right(**file, model);
  EXPECT_LE(network.peer(honest).reads, before + 2) << "only the header, and perhaps the piece around it";
}

TEST_F(Fetch, WantOfMemoryFailsTheFetchAndNotTheProcess) {
  const auto model = large_model(1, 10);
  for (const int reads_before : {0, 3}) {  // the header's, and then pieces on threads of their own
    std::atomic<int> reads = 0;
    const NodeId a = network.add(model, [&](FakePeer& p) {
      p.on_read = [&] {
        if (reads++ >= reads_before) throw std::bad_alloc();
      };
    });
    const auto file = fetch({a}, model);
    ASSERT_FALSE(file.has_value());
    EXPECT_EQ(file.error().code, ErrorCode::kResourceExhausted) << file.error().message;
  }
  EXPECT_TRUE(fetch({network.add(model)}, model).has_value()) << "what threw is over";
}

TEST_F(Fetch, NoSourceIsAnError) {
  EXPECT_EQ(fetch({}, std::string(64, 'a'), {}).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(fetch({NodeId{}}, std::string(64, 'a'), {}).error().code, ErrorCode::kUnavailable);
}

TEST_F(Fetch, CancelEndsItAndCallsNothing) {
  const auto model = large_model(1, 20);
  const NodeId slow = network.add(model, [](FakePeer& p) { p.delay = milliseconds(20); });
  const ContentPin pin{NodeId{}, manifest_of(model).root()};
  bool called = false;
  loop.run_and_wait([&] {
    const auto id = fetcher->fetch({fingerprint(model), "m", pin, {slow}, {}, every_second_tensor}, {},
                                   [&](auto) { called = true; });
    std::this_thread::sleep_for(milliseconds(100));
    fetcher->cancel(id);
  });
  loop.run_and_wait([] {});
  EXPECT_FALSE(called);
}

// ---- liars

TEST_F(Fetch, AWeightThatWasChangedUnderTheRightHeaderIsRefused) {
  const auto model = large_model(1);
  const NodeId liar =
      network.add(model, [&](FakePeer& p) { p.flipped = header_bytes(p.model) + 2 * kTensor + 77; });
  const auto refused = fetch({liar}, model);
  ASSERT_FALSE(refused.has_value()) << "it is the only source";
  EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(refused.error().message, HasSubstr(liar.short_hex() + " sent other weights"));
  start_again();
  const NodeId honest = network.add(model);
  const auto file = fetch({liar, honest}, model);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  expect_right(**file, model);
}

TEST_F(Fetch, ALiarAmongHonestSourcesIsLeftOut) {
  const auto model = large_model(1, 12);
  const NodeId liar = network.add(model, [&](FakePeer& p) { p.flipped = header_bytes(p.model) + 77; });
  const NodeId b = network.add(model, [](FakePeer& p) { p.delay = milliseconds(5); });
  const NodeId c = network.add(model, [](FakePeer& p) { p.delay = milliseconds(5); });
  const auto file = fetch({liar, b, c}, model);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  expect_right(**file, model);
  EXPECT_LE(network.peer(liar).reads, 13) << "nothing more after the first lie, which it may have told last";
}

TEST_F(Fetch, AManifestThatIsNotTheAgreedOneCountsNothing) {
  const auto model = large_model(1);
  auto other = model;
  other[header_bytes(model) + 100'000] ^= std::byte{1};  // beyond the sample
  // Weights and hashes fit together, and are those of another model.
  const NodeId liar = network.add(model, [&](FakePeer& p) { p.model = p.claimed = other; });
  const std::string right = manifest_of(model).root();
  const NodeId honest = network.add(model);
  const auto file = fetch({liar, honest}, fingerprint(model), {honest, right});
  ASSERT_TRUE(file.has_value()) << file.error().message;
  expect_right(**file, model);
  network.remove(honest);
  for (const auto& entry : fs::directory_iterator(dir.path())) fs::remove(entry.path());
  network.peer(liar).model = model;
  const auto alone = fetch({liar}, fingerprint(model), {honest, right});
  ASSERT_FALSE(alone.has_value());
  EXPECT_EQ(alone.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(alone.error().message, HasSubstr("cannot be proven"));
}

// ---- before the root is known

TEST_F(Fetch, UntilTheRootIsKnownTheOriginTellsTheHashesOfWhatIsNeeded) {
  const auto model = large_model(1);
  const NodeId liar = network.add(model, [&](FakePeer& p) { p.flipped = header_bytes(p.model) + 77; });
  const NodeId origin = network.add(model, [](FakePeer& p) { p.has = RangeSet(); });  // it is busy, say
  network.peer(origin).has.add({0, header_bytes(model)});
  const ContentPin pin{origin, ""};
  const auto refused = fetch({liar, origin}, fingerprint(model), pin);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("sent other weights"));
  start_again();
  const NodeId honest = network.add(model);
  const auto file = fetch({liar, honest}, fingerprint(model), pin);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  expect_right(**file, model);
  EXPECT_GT(network.peer(origin).asked_hashes, 0);
  EXPECT_EQ(network.peer(honest).asked_hashes, 0) << "its word is not asked for";
}

TEST_F(Fetch, WithoutOriginAndRootNothingIsBelieved) {
  const auto model = large_model(1);
  const NodeId a = network.add(model), origin = network.add(model);
  network.remove(origin);
  for (const ContentPin& pin : {ContentPin{}, ContentPin{origin, ""}}) {
    const auto refused = fetch({a}, fingerprint(model), pin);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  }
}

// ---- what is here from before

TEST_F(Fetch, ADamagedPieceFromBeforeIsFoundAndFetchedAgain) {
  const auto model = large_model(1);
  const NodeId a = network.add(model);
  fs::path path;
  {
    const auto file = fetch({a}, model);
    ASSERT_TRUE(file.has_value()) << file.error().message;
    path = (*file)->path();
  }
  start_again();
  flip(path, header_bytes(model) + 2 * kTensor + 12345);
  const int before = network.peer(a).reads;
  const auto again = fetch({a}, model);
  ASSERT_TRUE(again.has_value()) << again.error().message;
  expect_right(**again, model);
  EXPECT_EQ(network.peer(a).reads, before + 1) << "only the damaged piece";
  network.remove(a);
  start_again();
  const auto third = fetch({a}, model);
  ASSERT_TRUE(third.has_value()) << "all is here, the manifest too: " << third.error().message;
  expect_right(**third, model);
}

TEST_F(Fetch, ADamagedHeaderFromBeforeIsFetchedAgain) {
  const auto model = large_model(1);
  const NodeId a = network.add(model);
  flip(fetch({a}, model).value()->path(), 100);
  start_again();
  const int before = network.peer(a).reads;
  const auto again = fetch({a}, model);
  ASSERT_TRUE(again.has_value()) << again.error().message;
  expect_right(**again, model);
  EXPECT_LE(network.peer(a).reads, before + 2) << "and the piece around it, perhaps";
}

TEST_F(Fetch, WhatAnUnknownRootLetThroughIsComparedWhenTheRootIsThere) {
  const auto model = large_model(1);
  auto other = model;
  other[header_bytes(model) + 100'000] ^= std::byte{1};  // beyond the sample
  // An origin that tells the hashes of other weights, and announces the root of the right ones later.
  const NodeId origin = network.add(model, [&](FakePeer& p) { p.model = p.claimed = other; });
  ASSERT_TRUE(fetch({origin}, fingerprint(model), {origin, ""}).has_value());
  network.peer(origin).model = network.peer(origin).claimed = model;
  start_again();
  const auto file = fetch({origin}, model);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  expect_right(**file, model);
}

// ---- the whole way: nodes, TLS, HTTP, ranges

TEST(FetchOverTheNetwork, BringsAShardFromPeersThatShareTheSecretAlthoughOneLies) {
  TempDir there, here;
  const auto model = large_model(1);
  write_file(there.path() / "models/m.gguf", model);
  ModelStore store({.data_dir = there.path()});
  auto changed = model;
  changed[header_bytes(model) + 100'000] ^= std::byte{1};
  const auto secret = [](net::NetworkOptions& o) { o.secret = "open sesame"; };
  net::TestNode owner("owner", secret), liar("liar", secret);
  net::TestNode asker("asker", [&](net::NetworkOptions& o) {
    secret(o), o.seeds = {owner.address(), liar.address()};
  });
  owner.loop.run_and_wait(
      [&] { owner.network.set_file_source([&](std::string_view id) { return store.file_source(id); }); });
  const auto lie = memory_source(changed, header_bytes(changed));
  liar.loop.run_and_wait([&] { liar.network.set_file_source([&](std::string_view) { return lie; }); });
  ASSERT_TRUE(asker.wait_for_links(2));
  // First with the origin's word for each piece, then with its manifest.
  for (const bool root_is_known : {false, true}) {
    if (root_is_known) {
      const auto source = store.file_source(fingerprint(model));
      ASSERT_TRUE(source->piece_hashes(0, piece_count(model.size())));
      ASSERT_EQ(store.content_root(fingerprint(model)), manifest_of(model).root());
    }
    std::promise<Result<std::shared_ptr<PartialFile>>> done;
    std::unique_ptr<ShardFetcher> fetcher;
    asker.loop.run_and_wait([&] {
      fetcher =
          std::make_unique<ShardFetcher>(asker.loop, asker.network, here.path() / std::to_string(root_is_known));
      const ContentPin pin{owner.id(), store.content_root(fingerprint(model))};
      fetcher->fetch({fingerprint(model), "m", pin, {liar.id(), owner.id()}, {}, every_second_tensor}, {},
                     [&](auto result) { done.set_value(std::move(result)); });
    });
    const auto file = done.get_future().get();
    ASSERT_TRUE(file.has_value()) << file.error().message;
    EXPECT_EQ((*file)->present().total_bytes(), 20 * kMiB);
    std::vector<std::byte> bytes(kTensor);
    for (const uint64_t at : {header_bytes(model), header_bytes(model) + 2 * kTensor}) {
      ASSERT_TRUE((*file)->read(at, bytes));
      EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), model.begin() + static_cast<ptrdiff_t>(at)));
    }
    EXPECT_EQ((*file)->manifest().has_value(), root_is_known);
    asker.loop.run_and_wait([&] { fetcher.reset(); });
  }
}

}  // namespace
}  // namespace exo::store
