#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "app/http_client.h"
#include "app/live_view.h"
#include "app/logging.h"
#include "app/options.h"
#include "base/log.h"

namespace exo::app {
namespace {

TEST(Options, MemoryInTheFormsThatPeopleWrite) {
  EXPECT_EQ(*parse_bytes("4GiB"), 4ull << 30);
  EXPECT_EQ(*parse_bytes("4G"), 4ull << 30);
  EXPECT_EQ(*parse_bytes("800 MB"), 800'000'000u);
  EXPECT_EQ(*parse_bytes("1.5k"), 1536u);
  EXPECT_EQ(*parse_bytes("123"), 123u);
  for (const char* text : {"", "GiB", "4 potatoes", "-1G", "1e30G", "nan"}) EXPECT_FALSE(parse_bytes(text)) << text;
}

TEST(Options, ManualStages) {
  NodeOptions options;
  options.strategy = "manual";
  options.manual = {"study=12", "a=b=3"};
  const auto request = placement_request(options);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->manual[0].node, "study");
  EXPECT_EQ(request->manual[1].node, "a=b");
  EXPECT_EQ(request->manual[1].n_layers, 3);
  for (const char* text : {"study", "study=", "=4", "study=0", "study=x", "study=4x"}) {
    options.manual = {text};
    EXPECT_FALSE(placement_request(options)) << text;
  }
}

TEST(Options, CombinationsThatMakeNoSenseAreRefused) {
  NodeOptions options;
  EXPECT_TRUE(complete_options(options));
  EXPECT_FALSE(options.name.empty());
  EXPECT_FALSE(options.data_dir.empty());
  options.strategy = "fastest-of-all";
  EXPECT_FALSE(complete_options(options));
  options.strategy = "manual";
  EXPECT_FALSE(complete_options(options)) << "manual needs stages";
  options.strategy = "single";
  options.context_tokens = 1;
  EXPECT_FALSE(complete_options(options));
}

TEST(NodeUrl, FormsAndMistakes) {
  EXPECT_EQ(parse_node_url("http://10.0.0.1:8080/v1")->host, "10.0.0.1");
  EXPECT_EQ(parse_node_url("http://10.0.0.1:8080/v1")->port, "8080");
  EXPECT_EQ(parse_node_url("box.local")->port, "52415");
  EXPECT_EQ(parse_node_url("[::1]:1234")->host, "::1");
  for (const char* text : {"", "https://x", "x:y", ":80"}) EXPECT_FALSE(parse_node_url(text)) << text;
}

ViewState two_devices() {
  ViewState state;
  state.version = "0.1.0";
  state.api_url = "http://127.0.0.1:52415";
  state.members.resize(2);
  state.members[0].id.bytes[0] = 1;
  state.members[0].name = "study";
  state.members[0].device.memory_budget_bytes = 3ull << 30;
  state.members[1].id.bytes[0] = 2;
  state.members[1].name = "kitchen";
  state.members[1].device.memory_budget_bytes = 1ull << 30;
  state.members[0].links.push_back({state.members[1].id, "eth0", 250, 0});
  cluster::InstanceView view;
  view.record.model_name = "exo-demo";
  view.record.stages = {{state.members[0].id, {LayerIndex(0), LayerIndex(6)}},
                        {state.members[1].id, {LayerIndex(6), LayerIndex(8)}}};
  view.statuses.resize(2);
  view.statuses[0].state = wire::StageState::kReady;
  view.statuses[1].done_bytes = 1 << 20;
  view.statuses[1].total_bytes = 2 << 20;
  state.instances.push_back(view);
  state.refusals.push_back({"10.0.0.9:1", "stranger", "its secret differs"});
  return state;
}

TEST(LiveView, ShowsWhoHoldsWhatAndWhoWasRefused) {
  const auto frame = render_view(two_devices(), 200, false);
  for (const char* part : {"study (this)", "kitchen", "4.0 GiB", "layers 0–5", "layers 6–7", "0.25 ms eth0",
                           "1.0 MiB of 2.0 MiB", "its secret differs"}) {
    EXPECT_NE(frame.find(part), std::string::npos) << part << "\n" << frame;
  }
}

TEST(LiveView, NoLineIsWiderThanTheTerminal) {
  for (int columns : {40, 57, 80}) {
    for (bool colour : {false, true}) {
      const auto frame = render_view(two_devices(), columns, colour);
      for (size_t begin = 0, end; (end = frame.find('\n', begin)) != std::string::npos; begin = end + 1) {
        EXPECT_LE(display_width(std::string_view(frame).substr(begin, end - begin)), columns);
      }
    }
  }
}

TEST(LiveView, APeersNameCannotSteerTheTerminal) {
  auto state = two_devices();
  state.members[1].name = "kit\x1b[2Jchen\n\r";
  state.refusals[0].reason =
      "\x1b]0;title\x07 \xC2\x9b"
      "2J";
  const auto frame = render_view(state, 200, false);
  EXPECT_EQ(frame.find('\x1b'), std::string::npos);
  EXPECT_EQ(frame.find('\r'), std::string::npos);
  EXPECT_EQ(frame.find("\xC2\x9b"), std::string::npos) << "the same as ESC [ for many terminals";
  EXPECT_NE(frame.find("kit?[2Jchen"), std::string::npos);
}

TEST(Logging, APeersNameCannotSteerTheTerminalNorMakeLinesUp) {
  const auto path = std::filesystem::temp_directory_path() / fmt::format("exo-log-{}", getpid());
  ASSERT_TRUE(install_logging("info", path));
  log_warning("cluster", "{} is gone", "kit\x1b[2Jchen\n\xC2\x9B\xFFü");
  set_log_sink({}, LogLevel::kWarning);
  std::ifstream file(path);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  EXPECT_TRUE(text.ends_with("cluster: kit?[2Jchen???ü is gone\n")) << text;
  std::filesystem::remove(path);
}

TEST(HumanBytes, Units) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes(3ull << 40), "3.0 TiB");
}

}  // namespace
}  // namespace exo::app
