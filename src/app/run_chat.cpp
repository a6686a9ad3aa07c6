#include <chrono>
#include <cstdio>
#include <thread>

#include "app/commands.h"
#include "app/logging.h"
#include "app/node.h"
#include "app/topology_client.h"
#include "net/running_time.h"

namespace exo::app {

namespace {

constexpr auto kDiscoveryTime = std::chrono::milliseconds(1500);  // beacons come every second
constexpr auto kLongestFarewell = std::chrono::seconds(10);

// A node of this process's own, for one command: it joins whoever is there, on ports that disturb nobody.
Result<int> run_with_own_node(NodeOptions options, ChatOptions chat) {
  options.port = 0;
  options.peer_port = 0;
  options.host = "127.0.0.1";
  options.api_key.clear();
  chat.api_key.clear();
  EXO_CHECK_OK(install_logging(options.log_level, options.log_file));
  if (!chat.model.empty() && options.model.empty() && std::filesystem::exists(chat.model)) {
    options.model = chat.model;
    chat.model = std::filesystem::path(chat.model).stem().string();
  }
  EXO_TRY(const auto node, Node::create(options));
  EXO_CHECK_OK(node->start());
  std::this_thread::sleep_for(kDiscoveryTime);
  const int status = run_chat({"127.0.0.1", std::to_string(node->api_port())}, chat);
  // Others may count on this node by now.
  node->depart("its command has ended");
  for (net::RunningDeadline deadline(kLongestFarewell); !node->departure()->leave && !deadline.passed();)
    std::this_thread::sleep_for(net::kPulse);
  node->stop();
  return status;
}

}  // namespace

Result<int> run_chat_command(const NodeOptions& options, const std::string& url_text, const ChatOptions& chat) {
  NodeUrl url{"127.0.0.1", std::to_string(options.port)};
  if (!url_text.empty()) {
    EXO_TRY(url, parse_node_url(url_text));
    return run_chat(url, chat);
  }
  // A file is something that only a node of our own can open.
  if (!std::filesystem::exists(chat.model) && fetch_topology(url, chat.api_key)) return run_chat(url, chat);
  return run_with_own_node(options, chat);
}

}  // namespace exo::app
