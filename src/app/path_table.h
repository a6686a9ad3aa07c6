#pragma once
// The pairs of addresses that a node's links could run over, as its topology tells them, in lines for people.

#include <boost/json/object.hpp>
#include <string>
#include <vector>

namespace exo::app {

// "laptop: 192.168.1.7 → 192.168.1.9 over eth0, 0.31 ms, 112.4 MB/s, in use"; nothing for links with one pair.
std::vector<std::string> path_lines(const boost::json::object& topology);

}  // namespace exo::app
