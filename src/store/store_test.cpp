#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>

#include "store/model_store.h"
#include "store/partial_file.h"
#include "store/testing/fake_peers.h"

namespace exo::store {
namespace {

using namespace store::testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

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
  EXPECT_EQ(source->piece_hashes(0, piece_count(whole.size()))->at(0),
            net::sha256(std::span(whole).first(std::min<size_t>(whole.size(), net::kPieceBytes))));
  EXPECT_EQ(store.content_root(stored->fingerprint), manifest_of(whole).root()) << "hashed as what it stands for";
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

}  // namespace
}  // namespace exo::store
