// The weights of a model from one device, or from two, to another over the loopback interface: TLS, HTTP, proofs,
// the file. With the hashes of the pieces made as they are asked for, and with a manifest that is there.
//
//   transfer_bench FOLDER [MIB]     FOLDER: for the files, best in memory (/dev/shm)

#include <chrono>
#include <cstdio>
#include <fstream>
#include <future>
#include <string>

#include "formats/gguf_writer.h"
#include "net/test_node.h"
#include "store/model_store.h"
#include "store/partial_file.h"
#include "store/shard_fetcher.h"

namespace exo::store {
namespace {

namespace fs = std::filesystem;

void write_model(const fs::path& path, int mib) {
  formats::GgufWriter writer;
  writer.set("general.architecture", "llama");
  for (int i = 0; i < mib / 4; ++i)
    writer.add_tensor(fmt::format("blk.{}.weight", i), ElementType::kF32, {1024, 1024});
  const auto fill = [](const formats::GgufWriter::Tensor& tensor, uint64_t offset, std::span<std::byte> piece) {
    for (size_t i = 0; i < piece.size(); ++i) piece[i] = static_cast<std::byte>((tensor.offset + offset + i) >> 3);
    return Status();
  };
  const auto bytes = writer.encode(fill).value();
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

Result<RangeSet> everything(const formats::GgufFile& file, const net::FileLayout& layout) {
  RangeSet ranges;
  for (const auto& tensor : file.tensors()) ranges.add(tensor_range(layout, tensor));
  return ranges;
}

struct Owner {
  explicit Owner(const fs::path& data) : store({.data_dir = data}) {
    node.loop.run_and_wait(
        [&] { node.network.set_file_source([&](std::string_view id) { return store.file_source(id); }); });
  }
  ModelStore store;
  net::TestNode node{"owner"};
};

void run(const fs::path& folder, int mib, size_t n_owners, bool with_manifest) {
  std::vector<std::unique_ptr<Owner>> owners;
  std::vector<NodeId> sources;
  std::vector<std::string> seeds;
  for (size_t i = 0; i < n_owners; ++i) {
    owners.push_back(std::make_unique<Owner>(folder / "owner"));
    sources.push_back(owners.back()->node.id());
    seeds.push_back(owners.back()->node.address());
  }
  ModelStore& store = owners.front()->store;
  const std::string id = store.models().front().fingerprint;
  ContentPin pin{sources.front(), ""};
  if (with_manifest) {
    const auto source = store.file_source(id);
    if (!source->piece_hashes(0, piece_count(source->layout().total_bytes()))) std::exit(1);
    pin.root = store.content_root(id);
  }
  net::TestNode asker("asker", [&](net::NetworkOptions& o) { o.seeds = seeds; });
  if (!asker.wait_for_links(n_owners)) std::exit(1);
  fs::remove_all(folder / "asker");
  std::promise<Result<std::shared_ptr<PartialFile>>> done;
  std::unique_ptr<ShardFetcher> fetcher;
  const auto begin = std::chrono::steady_clock::now();
  asker.loop.run_and_wait([&] {
    fetcher = std::make_unique<ShardFetcher>(asker.loop, asker.network, folder / "asker");
    fetcher->fetch({id, "m", pin, sources, {}, everything}, {},
                   [&](auto result) { done.set_value(std::move(result)); });
  });
  const auto file = done.get_future().get();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("%zu source%s, %s: %s, %.0f MB/s\n", n_owners, n_owners == 1 ? " " : "s",
              with_manifest ? "manifest known    " : "hashed when asked ",
              file ? "right" : file.error().message.c_str(), mib * 1.048576 / seconds);
  asker.loop.run_and_wait([&] { fetcher.reset(); });
}

}  // namespace
}  // namespace exo::store

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "transfer_bench FOLDER [MIB]\n"), 2;
  const std::filesystem::path folder = std::filesystem::path(argv[1]) / "exo-transfer-bench";
  const int mib = argc > 2 ? std::atoi(argv[2]) : 512;
  exo::store::write_model(folder / "owner/models/m.gguf", mib);
  for (int round = 0; round < 3; ++round) {
    for (const size_t owners : {1, 2}) {
      for (const bool with_manifest : {false, true}) exo::store::run(folder, mib, owners, with_manifest);
    }
  }
  std::filesystem::remove_all(folder);
  return 0;
}
