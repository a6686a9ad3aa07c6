#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>

#include "app/commands.h"
#include "app/device_profile.h"
#include "app/live_view.h"
#include "app/memory_nodes.h"
#include "app/path_table.h"
#include "app/topology_client.h"
#include "base/printable.h"
#include "net/interfaces.h"
#include "ops/cpu/cpu_ops.h"

namespace exo::app {

namespace {

class Report {
 public:
  void good(const std::string& text) { std::cout << "  ok    " << printable(text) << "\n"; }
  void note(const std::string& text) { std::cout << "  note  " << printable(text) << "\n"; }
  void bad(const std::string& text) {
    std::cout << "  BAD   " << printable(text) << "\n";
    failed_ = true;
  }
  bool failed() const { return failed_; }

 private:
  bool failed_ = false;
};

bool port_free(int type, uint16_t port) {
  const int fd = socket(AF_INET, type, 0);
  if (fd < 0) return false;
  const int yes = 1;
  if (type == SOCK_STREAM) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  const bool free = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return free;
}

void check_network(const NodeOptions& options, Report& report) {
  const auto interfaces = net::usable_interfaces(options.interfaces);
  if (interfaces.empty()) report.bad("no usable network interface: other devices cannot be found");
  for (const auto& interface : interfaces) {
    std::string addresses;
    for (const auto& address : interface.addresses) addresses += " " + address.address;
    report.good(fmt::format("interface {} ({}):{}", interface.name, net::to_string(interface.kind), addresses));
  }
  const auto topology = fetch_topology({"127.0.0.1", std::to_string(options.port)}, options.api_key);
  if (topology) {
    const auto view = view_of_topology(*topology, "");
    report.good(fmt::format("a node runs here on port {}; it sees {} device{}", options.port, view.members.size(),
                            view.members.size() == 1 ? "" : "s"));
    for (const auto& path : path_lines(*topology)) report.good("link with " + path);
    for (const auto& refusal : view.refusals)
      report.note(fmt::format("refused {} {}: {}", refusal.peer_name, refusal.address, refusal.reason));
    for (const auto& notice : view.notices) report.bad(notice);
    return;
  }
  report.note(fmt::format("no node runs here on port {}", options.port));
  if (!port_free(SOCK_STREAM, options.port))
    report.bad(fmt::format("port {} (API) is taken by another program; use --port", options.port));
  if (options.peer_port != 0 && !port_free(SOCK_STREAM, options.peer_port))
    report.note(fmt::format("port {} (peers) is taken; another one will be used", options.peer_port));
  if (!port_free(SOCK_DGRAM, options.discovery_port))
    report.note(fmt::format("port {} (beacons) is shared with another program", options.discovery_port));
}

void check_storage(const NodeOptions& options, Report& report) {
  std::error_code error;
  std::filesystem::create_directories(options.data_dir / "models", error);
  if (error) return report.bad(fmt::format("data folder {}: {}", options.data_dir.string(), error.message()));
  const auto space = std::filesystem::space(options.data_dir, error);
  const auto text = fmt::format("data folder {}, {} free", options.data_dir.string(), human_bytes(space.available));
  space.available < (1ull << 30) ? report.note(text + ": little for models") : report.good(text);
}

}  // namespace

int run_doctor(const NodeOptions& options) {
  Report report;
  std::cout << "exo doctor on " << options.name << "\n";
  const auto profile = device_profile(options);
  report.good(
      fmt::format("{}, {} threads, {}", profile.processor, profile.threads, ops::make_cpu_ops({1})->description()));
  report.good(fmt::format("memory {} of which exo may use {}", human_bytes(profile.memory_total_bytes),
                          human_bytes(profile.memory_budget_bytes)));
  if (const auto nodes = memory_nodes().size(); nodes > 1) {
    memory_is_spread()
        ? report.good(fmt::format("weights are spread over the {} memory nodes", nodes))
        : report.note(fmt::format("{} memory nodes, and weights are not spread over them: the system "
                                  "or numactl decides",
                                  nodes));
  }
  if (profile.memory_budget_bytes < (512ull << 20))
    report.note("little memory is free: only small parts of models fit");
  report.good(fmt::format("reads weights at {:.1f} GB/s; {:.0f} Gop/s on int8, {:.0f} GFLOP/s on f32",
                          profile.memory_bandwidth_bytes_per_s / 1e9, profile.int8_ops_per_s / 1e9,
                          profile.f32_flops_per_s / 1e9));
  check_storage(options, report);
  check_network(options, report);
  std::cout << (report.failed() ? "Something needs attention.\n" : "All good.\n");
  return report.failed() ? 1 : 0;
}

}  // namespace exo::app
