#pragma once
// For tests: a node on the loopback interface with its own event loop, which takes down what its transport tells
// it.

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "net/node_network.h"

namespace exo::net {

// Whether `condition` comes to hold; asked every few ms.
inline bool eventually(const std::function<bool()>& condition, Duration limit = std::chrono::seconds(10)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (std::chrono::steady_clock::now() < end) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return condition();
}

class TestNode : public TransportListener {
 public:
  // Discovery is off unless `change` sets a port; the peer port is any.
  explicit TestNode(const std::string& name, const std::function<void(NetworkOptions&)>& change = {},
                    Identity identity = Identity::generate().value())
      : network(loop, std::move(identity), options(name, change)) {
    network.add_listener(this);
    started = network.start();
    loop.start();
  }
  ~TestNode() override { shut_down(); }

  void shut_down() {
    loop.run_and_wait([this] { network.stop(); });
    loop.stop();
  }

  // On the network thread.
  template <typename Question>
  auto ask(const Question& question) {
    decltype(question()) answer;
    loop.run_and_wait([&] { answer = question(); });
    return answer;
  }
  NodeId id() const { return network.self(); }
  std::string address() { return "127.0.0.1:" + std::to_string(network.peer_port()); }
  bool send(const NodeId& to, wire::Message message) {
    bool sent = false;
    loop.run_and_wait([&] { sent = network.send(to, std::move(message)); });
    return sent;
  }
  std::vector<LinkInfo> links() {
    return ask([this] { return network.links(); });
  }
  std::vector<Refusal> refusals() {
    return ask([this] { return network.refusals(); });
  }
  std::vector<SeedState> seed_states() {
    return ask([this] { return network.seed_states(); });
  }

  // Waits for a condition over what was heard so far (under the lock); false after `limit`.
  bool wait(const std::function<bool()>& condition, Duration limit = std::chrono::seconds(10)) {
    std::unique_lock lock(mutex);
    return heard.wait_for(lock, limit, condition);
  }
  bool wait_for_links(size_t n) {
    return wait([&] { return ups - downs.size() == n; });
  }

  void on_link_up(const LinkInfo&) override {
    note([this] { ++ups; });
  }
  void on_link_down(const NodeId& peer, const Error& why) override {
    note([&] { downs.emplace_back(peer, why.message); });
  }
  void on_message(const NodeId& from, wire::Message message) override {
    if (on_message_hook) return on_message_hook(from, std::move(message));
    note([&] { messages.emplace_back(from, std::move(message)); });
  }

  EventLoop loop;
  NodeNetwork network;
  Status started;
  std::mutex mutex;  // guards what follows
  std::condition_variable heard;
  size_t ups = 0;
  std::vector<std::pair<NodeId, std::string>> downs;
  std::vector<std::pair<NodeId, wire::Message>> messages;
  std::function<void(const NodeId&, wire::Message)> on_message_hook;  // set before links are up; network thread

 private:
  static NetworkOptions options(const std::string& name, const std::function<void(NetworkOptions&)>& change) {
    NetworkOptions options;
    options.interfaces = {"lo"};
    options.peer_port = 0;
    options.discovery_port = 0;
    options.name = name;
    options.software_version = "0.1.0";
    if (change) change(options);
    return options;
  }
  template <typename Change>
  void note(const Change& change) {
    {
      const std::lock_guard lock(mutex);
      change();
    }
    heard.notify_all();
  }
};

}  // namespace exo::net
