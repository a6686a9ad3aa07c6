#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <future>
#include <map>
#include <thread>

#include "formats/gguf_writer.h"
#include "net/crypto.h"
#include "net/test_node.h"
#include "store/fingerprint.h"
#include "store/model_store.h"
#include "store/partial_file.h"
#include "store/shard_fetcher.h"

namespace exo::store {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

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

// A GGUF file of `tensors` tensors of 64 KiB, whose bytes depend on `seed`.
std::vector<std::byte> tiny_model(int seed, int tensors = 8) {
  formats::GgufWriter writer;
  writer.set("general.architecture", "llama");
  writer.set("general.name", "tiny " + std::to_string(seed));
  for (int i = 0; i < tensors; ++i)
    writer.add_tensor(fmt::format("blk.{}.weight", i), ElementType::kF32, {128, 128});
  const auto fill = [seed](const formats::GgufWriter::Tensor& tensor, uint64_t offset, std::span<std::byte> piece) {
    for (size_t i = 0; i < piece.size(); ++i) {
      const uint64_t at = tensor.offset + offset + i;
      piece[i] = static_cast<std::byte>(at * 31 + (at >> 8) * 7 + static_cast<uint64_t>(seed));
    }
    return Status();
  };
  return writer.encode(fill).value();
}

void write_file(const fs::path& path, std::span<const std::byte> bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), std::streamsize(bytes.size()));
}

uint64_t header_bytes(std::span<const std::byte> model) { return formats::GgufFile::parse(model)->data_offset(); }
std::string fingerprint(std::span<const std::byte> model) {
  const auto source = memory_source(model, header_bytes(model));
  return fingerprint_of(*source, source->layout()).value();
}

TEST(RangeSet, JoinsAcrossSmallGaps) {
  const auto set_of = [](std::vector<ByteRange> ranges) { return RangeSet(ranges); };
  const RangeSet ranges = set_of({{0, 10}, {20, 30}, {41, 50}});
  EXPECT_EQ(ranges.joined(9), ranges);
  EXPECT_EQ(ranges.joined(10), set_of({{0, 30}, {41, 50}}));
  EXPECT_EQ(ranges.joined(11), set_of({{0, 50}}));
  EXPECT_EQ(RangeSet().joined(11), RangeSet());
}

TEST(Fingerprint, TellsTrainingsOfOneModelApart) {
  const auto one = tiny_model(1);
  auto other = one;
  for (size_t i = header_bytes(one); i < other.size(); ++i) other[i] ^= std::byte{1};  // the headers are the same
  EXPECT_NE(fingerprint(one), fingerprint(other));
  EXPECT_EQ(fingerprint(one), fingerprint(tiny_model(1)));
}

TEST(RangeSet, MergesFindsAndSubtracts) {
  RangeSet set;
  set.add({10, 20});
  set.add({30, 40});
  set.add({20, 25});
  set.add({5, 5});
  EXPECT_THAT(set.ranges(), ElementsAre(ByteRange{10, 25}, ByteRange{30, 40}));
  EXPECT_TRUE(set.contains({12, 25}));
  EXPECT_FALSE(set.contains({24, 31}));
  EXPECT_EQ(set.total_bytes(), 25u);
  RangeSet wanted;
  wanted.add({0, 50});
  const RangeSet rest = wanted.without(set);
  EXPECT_THAT(rest.ranges(), ElementsAre(ByteRange{0, 10}, ByteRange{25, 30}, ByteRange{40, 50}));
  EXPECT_EQ(set.without(wanted), RangeSet());
  set.add({24, 31});
  EXPECT_THAT(set.ranges(), ElementsAre(ByteRange{10, 40}));
}

TEST(RangeSet, AgreesWithABitmapOnRandomRanges) {
  std::srand(7);
  for (int round = 0; round < 200; ++round) {
    RangeSet a, b;
    std::vector<int> bits_a(64), bits_b(64);
    for (int i = 0; i < 6; ++i) {
      const uint64_t x = uint64_t(std::rand()) % 64, y = uint64_t(std::rand()) % 65;
      a.add({std::min(x, y), std::max(x, y)});
      for (uint64_t p = std::min(x, y); p < std::max(x, y); ++p) bits_a[p] = 1;
      const uint64_t z = uint64_t(std::rand()) % 60;
      b.add({z, z + 4});
      for (uint64_t p = z; p < z + 4; ++p) bits_b[p] = 1;
    }
    const RangeSet rest = a.without(b);
    for (uint64_t p = 0; p < 64; ++p) {
      EXPECT_EQ(a.contains({p, p + 1}), bits_a[p] == 1);
      EXPECT_EQ(rest.contains({p, p + 1}), bits_a[p] == 1 && bits_b[p] == 0);
    }
  }
}

// ---- ModelStore

TEST(ModelStore, FindsByNamePrefixPathAndFingerprint) {
  TempDir dir, elsewhere;
  const auto one = tiny_model(1), two = tiny_model(2), three = tiny_model(3), built_in = tiny_model(4);
  write_file(dir.path() / "models/Tiny-One.gguf", one);
  write_file(dir.path() / "models/sub/tiny-two.gguf", two);
  write_file(dir.path() / "models/copy-of-one.gguf", one);
  write_file(dir.path() / "models/broken.gguf", std::span(one).first(100));
  write_file(elsewhere.path() / "other/three.gguf", three);
  ModelStore store({.data_dir = dir.path(), .embedded = {{"exo-demo", built_in}}});
  ASSERT_EQ(store.models().size(), 3u);
  ASSERT_TRUE(store.find("TINY-ONE").has_value() && store.find("tiny-t").has_value());
  EXPECT_EQ(store.find("TINY-ONE")->fingerprint, fingerprint(one));
  EXPECT_EQ(store.find("tiny-t")->name, "tiny-two");
  EXPECT_EQ(store.find("tiny-").error().code, ErrorCode::kInvalidArgument) << "two fit";
  EXPECT_EQ(store.find(fingerprint(two))->name, "tiny-two");
  EXPECT_EQ(store.find(fingerprint(two).substr(0, 10))->name, "tiny-two");
  const auto missing = store.find("llama");
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("exo-demo"));
  EXPECT_EQ(store.find((elsewhere.path() / "other").string())->name, "three");
  EXPECT_EQ(store.find((elsewhere.path() / "other/three.gguf").string())->fingerprint, fingerprint(three));
  EXPECT_EQ(store.models().size(), 4u) << "what was named by path belongs to the store";
  EXPECT_EQ(store.find((dir.path() / "models/broken.gguf").string()).error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(ModelStore::open(*store.find("exo-demo"))->tensors().size(), 8u);
  EXPECT_EQ(ModelStore::open(*store.find("tiny-two"))->tensors().size(), 8u);
}

TEST(ModelStore, RefreshSeesNewAndRemovedFiles) {
  TempDir dir;
  ModelStore store({.data_dir = dir.path()});
  EXPECT_FALSE(store.refresh());
  write_file(dir.path() / "models/new.gguf", tiny_model(1));
  EXPECT_TRUE(store.refresh());
  EXPECT_TRUE(store.find("new").has_value());
  EXPECT_FALSE(store.refresh());
  fs::remove(dir.path() / "models/new.gguf");
  EXPECT_TRUE(store.refresh());
  EXPECT_TRUE(store.models().empty());
}

TEST(ModelStore, ServesWhatItHas) {
  TempDir dir;
  const auto model = tiny_model(1);
  write_file(dir.path() / "models/m.gguf", model);
  ModelStore store({.data_dir = dir.path()});
  const auto source = store.file_source(fingerprint(model));
  ASSERT_TRUE(source);
  std::vector<std::byte> bytes(1000);
  ASSERT_TRUE(source->read(5000, bytes));
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), model.begin() + 5000));
  EXPECT_FALSE(source->read(model.size() - 10, bytes));
  EXPECT_FALSE(source->has(UINT64_MAX, 2));
  EXPECT_FALSE(store.file_source(std::string(64, 'a')));
  EXPECT_FALSE(store.file_source("../../etc/passwd"));
}

// Half precision, so that there is something to quantise.
std::vector<std::byte> plain_model() {
  formats::GgufWriter writer;
  writer.set("general.architecture", "llama");
  for (int i = 0; i < 3; ++i)
    writer.add_tensor(fmt::format("blk.{}.ffn_up.weight", i), ElementType::kF16, {256, 100});
  const auto fill = [](const formats::GgufWriter::Tensor&, uint64_t, std::span<std::byte> piece) {
    for (size_t i = 0; i < piece.size(); ++i) piece[i] = static_cast<std::byte>(i % 2 ? 0x38 + i % 5 : i * 7);
    return Status();
  };
  return writer.encode(fill).value();
}

TEST(ModelStore, QuantisedModelsAreServedAsTheFilesTheyStandFor) {
  TempDir dir, other;
  write_file(dir.path() / "models/m.gguf", plain_model());
  write_file(other.path() / "models/m.gguf", plain_model());
  ModelStore store({.data_dir = dir.path(), .quantise = ElementType::kQ8_0});
  const auto stored = store.find("m");
  ASSERT_TRUE(stored) << stored.error().message;
  EXPECT_EQ(stored->name, "m-Q8_0");
  EXPECT_NE(stored->fingerprint, fingerprint(plain_model())) << "other bytes, another model";
  EXPECT_EQ(ModelStore::open(*stored)->tensors()[0].type, ElementType::kQ8_0);

  const auto source = store.file_source(stored->fingerprint);
  ASSERT_TRUE(source);
  ASSERT_EQ(source->layout(), stored->layout);
  std::vector<std::byte> whole(stored->total_bytes());
  for (size_t at = 0; at < whole.size(); at += 1000) {
    ASSERT_TRUE(source->read(at, std::span(whole).subspan(at, std::min<size_t>(1000, whole.size() - at))));
  }
  EXPECT_FALSE(source->read(whole.size() - 10, std::span(whole).first(11)));
  EXPECT_EQ(fingerprint(whole), stored->fingerprint);
  const auto file = formats::GgufFile::parse(whole);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->tensors()[2].type, ElementType::kQ8_0);

  ModelStore second({.data_dir = other.path(), .quantise = ElementType::kQ8_0});
  EXPECT_EQ(second.find("m")->fingerprint, stored->fingerprint) << "every device makes the same file of it";
  ModelStore unchanged({.data_dir = dir.path()});
  EXPECT_EQ(unchanged.find("m")->fingerprint, fingerprint(plain_model()));
}

TEST(ModelStore, ModelFilesThatChangeBelowAViewAreNoticed) {
  TempDir dir;
  write_file(dir.path() / "models/m.gguf", plain_model());
  ModelStore store({.data_dir = dir.path(), .quantise = ElementType::kQ8_0});
  const auto source = store.file_source(store.find("m")->fingerprint);
  ASSERT_TRUE(source);
  fs::remove(dir.path() / "models/m.gguf");
  write_file(dir.path() / "models/m.gguf", tiny_model(1));
  std::vector<std::byte> bytes(100);
  EXPECT_EQ(source->read(0, bytes).error().code, ErrorCode::kCorrupt);
}

// ---- PartialFile

TEST(PartialFile, KeepsItsRangesOverARestart) {
  TempDir dir;
  const auto model = tiny_model(1);
  const auto layout = memory_source(model, header_bytes(model))->layout();
  const std::string id = fingerprint(model);
  {
    auto file = PartialFile::create(dir.path(), id, "m\n\x1b[31m", layout).value();
    ASSERT_TRUE(file->write(100, std::span(model).subspan(100, 200)));
    ASSERT_TRUE(file->commit());
    ASSERT_TRUE(file->write(1000, std::span(model).subspan(1000, 50)));  // not committed
    EXPECT_TRUE(file->has(1000, 50));
    EXPECT_FALSE(file->write(model.size() - 1, std::span(model).first(2)));
    EXPECT_FALSE(file->verify_header());
  }
  auto file = PartialFile::open(dir.path(), id).value();
  EXPECT_EQ(file->present(), RangeSet(std::array{ByteRange{100, 300}}));
  EXPECT_EQ(file->name(), "m??[31m");
  std::vector<std::byte> bytes(200);
  ASSERT_TRUE(file->read(100, bytes));
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), model.begin() + 100));
  EXPECT_FALSE(file->read(101, bytes)) << "one byte is missing";
  ASSERT_TRUE(file->write(0, std::span(model).first(header_bytes(model))));
  EXPECT_TRUE(file->verify_header());
}

TEST(PartialFile, DamagedOrForeignNotesStartOver) {
  TempDir dir;
  const auto model = tiny_model(1);
  const auto layout = memory_source(model, header_bytes(model))->layout();
  const std::string id = fingerprint(model);
  const fs::path note = dir.path() / (id + ".ranges");
  ASSERT_TRUE(PartialFile::create(dir.path(), id, "m", layout).value()->write(0, model));
  auto text = [&] {
    std::ifstream in(note);
    return std::string{std::istreambuf_iterator<char>(in), {}};
  }();
  for (size_t i = 0; i < text.size(); i += 7) {
    std::string bad = text;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    std::ofstream(note) << bad;
    EXPECT_FALSE(PartialFile::open(dir.path(), id)) << i;
    std::ofstream(note) << text.substr(0, i);
    EXPECT_FALSE(PartialFile::open(dir.path(), id)) << i;
  }
  std::ofstream(note) << text;
  fs::resize_file(dir.path() / (id + ".gguf"), 10);
  EXPECT_EQ(PartialFile::open(dir.path(), id).error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(PartialFile::create(dir.path(), id, "m", layout).value()->present(), RangeSet());
  EXPECT_EQ(PartialFile::open(dir.path(), "../" + id).error().code, ErrorCode::kInvalidArgument);
}

TEST(PartialFile, AFullDiskIsSaidAndLeavesNoFalsePromise) {
  TempDir dir;
  const auto model = tiny_model(1);
  const auto layout = memory_source(model, header_bytes(model))->layout();
  const std::string id = fingerprint(model);
  auto file = PartialFile::create(dir.path(), id, "m", layout).value();
  ASSERT_TRUE(file->write(0, std::span(model).first(1000)));
  // A limit on the size of files fails writes in the middle, as a full disk does.
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{4096, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &tight);
  const Status written = file->write(4000, std::span(model).subspan(4000, 2000));
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(written.error().message, HasSubstr("is full"));
  ASSERT_TRUE(file->commit());
  EXPECT_EQ(PartialFile::open(dir.path(), id).value()->present(), RangeSet(std::array{ByteRange{0, 1000}}));
}

// ---- ShardFetcher, over connections that misbehave as told

struct FakePeer {
  std::vector<std::byte> model;
  uint64_t header = 0;
  RangeSet has;                // what it can give; all by default
  std::atomic<int> reads = 0;  // answered
  int fail_after = -1;         // answers before it breaks for good
  bool corrupt = false;        // its bytes do not match their hash
  milliseconds delay{0};
};

class FakeNetwork : public net::FileConnector {
 public:
  NodeId add(std::vector<std::byte> model, const std::function<void(FakePeer&)>& change = {}) {
    NodeId id;
    id.bytes[0] = static_cast<uint8_t>(peers_.size() + 1);
    auto peer = std::make_shared<FakePeer>();
    peer->header = header_bytes(model);
    peer->has.add({0, model.size()});
    peer->model = std::move(model);
    if (change) change(*peer);
    peers_[id] = peer;
    return id;
  }
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
      return memory_source(peer_->model, peer_->header)->layout();
    }
    Result<std::vector<std::byte>> read(const std::string&, uint64_t offset, uint64_t bytes) override {
      std::this_thread::sleep_for(peer_->delay);
      if (cancelled_) return fail(ErrorCode::kCancelled, "cancelled");
      if (peer_->fail_after >= 0 && peer_->reads >= peer_->fail_after)
        return fail(ErrorCode::kUnavailable, "broke");
      if (peer_->corrupt) return fail(ErrorCode::kCorrupt, "the bytes do not match their hash");
      if (!peer_->has.contains({offset, offset + bytes})) return fail(ErrorCode::kNotFound, "not here");
      ++peer_->reads;
      const auto begin = peer_->model.begin() + static_cast<ptrdiff_t>(offset);
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
Result<RangeSet> every_second_tensor(const formats::GgufFile& file, const net::FileLayout& layout) {
  RangeSet ranges;
  for (size_t i = 0; i < file.tensors().size(); i += 2) ranges.add(tensor_range(layout, file.tensors()[i]));
  return ranges;
}

class Fetch : public testing::Test {
 protected:
  Fetch() {
    loop.start();
    loop.run_and_wait([this] { fetcher = std::make_unique<ShardFetcher>(loop, network, dir.path()); });
  }
  ~Fetch() override {
    loop.run_and_wait([this] { fetcher.reset(); });
  }
  Result<std::shared_ptr<PartialFile>> fetch(std::vector<NodeId> sources, const std::string& id) {
    std::promise<Result<std::shared_ptr<PartialFile>>> done;
    loop.run_and_wait([&] {
      fetcher->fetch(
          {id, "m", std::move(sources), every_second_tensor}, [this](const FetchProgress& p) { progress = p; },
          [&](auto result) { done.set_value(std::move(result)); });
    });
    return done.get_future().get();
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
  TempDir dir;
  FakeNetwork network;
  net::EventLoop loop;
  std::unique_ptr<ShardFetcher> fetcher;
  FetchProgress progress;
};

TEST_F(Fetch, BringsHeaderAndChosenTensorsOnly) {
  const auto model = tiny_model(1);
  const NodeId a = network.add(model);
  const auto file = fetch({a}, fingerprint(model));
  ASSERT_TRUE(file.has_value()) << file.error().message;
  expect_right(**file, model);
  EXPECT_EQ((*file)->present().total_bytes(), header_bytes(model) + 4 * 65536);
  EXPECT_EQ(progress.done_bytes, progress.total_bytes);
  EXPECT_EQ(progress.total_bytes, header_bytes(model) + 4 * 65536);
}

TEST_F(Fetch, GoesOnWithOtherSourcesAndResumesLater) {
  const auto model = tiny_model(1, 40);
  const NodeId breaks = network.add(model, [](FakePeer& p) { p.fail_after = 5; });
  const auto first = fetch({breaks}, fingerprint(model));
  ASSERT_FALSE(first.has_value());
  EXPECT_EQ(first.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(first.error().message, HasSubstr("broke"));
  const NodeId good = network.add(model);
  const auto second = fetch({breaks, good}, fingerprint(model));
  ASSERT_TRUE(second.has_value()) << second.error().message;
  expect_right(**second, model);
  EXPECT_EQ(network.peer(good).reads, 20 - 4) << "what had come before was not fetched again";
}

TEST_F(Fetch, SharesTheWorkAndRespectsWhatSourcesLack) {
  const auto model = tiny_model(1, 40);
  const uint64_t half = header_bytes(model) + 20 * 65536;
  const NodeId front = network.add(model, [&](FakePeer& p) { p.has = RangeSet(std::array{ByteRange{0, half}}); });
  const NodeId back = network.add(model, [&](FakePeer& p) {
    p.has = RangeSet(std::array{ByteRange{half, model.size()}});
  });
  const auto file = fetch({front, back}, fingerprint(model));
  ASSERT_TRUE(file.has_value()) << file.error().message;
  expect_right(**file, model);
  EXPECT_EQ(network.peer(back).reads, 10);
  const auto alone = fetch({front}, fingerprint(tiny_model(1, 40)));
  EXPECT_TRUE(alone.has_value()) << "everything is here already";
}

TEST_F(Fetch, CorruptSourceIsReplaced) {
  const auto model = tiny_model(1);
  const NodeId good = network.add(model), bad = network.add(model, [](FakePeer&p) { p.corrupt = true; });
  const auto file = fetch({bad, good}, fingerprint(model));
  ASSERT_TRUE(file.has_value()) << file.error().message;
  expect_right(**file, model);
}

TEST_F(Fetch, WrongHeaderIsRefusedAndLeavesNothing) {
  const auto model = tiny_model(1), other = tiny_model(2);
  const NodeId liar = network.add(other);
  const auto refused = fetch({liar}, fingerprint(model));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt);
  EXPECT_TRUE(fs::is_empty(dir.path()));
  const NodeId honest = network.add(model);
  EXPECT_TRUE(fetch({liar, honest}, fingerprint(model)).has_value());
}

TEST_F(Fetch, NoSourceIsAnError) {
  EXPECT_EQ(fetch({}, std::string(64, 'a')).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(fetch({NodeId{}}, std::string(64, 'a')).error().code, ErrorCode::kUnavailable);
}

TEST_F(Fetch, CancelEndsItAndCallsNothing) {
  const auto model = tiny_model(1, 200);
  const NodeId slow = network.add(model, [](FakePeer& p) { p.delay = milliseconds(20); });
  bool called = false;
  loop.run_and_wait([&] {
    const auto id =
        fetcher->fetch({fingerprint(model), "m", {slow}, every_second_tensor}, {}, [&](auto) { called = true; });
    std::this_thread::sleep_for(milliseconds(50));
    fetcher->cancel(id);
  });
  loop.run_and_wait([] {});
  EXPECT_FALSE(called);
}

// The whole way: two nodes, TLS, HTTP, ranges.
TEST(FetchOverTheNetwork, BringsAShardFromAPeerThatSharesTheSecret) {
  TempDir there, here;
  const auto model = tiny_model(1, 64);
  write_file(there.path() / "models/m.gguf", model);
  ModelStore store({.data_dir = there.path()});
  const auto secret = [](net::NetworkOptions& o) { o.secret = "open sesame"; };
  net::TestNode owner("owner", secret);
  net::TestNode asker("asker", [&](net::NetworkOptions& o) { secret(o), o.seeds = {owner.address()}; });
  owner.loop.run_and_wait(
      [&] { owner.network.set_file_source([&](std::string_view id) { return store.file_source(id); }); });
  ASSERT_TRUE(asker.wait_for_links(1));
  std::promise<Result<std::shared_ptr<PartialFile>>> done;
  std::unique_ptr<ShardFetcher> fetcher;
  asker.loop.run_and_wait([&] {
    fetcher = std::make_unique<ShardFetcher>(asker.loop, asker.network, here.path());
    fetcher->fetch({fingerprint(model), "m", {owner.id()}, every_second_tensor}, {},
                   [&](auto result) { done.set_value(std::move(result)); });
  });
  const auto file = done.get_future().get();
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_EQ((*file)->present().total_bytes(), header_bytes(model) + 32 * 65536);
  std::vector<std::byte> bytes(65536);
  const uint64_t at = header_bytes(model) + 2 * 65536;
  ASSERT_TRUE((*file)->read(at, bytes));
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), model.begin() + static_cast<ptrdiff_t>(at)));
  asker.loop.run_and_wait([&] { fetcher.reset(); });
}

}  // namespace
}  // namespace exo::store
