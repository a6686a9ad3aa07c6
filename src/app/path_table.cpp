#include "app/path_table.h"

#include <boost/json/value.hpp>

#include "app/topology_client.h"
#include "base/printable.h"

namespace exo::app {
namespace json = boost::json;
namespace {

const json::array* list_of(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_array() ? &value->as_array() : nullptr;
}

std::string name_of(const json::object& topology, const std::string& id) {
  if (const auto* nodes = list_of(topology, "nodes")) {
    for (const auto& node : *nodes) {
      if (node.is_object() && json_text(node.as_object(), "id") == id)
        return printable(json_text(node.as_object(), "name"));
    }
  }
  return id.substr(0, 8);
}

std::string line_of(const std::string& peer, const json::object& path) {
  const std::string local = json_text(path, "local"), interface = json_text(path, "interface");
  std::string line = fmt::format("{}: {} → {}", peer, local.empty() ? "?" : printable(local),
                                 printable(json_text(path, "remote")));
  if (!interface.empty()) line += " over " + printable(interface);
  const double round_trip_us = json_number<double>(path, "round_trip_us");
  const std::string problem = json_text(path, "problem");
  if (round_trip_us > 0) {
    line += fmt::format(", {:.2f} ms, {:.1f} MB/s", round_trip_us / 1e3,
                        json_number<double>(path, "bandwidth_bytes_per_s") / 1e6);
  } else {
    line += problem.empty() ? ", not measured yet" : ", " + printable(problem);
  }
  const auto* in_use = path.if_contains("in_use");
  return in_use != nullptr && in_use->is_bool() && in_use->as_bool() ? line + ", in use" : line;
}

}  // namespace

std::vector<std::string> path_lines(const json::object& topology) {
  std::vector<std::string> lines;
  const auto* links = list_of(topology, "links");
  for (size_t i = 0; links != nullptr && i < links->size(); ++i) {
    if (!(*links)[i].is_object()) continue;
    const auto& link = (*links)[i].as_object();
    const auto* paths = list_of(link, "paths");
    if (paths == nullptr) continue;
    const std::string peer = name_of(topology, json_text(link, "to"));
    for (const auto& path : *paths) {
      if (path.is_object()) lines.push_back(line_of(peer, path.as_object()));
    }
  }
  return lines;
}

}  // namespace exo::app
