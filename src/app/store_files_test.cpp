// Two nodes of which one has a whole model and the other parts of it, over real links.

#include "app/store_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cluster/testing/fake_stage_host.h"
#include "cluster/testing/simulated_cluster.h"
#include "net/test_node.h"
#include "store/partial_file.h"
#include "store/testing/fake_peers.h"

namespace exo::app {
namespace {

using namespace store::testing;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Member {
  explicit Member(const std::string& name, const std::vector<std::string>& seeds = {})
      : node(name, [&](net::NetworkOptions& o) { o.seeds = seeds; }),
        host(node.loop),
        cluster(node.loop, node.network, host, {}, facts(name)) {
    node.loop.run_and_wait([this] { cluster.start(); });
  }
  ~Member() { node.shut_down(); }
  static wire::NodeFacts facts(const std::string& name) {
    wire::NodeFacts facts;
    facts.name = name;
    facts.incarnation = 1;
    return facts;
  }
  void offer(const std::string& fingerprint, const std::string& root) {
    node.loop.run_and_wait([&] {
      cluster.update_self([&](wire::NodeFacts& self) {
        auto model = cluster::testing::small_model("m", 8, 1 << 20);
        model.fingerprint = fingerprint;
        self.models = {{model, true, root}};
      });
    });
  }

  net::TestNode node;
  cluster::testing::FakeStageHost host;
  cluster::Cluster cluster;
};

class ConfirmParts : public testing::Test {
 protected:
  ConfirmParts() {
    write_file(there.path() / "models/m.gguf", model);
    store = std::make_unique<store::ModelStore>(store::StoreOptions{.data_dir = there.path()});
    store->refresh();
    origin.node.loop.run_and_wait([this] {
      origin.node.network.set_file_source([this](std::string_view f) { return store->file_source(f); });
    });
  }
  // The first pieces, with the hashes that the origin told when it did not know its root.
  void keep_parts(uint64_t pieces, std::optional<uint64_t> wrong) {
    const auto source = store::memory_source(model, header_bytes(model));
    const auto part = store::PartialFile::create(here.path() / "shards", id, "m", source->layout()).value();
    const auto manifest = manifest_of(model);
    ASSERT_TRUE(part->write(0, std::span(model).first(pieces * net::kPieceBytes)));
    for (uint64_t piece = 0; piece < pieces; ++piece) {
      auto hash = manifest.hash(piece);
      if (piece == wrong) hash[0] ^= 1;
      ASSERT_TRUE(part->note_checked(piece, hash));
    }
    ASSERT_TRUE(part->commit());
  }
  void tell_root() {
    ASSERT_TRUE(store->file_source(id)->piece_hashes(0, store::piece_count(model.size())));
    origin.offer(id, store->content_root(id));
  }
  // What confirm_parts of the other node says, when it knows of the origin's offer and, if told, root.
  std::vector<std::string> confirm(bool root_is_told) {
    Member asker("asker", {origin.node.address()});
    const auto knows = [&] {
      return asker.node.ask([&] {
        const auto pin = asker.cluster.content(id);
        return pin.origin == origin.node.id() && pin.root.empty() != root_is_told;
      });
    };
    for (int i = 0; i < 500 && !knows(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_TRUE(knows());
    NodeOptions options;
    options.data_dir = here.path();
    StoreFiles files(options, asker.node.loop, asker.node.network);
    files.connect(asker.cluster);
    auto differing = files.confirm_parts();
    files.stop_hashing();
    asker.node.loop.run_and_wait([&] { files.stop(); });
    return differing;
  }
  bool has_manifest() {
    return store::PartialFile::open(here.path() / "shards", id).value()->manifest().has_value();
  }

  TempDir there, here;
  const std::vector<std::byte> model = large_model(1);
  const std::string id = fingerprint(model);
  std::unique_ptr<store::ModelStore> store;
  Member origin{"origin"};
};

TEST_F(ConfirmParts, WhatTheOriginToldIsComparedOnceItsRootIsKnown) {
  keep_parts(4, {});
  origin.offer(id, "");
  EXPECT_THAT(confirm(false), IsEmpty());
  EXPECT_FALSE(has_manifest()) << "nothing is known yet";
  tell_root();
  EXPECT_THAT(confirm(true), IsEmpty());
  EXPECT_TRUE(has_manifest());
}

TEST_F(ConfirmParts, AnOriginThatToldOtherHashesIsFoundOut) {
  keep_parts(4, 2);
  tell_root();
  EXPECT_THAT(confirm(true), ElementsAre(id));
  EXPECT_TRUE(has_manifest());
  EXPECT_THAT(confirm(true), IsEmpty()) << "said once: the stages that were loaded from it have failed";
}

TEST_F(ConfirmParts, WithoutAnybodyWhoHasTheManifestNothingIsSaid) {
  keep_parts(4, 2);
  origin.offer(id, manifest_of(model).root());  // its store has not computed it
  EXPECT_THAT(confirm(true), IsEmpty());
  EXPECT_FALSE(has_manifest()) << "asked again later";
}

}  // namespace
}  // namespace exo::app
