#pragma once
// A pair of addresses over which a link with a peer could run, and what was measured of it.

#include <string>
#include <vector>

#include "base/ids.h"

namespace exo::net {

struct LinkPath {
  NodeId peer;
  // "192.168.1.7"; with the port where several of one machine lead to the peer. Local: empty until a connection
  // showed it.
  std::string local_address, remote_address;
  std::string interface;             // of the local address
  double round_trip_us = 0;          // application to application, least of some; 0: not measured
  double bandwidth_bytes_per_s = 0;  // towards the peer; 0: not measured
  bool in_use = false;
  std::string problem;  // why the last try failed
};

}  // namespace exo::net
