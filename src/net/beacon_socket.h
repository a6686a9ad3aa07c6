#pragma once
// A UDP socket for beacons of one IP version: sends through a chosen interface, says through which one a datagram
// came. Several nodes of one machine share the port. Network thread only.

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "net/interfaces.h"

namespace exo::net {

inline constexpr const char* kBeaconGroupV4 = "239.255.69.88";
inline constexpr const char* kBeaconGroupV6 = "ff02::6578:6f";

class BeaconSocket {
 public:
  using udp = boost::asio::ip::udp;

  // Bound to `port` of all addresses; kUnavailable: the port is taken or the system has no such IP version.
  static Result<BeaconSocket> open(boost::asio::io_context& context, bool ipv6, uint16_t port);

  // Joins the beacon group on an interface. Repeating it is harmless; failing too (broadcast may still work).
  void join(const Interface& interface);
  // `source`: the interface's address to send from; empty: the system chooses. kUnavailable says why the system did
  // not take the datagram.
  Status send(const Interface& interface, const std::string& source, const udp::endpoint& to,
              std::span<const std::byte> datagram);

  struct Received {
    size_t bytes = 0;  // kMaxBeaconBytes + 1 for longer datagrams
    udp::endpoint from;
    uint32_t interface_index = 0;
  };
  // A waiting datagram, or nullopt; never blocks.
  std::optional<Received> receive(std::span<std::byte> buffer);

  udp::socket& socket() { return socket_; }
  bool ipv6() const { return ipv6_; }

 private:
  BeaconSocket(udp::socket socket, bool ipv6) : socket_(std::move(socket)), ipv6_(ipv6) {}
  udp::socket socket_;
  bool ipv6_;
};

}  // namespace exo::net
