#pragma once
// What the routes need of the node. Everything here lives on the network thread.

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "chat/text_model.h"
#include "cluster/cluster.h"
#include "net/clock.h"
#include "net/transport.h"
#include "serve/front.h"
#include "serve/node_service.h"
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
};

}  // namespace exo::api
