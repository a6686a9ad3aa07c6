#include <sys/ioctl.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <iostream>
#include <thread>

#include "app/commands.h"
#include "app/path_table.h"
#include "app/topology_client.h"
#include "base/printable.h"

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

// Running requests of all nodes; nothing when the node is of a version that does not tell.
std::string requests_table(const NodeUrl& url, const std::string& api_key) {
  namespace json = boost::json;
  const auto answer = http_request(url, "GET", "/v1/requests", "", api_key);
  json::error_code error;
  const auto document = answer && answer->status == 200 ? json::parse(answer->body, error) : json::value();
  const auto* list = !error && document.is_object() ? document.as_object().if_contains("requests") : nullptr;
  if (list == nullptr || !list->is_array() || list->as_array().empty()) return {};
  std::string table = fmt::format("\n {:<32}  {:<20} {:<24} {:<9} {:>8} {:>8} {:>9}\n", "request", "node", "model",
                                  "phase", "prompt", "tokens", "tokens/s");
  for (const auto& entry : list->as_array()) {
    if (!entry.is_object()) continue;
    const auto& request = entry.as_object();
    table += fmt::format(" {:<32}  {:<20} {:<24} {:<9} {:>8} {:>8} {:>9.1f}\n", printable(json_text(request, "id")),
                         printable(json_text(request, "node_name")), printable(json_text(request, "model")),
                         printable(json_text(request, "phase")), json_number<int64_t>(request, "prompt_tokens"),
                         json_number<int64_t>(request, "completion_tokens"),
                         json_number<double>(request, "tokens_per_s"));
  }
  return table;
}

std::string paths_table(const boost::json::object& topology) {
  const auto lines = path_lines(topology);
  if (lines.empty()) return {};
  return fmt::format("\n addresses of links from here\n   {}\n", fmt::join(lines, "\n   "));
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
        std::cout << render_view(state, terminal_columns(), isatty(STDOUT_FILENO) != 0) << paths_table(*topology)
                  << requests_table(url, options.api_key);
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
