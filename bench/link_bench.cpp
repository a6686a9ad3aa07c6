// Two nodes on the loopback interface: the way of a step there and back, alone and during a file transfer, and the
// rate of large messages.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "net/node_network.h"

namespace exo::net {
namespace {

using Clock = std::chrono::steady_clock;

class Node : public TransportListener {
 public:
  Node(const char* name, std::vector<std::string> seeds, bool echo)
      : network(loop, Identity::generate().value(), options(name, std::move(seeds))), echo_(echo) {
    network.add_listener(this);
    if (!network.start()) std::exit(1);
    loop.start();
  }
  ~Node() override {
    loop.run_and_wait([this] { network.stop(); });
    loop.stop();
  }
  void on_link_up(const LinkInfo&) override { linked = true; }
  void on_link_down(const NodeId&, const Error&) override { linked = false; }
  void on_message(const NodeId& from, wire::Message message) override {
    if (echo_) {
      network.send(from, std::move(message));
    } else if (on_echo) {
      on_echo(std::move(message));
    }
  }

  EventLoop loop;
  NodeNetwork network;
  std::atomic<bool> linked = false;
  std::function<void(wire::Message)> on_echo;

 private:
  static NetworkOptions options(const char* name, std::vector<std::string> seeds) {
    NetworkOptions options;
    options.interfaces = {"lo"};
    options.peer_port = 0;
    options.discovery_port = 0;
    options.seeds = std::move(seeds);
    options.name = name;
    options.software_version = "bench";
    return options;
  }
  const bool echo_;
};

wire::Step step_of(size_t floats) {
  wire::Step step;
  step.fingerprint = std::string(64, 'a');
  step.sequences.resize(1);
  step.activations.assign(floats, 1.0f);
  return step;
}

// One step at a time, `n` times; prints half of the round trip.
void ping_pong(Node& a, const NodeId& b, size_t floats, int n, const char* title) {
  std::vector<double> one_way_us;
  std::mutex mutex;
  std::condition_variable finished;
  Clock::time_point sent;
  a.on_echo = [&](wire::Message message) {
    const double us = std::chrono::duration<double, std::micro>(Clock::now() - sent).count();
    const std::lock_guard lock(mutex);
    one_way_us.push_back(us / 2);
    if (one_way_us.size() == static_cast<size_t>(n)) return finished.notify_all();
    sent = Clock::now();
    a.network.send(b, std::move(message));
  };
  a.loop.post([&] {
    sent = Clock::now();
    a.network.send(b, step_of(floats));
  });
  std::unique_lock lock(mutex);
  finished.wait(lock, [&] { return one_way_us.size() == static_cast<size_t>(n); });
  std::sort(one_way_us.begin(), one_way_us.end());
  const auto at = [&](double q) { return one_way_us[static_cast<size_t>(q * (n - 1))]; };
  std::printf("%-44s one way: median %7.1f us, p90 %7.1f us, p99 %8.1f us; %7.1f MB/s each way\n", title, at(0.5),
              at(0.9), at(0.99), 4.0 * double(floats) / at(0.5));
}

class Zeros : public FileSource {
 public:
  Zeros() { layout_.parts.push_back({uint64_t{1} << 40, 10}); }
  const FileLayout& layout() const override { return layout_; }
  bool has(uint64_t, uint64_t) const override { return true; }
  Status read(uint64_t, std::span<std::byte> out) const override {
    std::memset(out.data(), 1, out.size());
    return {};
  }

 private:
  FileLayout layout_;
};

void run() {
  Node b("b", {}, true);
  Node a("a", {"127.0.0.1:" + std::to_string(b.network.peer_port())}, false);
  while (!a.linked || !b.linked) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const NodeId peer = b.network.self();
  ping_pong(a, peer, 2048, 2000, "warm-up");
  ping_pong(a, peer, 1, 5000, "step, 4 B of activations");
  ping_pong(a, peer, 2048, 5000, "step, 8 KiB of activations");
  ping_pong(a, peer, 8192, 2000, "step, 32 KiB of activations");
  ping_pong(a, peer, 2048 * 512, 100, "step, 4 MiB of activations");

  b.loop.run_and_wait(
      [&] { b.network.set_file_source([](std::string_view) { return std::make_shared<Zeros>(); }); });
  std::atomic<bool> over = false;
  std::atomic<uint64_t> bytes = 0;
  const auto begin = Clock::now();
  std::thread transfer([&] {
    const auto files = a.network.connect_files(peer).value();
    while (!over) bytes += files->read("x", bytes, kMaxChunkBytes).value().size();
  });
  ping_pong(a, peer, 2048, 3000, "step, 8 KiB, during a file transfer");
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  over = true;
  transfer.join();
  std::printf("file transfer meanwhile: %.0f MB/s\n", double(bytes) / seconds / 1e6);
}

}  // namespace
}  // namespace exo::net

int main() {
  exo::net::run();
  return 0;
}
