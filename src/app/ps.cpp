#include <sys/ioctl.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <chrono>
#include <iostream>
#include <thread>

#include "app/commands.h"
#include "app/topology_client.h"

namespace exo::app {

namespace {

int terminal_columns() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 200;
}

// Empty when what is waited for is there; else what is missing.
std::string missing(const ViewState& state, const PsOptions& options) {
  if (static_cast<int32_t>(state.members.size()) < options.wait_nodes) {
    return fmt::format("{} of {} devices are there", state.members.size(), options.wait_nodes);
  }
  if (options.wait_model.empty()) return {};
  for (const auto& view : state.instances) {
    if (view.record.model_name != options.wait_model || view.record.stopped) continue;
    if (view.serves()) return {};
    return view.record.problem.empty() ? fmt::format("{} is still being loaded", options.wait_model)
                                       : view.record.problem;
  }
  return fmt::format("{} is not loaded", options.wait_model);
}

}  // namespace

Status run_ps(const PsOptions& options) {
  EXO_TRY(const auto url, parse_node_url(options.url));
  const bool waits = options.wait_nodes > 0 || !options.wait_model.empty();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(waits ? options.timeout_s : 0);
  for (;;) {
    auto topology = fetch_topology(url, options.api_key);
    const auto state = topology ? view_of_topology(*topology, options.url) : ViewState{};
    const auto lack = topology ? missing(state, options) : topology.error().message;
    if (topology && lack.empty()) {
      if (options.json) {
        std::cout << boost::json::serialize(*topology) << "\n";
      } else {
        std::cout << render_view(state, terminal_columns(), isatty(STDOUT_FILENO) != 0);
      }
      return {};
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      if (!topology) return std::unexpected(std::move(topology).error());
      return fail(ErrorCode::kDeadlineExceeded, "waited {} s in vain: {}", options.timeout_s, lack);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

}  // namespace exo::app
