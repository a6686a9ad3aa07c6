#pragma once
// Which device's copy of a model counts, and who holds another one. Pure functions of gossiped facts.

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/content_pin.h"
#include "wire/messages.h"

namespace exo::cluster {

// The node's complete copy of the model; nullptr: it has none.
const wire::ModelOffer* complete_offer(const wire::NodeFacts& node, const std::string& fingerprint);

// For a model that is placed now by nodes[0]: its own copy if it has one whole; else the copy that most of the
// others have, as far as they have computed its root; of several nodes with that copy the first by id. Nobody: not
// set.
ContentPin choose_content(std::span<const wire::NodeFacts* const> nodes, const std::string& fingerprint);

// A copy with the same header as the one that counts, and other weights. Its owner does not use it.
struct DifferingCopy {
  std::string fingerprint, model_name;
  NodeId node, origin;  // who has it, and whose copy counts
};
std::vector<DifferingCopy> differing_copies(std::span<const wire::NodeFacts> nodes,
                                            const std::function<ContentPin(const std::string&)>& content);

}  // namespace exo::cluster
