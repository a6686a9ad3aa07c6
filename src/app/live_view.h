#pragma once
// The terminal view of a node: who is in the ring, what each device holds, how fast the links and the ring are.

#include <string>
#include <vector>

#include "cluster/cluster.h"
#include "net/transport.h"

namespace exo::app {

struct ViewState {
  std::string version, api_url, secret_hint;  // secret_hint: "closed by a secret" or "open to this network"
  std::vector<wire::NodeFacts> members;       // self first
  std::vector<cluster::InstanceView> instances;
  std::vector<wire::ModelFacts> models;
  std::vector<net::Refusal> refusals;
  std::vector<std::string> notices;  // unreachable seeds and the like
  std::vector<std::string> drafts;   // what this node's draft model does
  size_t active_requests = 0;
};

// One frame of `columns` columns at most, lines ended by '\n', with ANSI colours when `colour`. Pure.
std::string render_view(const ViewState& state, int columns, bool colour);

// Two devices have files with the same header and other weights; what comes of it.
std::string differing_copy_notice(const std::string& model, const std::string& node, const std::string& origin);

// "1.2 GiB", "5.6 MiB"
std::string human_bytes(uint64_t bytes);

// Columns a terminal uses for UTF-8 text: every character one, control sequences none.
int display_width(std::string_view text);

}  // namespace exo::app
