#pragma once
// What the routes need of the node. Everything here lives on the network thread.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "chat/text_model.h"
#include "cluster/cluster.h"
#include "net/clock.h"
#include "net/link_path.h"
#include "net/transport.h"
#include "serve/front.h"
#include "serve/node_service.h"
#include "serve/trace_service.h"
#include "wire/messages.h"

namespace exo::api {

// A model that some node of the cluster offers, ready to talk to.
struct ServedModel {
  wire::ModelFacts facts;
  std::shared_ptr<const chat::TextModel> text;
};

class ModelLibrary {
 public:
  virtual ~ModelLibrary() = default;
  // By name (any case, or an unambiguous prefix); an empty name means the default model. May have to fetch the
  // file's header from a peer; `done` is called later, exactly once. kNotFound lists what there is.
  virtual void find(const std::string& name, std::function<void(Result<ServedModel>)> done) = 0;
};

// Vectors and scores of texts, made by a whole model on this node.
class EmbeddingService {
 public:
  using TextsPtr = std::shared_ptr<const std::vector<std::vector<TokenId>>>;
  virtual ~EmbeddingService() = default;
  // One vector of length 1 for each text; `done` is called later, exactly once. kInvalidArgument for a text that
  // the model cannot read.
  virtual void embed(const std::string& fingerprint, TextsPtr texts,
                     std::function<void(Result<std::vector<std::vector<float>>>)> done) = 0;
  // One score for each text (chat::rerank_tokens), the higher the better.
  virtual void rank(const std::string& fingerprint, TextsPtr texts,
                    std::function<void(Result<std::vector<float>>)> done) = 0;
};

// The draft model of this node (--draft), for people.
struct DraftView {
  std::string model;
  std::string state;  // "searching", "waiting" for a first stage here, "loading", "ready" or "refused"
  uint64_t bytes = 0;
  std::string problem;  // why it is refused, or not found
  std::map<std::string, std::string>
      why_not;  // by fingerprint, of models whose first stage is here; empty: it fits
};

struct Services {
  net::Clock& clock;
  net::Transport& transport;
  cluster::Cluster& cluster;
  serve::Front& front;
  serve::RingService& ring;
  ModelLibrary& models;
  std::string version;
  std::string api_key;        // empty: none asked for
  std::string allowed_hosts;  // comma-separated extra Host names; loopback names and IP addresses always pass
  EmbeddingService* embeddings = nullptr;
  std::function<void(const std::string& reason)> leave;  // this node leaves in an orderly way, later
  serve::TraceService* traces = nullptr;
  std::function<std::optional<DraftView>()> draft;         // nullopt: there is none
  std::function<std::vector<net::LinkPath>()> link_paths;  // of this node's links; empty: not known
};

}  // namespace exo::api
