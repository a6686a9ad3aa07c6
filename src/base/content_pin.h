#pragma once
// Whose copy of a model counts. Two files may have the same header and yet other weights; a placed model names the
// device whose file it means, and the hash over all of its bytes as soon as that device has computed it.

#include <string>

#include "base/ids.h"

namespace exo {

struct ContentPin {
  NodeId origin;  // zero: nobody
  std::string
      root;  // of the origin's content manifest (store/content_manifest.h), 64 hex digits; empty: not known yet
  bool operator==(const ContentPin&) const = default;
  bool is_set() const { return origin != NodeId{} || !root.empty(); }
};

}  // namespace exo
