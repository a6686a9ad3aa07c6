#pragma once
// /v1/topology of a running node, back into what the live view draws.

#include <boost/json/value.hpp>

#include "app/http_client.h"
#include "app/live_view.h"

namespace exo::app {

// The raw document. The error says what the node answered when it was no topology.
Result<boost::json::object> fetch_topology(const NodeUrl& url, const std::string& api_key);

// Fields that are missing or of another type count as absent: the node may be of another version.
ViewState view_of_topology(const boost::json::object& topology, const std::string& api_url);

// The document's "draft" in words, for ViewState::drafts and, where guesses are refused, ViewState::notices.
void describe_draft(const boost::json::value* draft, ViewState& state);

// Empty or 0 when there is no such field of that type.
std::string json_text(const boost::json::object& object, std::string_view name);
template <typename T>
T json_number(const boost::json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  boost::json::error_code error;
  const T result = value != nullptr && value->is_number() ? value->to_number<T>(error) : T{};
  return error ? T{} : result;
}

}  // namespace exo::app
