#include "cluster/content.h"

#include <algorithm>
#include <map>

#include "cluster/instances.h"

namespace exo::cluster {

const wire::ModelOffer* complete_offer(const wire::NodeFacts& node, const std::string& fingerprint) {
  const auto found = std::ranges::find_if(
      node.models, [&](const auto& offer) { return offer.complete && offer.facts.fingerprint == fingerprint; });
  return found == node.models.end() ? nullptr : &*found;
}

ContentPin choose_content(std::span<const wire::NodeFacts* const> nodes, const std::string& fingerprint) {
  struct Holders {
    int count = 0;
    NodeId first;
  };
  std::map<std::string, Holders> copies;  // by root
  for (const auto* node : nodes) {
    const auto* offer = complete_offer(*node, fingerprint);
    if (offer == nullptr) continue;
    if (node == nodes.front()) return {node->id, offer->content_root};
    auto& [count, first] = copies[offer->content_root];
    if (count++ == 0 || node->id < first) first = node->id;
  }
  const std::pair<const std::string, Holders>* best = nullptr;
  for (const auto& copy : copies) {  // a copy whose root is not known comes first, and gives way to any other
    if (best == nullptr || best->first.empty() || copy.second.count > best->second.count) best = &copy;
  }
  return best == nullptr ? ContentPin() : ContentPin{best->second.first, best->first};
}

std::vector<DifferingCopy> differing_copies(std::span<const wire::NodeFacts> nodes,
                                            const std::function<ContentPin(const std::string&)>& content) {
  std::vector<DifferingCopy> found;
  std::map<std::string, ContentPin> pins;
  for (const auto& node : nodes) {
    for (const auto& offer : node.models) {
      if (!offer.complete || offer.content_root.empty()) continue;
      const auto& fingerprint = offer.facts.fingerprint;
      auto pin = pins.find(fingerprint);
      if (pin == pins.end()) pin = pins.emplace(fingerprint, content(fingerprint)).first;
      if (pin->second.root.empty() || pin->second.root == offer.content_root) continue;
      found.push_back({fingerprint, offer.facts.name, node.id, pin->second.origin});
    }
  }
  return found;
}

// ---- the part of Instances

// The first root that the origin tells is the one that is meant: a file that it exchanges later is another one.
void Instances::learn_root(Entry& entry) const {
  const auto& record = entry.record;
  entry.content_served = entry.content_served || is_ready(record.fingerprint, record.epoch, record.stages);
  if (!record.content.root.empty() || !entry.origin_root.empty() || record.content.origin == NodeId{}) return;
  const auto* origin = membership_.find_known(record.content.origin);
  const auto* offer = origin == nullptr ? nullptr : complete_offer(*origin, record.fingerprint);
  if (offer != nullptr) entry.origin_root = offer->content_root;
}

bool Instances::means_same(const ContentPin& known, const ContentPin& next) {
  return known.origin == next.origin && (known.root == next.root || known.root.empty() || next.root.empty());
}

ContentPin Instances::pin_of(const Entry& entry) const {
  ContentPin pin = entry.record.content;
  if (pin.root.empty()) pin.root = entry.origin_root;
  return pin;
}

ContentPin Instances::pin_anew(const std::string& fingerprint) const {
  std::vector<const wire::NodeFacts*> nodes{&membership_.self()};
  for (const auto* node : membership_.living()) {
    if (node->id != membership_.self().id) nodes.push_back(node);
  }
  return choose_content(nodes, fingerprint);
}

ContentPin Instances::content(const std::string& fingerprint) const {
  const auto found = entries_.find(fingerprint);
  const bool pinned =
      found != entries_.end() && !found->second.record.stopped && found->second.record.content.is_set();
  return pinned ? pin_of(found->second) : pin_anew(fingerprint);
}

// A new epoch means the same weights, as long as they are of use: the origin has them, or somebody else the same
// ones, or a ring that was ready. Else they are those of somebody who is here, if anybody has the whole model.
ContentPin Instances::next_pin(const std::string& fingerprint) const {
  const ContentPin pin = content(fingerprint);
  const auto found = entries_.find(fingerprint);
  if (!pin.root.empty() && found != entries_.end() && found->second.content_served) return pin;
  for (const auto* node : membership_.living()) {
    const auto* offer = complete_offer(*node, fingerprint);
    if (offer == nullptr) continue;
    if (!pin.root.empty() && offer->content_root == pin.root) return pin;
    if (node->id == pin.origin && (pin.root.empty() || offer->content_root.empty())) return pin;
  }
  const ContentPin other = pin_anew(fingerprint);
  return other.is_set() ? other : pin;
}

}  // namespace exo::cluster
