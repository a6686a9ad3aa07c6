#pragma once
// A running device: the composition root of everything that lives while exo runs.

#include <memory>
#include <optional>
#include <string>

#include "app/departure.h"
#include "app/live_view.h"
#include "app/options.h"
#include "base/result.h"

namespace exo::app {

class Node {
 public:
  // Opens identity, models and ports; nothing is sent yet. Errors say what to do.
  static Result<std::unique_ptr<Node>> create(const NodeOptions& options);
  ~Node();

  Status start();
  // Gives stages away and finishes requests, while the node still runs (app/departure.h); also begun by others.
  // Then stop() hurts nobody. Not from the network thread, as the rest.
  void depart(const std::string& reason);
  std::optional<DepartureDecision> departure();  // nullopt: it has not begun
  // Says goodbye to the others, ends requests with an error, waits for the engines. Not from the network thread.
  void stop();

  uint16_t api_port() const;
  const std::string& api_key() const;  // what HTTP clients must send; empty: nothing
  ViewState view();                    // any thread but the network's

 private:
  struct Impl;
  explicit Node(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace exo::app
