#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <iostream>
#include <thread>

#include "app/commands.h"
#include "app/topology_client.h"
#include "base/printable.h"

namespace exo::app {
namespace json = boost::json;

namespace {

std::string text_of(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

// Of an error answer.
std::string message_of(const HttpAnswer& answer) {
  json::error_code error;
  const auto value = json::parse(answer.body, error);
  const auto* object = error ? nullptr : value.if_object();
  const auto* inner = object == nullptr ? nullptr : object->if_contains("error");
  return inner != nullptr && inner->is_object() ? text_of(inner->as_object(), "message")
                                                : fmt::format("HTTP {}", answer.status);
}

}  // namespace

Status run_leave(const LeaveOptions& options) {
  EXO_TRY(const auto url, parse_node_url(options.url));
  const auto body = json::serialize(json::object{{"node", options.node}});
  EXO_TRY(const auto answer, http_request(url, "POST", "/v1/leave", body, options.api_key));
  if (answer.status != 202) return fail(ErrorCode::kInvalidArgument, "{}", message_of(answer));
  json::error_code error;
  const auto value = json::parse(answer.body, error);
  if (error || !value.is_object()) return fail(ErrorCode::kUnavailable, "what answers there is no exo node");
  const auto name = printable(text_of(value.as_object(), "name")), id = text_of(value.as_object(), "leaving");
  std::cout << name << " is leaving" << std::endl;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(options.timeout_s);
  while (std::chrono::steady_clock::now() < deadline) {
    const auto topology = fetch_topology(url, options.api_key);
    // The node that was asked may be the one that leaves.
    bool there = false;
    if (topology)
      for (const auto& member : view_of_topology(*topology, options.url).members)
        there = there || member.id.hex() == id;
    if (!there) {
      std::cout << name << " has left" << std::endl;
      return {};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return fail(ErrorCode::kDeadlineExceeded, "{} is still there after {} s", name, options.timeout_s);
}

}  // namespace exo::app
