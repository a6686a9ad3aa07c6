#include "cluster/content.h"

#include <gtest/gtest.h>

#include "cluster/cluster.h"
#include "cluster/testing/simulated_cluster.h"

namespace exo::cluster {
namespace {

using namespace std::chrono_literals;
using testing::SimulatedCluster;
using testing::small_model;

const std::string kModel = small_model("demo", 4, 1).fingerprint;
const std::string kRight(64, 'a'), kWrong(64, 'b');

wire::NodeFacts holder(uint32_t n, const std::string& root, bool complete = true) {
  wire::NodeFacts facts;
  facts.id = SimulatedCluster::id(n);
  facts.models = {{small_model("demo", 4, 1), complete, root}};
  return facts;
}

ContentPin choose(const std::vector<wire::NodeFacts>& nodes) {
  std::vector<const wire::NodeFacts*> pointers;
  for (const auto& node : nodes) pointers.push_back(&node);
  return choose_content(pointers, kModel);
}

TEST(Content, TheCopyOfTheDeviceThatPlacesCounts) {
  EXPECT_EQ(choose({holder(3, kWrong), holder(1, kRight), holder(2, kRight)}),
            (ContentPin{SimulatedCluster::id(3), kWrong}));
  EXPECT_EQ(choose({holder(3, ""), holder(1, kRight)}), (ContentPin{SimulatedCluster::id(3), ""}));
}

TEST(Content, WithoutAnOwnCopyThatOfMostCounts) {
  wire::NodeFacts asked;
  asked.id = SimulatedCluster::id(9);
  EXPECT_EQ(choose({asked, holder(1, kWrong), holder(2, kRight), holder(3, kRight)}),
            (ContentPin{SimulatedCluster::id(2), kRight}));
  EXPECT_EQ(choose({asked, holder(1, ""), holder(2, kRight)}), (ContentPin{SimulatedCluster::id(2), kRight}));
  EXPECT_EQ(choose({asked, holder(2, ""), holder(1, "")}), (ContentPin{SimulatedCluster::id(1), ""}));
  EXPECT_FALSE(choose({holder(9, "", false), holder(1, "", false)}).is_set()) << "parts are nobody's model";
}

TEST(Content, CopiesThatDifferAreNamed) {
  const std::vector nodes{holder(1, kRight), holder(2, kWrong), holder(3, ""), holder(4, kRight)};
  const ContentPin pin{SimulatedCluster::id(1), kRight};
  const auto found = differing_copies(nodes, [&](const std::string&) { return pin; });
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].node, SimulatedCluster::id(2));
  EXPECT_EQ(found[0].origin, SimulatedCluster::id(1));
  EXPECT_EQ(found[0].model_name, "demo");
  EXPECT_TRUE(differing_copies(nodes, [](const std::string&) { return ContentPin{}; }).empty());
}

class PinnedContent : public ::testing::Test {
 protected:
  PinnedContent() { sim.models = {small_model("demo", 12, kMiB)}; }
  void start(std::initializer_list<uint32_t> nodes) {
    for (uint32_t n : nodes) sim.start(n, 16 * kMiB);
    sim.advance(2s);
  }
  void place(uint32_t at, int32_t stages) {
    PlacementRequest request;
    request.min_stages = stages;
    ASSERT_TRUE(sim[at].cluster.ensure_instance(kModel, request));
    sim.advance(2s);
  }
  void tell_root(uint32_t n, const std::string& root) {
    sim[n].cluster.update_self([&](wire::NodeFacts& self) { self.models[0].content_root = root; });
    sim.advance(1s);
  }
  ContentPin record(uint32_t n) { return sim[n].cluster.find_instance(kModel)->record.content; }

  static constexpr uint64_t kMiB = 1 << 20;
  SimulatedCluster sim{1};
};

TEST_F(PinnedContent, TheRootArrivesLaterAndStaysWhenItsOriginDies) {
  start({1, 2, 3});
  place(2, 3);
  for (uint32_t n : {1u, 2u, 3u}) EXPECT_EQ(record(n), (ContentPin{sim.id(2), ""}));
  tell_root(1, kWrong);
  EXPECT_EQ(sim[3].cluster.content(kModel).root, "") << "only the origin's word counts";
  tell_root(2, kRight);
  for (uint32_t n : {1u, 2u, 3u}) EXPECT_EQ(sim[n].cluster.content(kModel), (ContentPin{sim.id(2), kRight}));
  tell_root(2, kWrong);
  EXPECT_EQ(sim[1].cluster.content(kModel).root, kRight) << "a file that is exchanged later does not count";
  sim.kill(2);
  sim.advance(5s);
  for (uint32_t n : {1u, 3u}) {
    EXPECT_EQ(record(n), (ContentPin{sim.id(2), kRight})) << "the next epoch has it in its record";
    EXPECT_TRUE(sim[n].cluster.find_instance(kModel)->ready);
  }
}

TEST_F(PinnedContent, AnOriginThatDiesBeforeItToldTheRootIsReplaced) {
  start({1, 2, 3});
  place(2, 3);
  sim.kill(2);
  sim.advance(5s);
  EXPECT_EQ(record(1), record(3));
  EXPECT_TRUE(record(1).origin == sim.id(1) || record(1).origin == sim.id(3));
}

TEST_F(PinnedContent, ARecordThatMeansWeightsOfNobodyIsNotFollowedForEver) {
  start({1, 2});
  place(1, 2);
  tell_root(1, kRight);
  tell_root(2, kRight);
  auto hostile = sim[1].cluster.find_instance(kModel)->record;
  hostile.epoch.counter += 5;
  hostile.content = {sim.id(77), kWrong};
  hostile.stages.clear();
  hostile.problem = "nowhere";
  sim[2].link.transport().send(sim.id(1), wire::Gossip{{}, {hostile}});
  sim.advance(5s);
  EXPECT_GT(sim[1].cluster.find_instance(kModel)->record.epoch.counter, hostile.epoch.counter);
  EXPECT_EQ(record(1).root, kRight);
  EXPECT_EQ(record(1), record(2));
  EXPECT_TRUE(sim[2].cluster.find_instance(kModel)->ready);
}

TEST_F(PinnedContent, StoppedModelsArePinnedAnew) {
  start({1, 2});
  place(1, 2);
  EXPECT_EQ(record(2).origin, sim.id(1));
  ASSERT_TRUE(sim[2].cluster.stop_instance(kModel));
  sim.advance(1s);
  place(2, 2);
  EXPECT_EQ(record(1).origin, sim.id(2));
}

}  // namespace
}  // namespace exo::cluster
