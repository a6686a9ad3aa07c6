#pragma once
// The model files of this device as the node uses them: what is offered to the cluster, and how the bytes of a
// stage or of a header are had, from the disk or from peers.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "formats/gguf.h"
#include "model/stage.h"
#include "wire/messages.h"

namespace exo::app {

class ModelFiles {
 public:
  virtual ~ModelFiles() = default;
  // What this node can tell and give others. Looks at the folders anew. Any thread.
  virtual std::vector<wire::ModelOffer> offers() = 0;
  // A file in which the tensors of `layers` can be read, of a share its rows; fetches missing ranges from peers
  // first. Blocks.
  virtual Result<std::shared_ptr<const formats::GgufFile>> open_layers(const std::string& fingerprint,
                                                                       LayerRange layers,
                                                                       const model::TensorShare& share,
                                                                       const model::LoadProgress& progress) = 0;
  // A file whose metadata can be read, its tensors perhaps not. Blocks.
  virtual Result<std::shared_ptr<const formats::GgufFile>> open_header(const std::string& fingerprint) = 0;
};

}  // namespace exo::app
