#pragma once
// Finding other nodes without being told where they are: beacons out on every usable interface, beacons in.
// Network thread only.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/beacon.h"
#include "net/event_loop.h"
#include "net/interfaces.h"

namespace exo::net {

struct DiscoveryOptions {
  std::vector<std::string> interfaces;  // as usable_interfaces() takes them
  uint16_t port = 52414;                // 0: no beacons; interfaces are still followed
  Duration interval = std::chrono::seconds(1);
};

// A beacon of another node, and where to dial it.
struct Sighting {
  Beacon beacon;
  std::string address;   // "192.168.1.7", "fe80::1%2"
  InterfaceKind medium;  // the worse of both ends' interfaces
};

class Discovery {
 public:
  // `own` is what is sent (medium and wants_answer are filled in). `on_sighting` comes for every valid beacon of
  // another node, at most some hundreds per second.
  Discovery(EventLoop& loop, DiscoveryOptions options, Beacon own,
            std::function<void(const Sighting&)> on_sighting);
  ~Discovery();  // stops

  // kUnavailable: the port cannot be had in any IP version; seeds still work then.
  Status start();
  void stop();
  const std::vector<Interface>& interfaces() const;  // looked up anew every few seconds

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace exo::net
