#pragma once
// The network interfaces of this device, and which of them exo uses. Only ever read: exo changes no settings.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace exo::net {

// In the order in which addresses are preferred.
enum class InterfaceKind : uint8_t { kWired, kUnknown, kWifi, kTunnel, kLoopback, kContainer };
std::string_view to_string(InterfaceKind kind);  // "wired", "Wi-Fi", …

struct InterfaceAddress {
  std::string address;    // "192.168.1.7", "fe80::1" (no scope)
  std::string broadcast;  // IPv4 with a broadcast address: "192.168.1.255"; loopback: "127.255.255.255"
  bool ipv6 = false;
  bool link_local = false;
  bool operator==(const InterfaceAddress&) const = default;
};

struct Interface {
  std::string name;
  uint32_t index = 0;
  InterfaceKind kind = InterfaceKind::kUnknown;
  std::vector<InterfaceAddress> addresses;  // never empty
  bool operator==(const Interface&) const = default;
};

// Interfaces that are up, have a carrier and an address. `named` empty: all but loopback, tunnels, container bridges and their
// ports. Otherwise exactly the named ones, of any kind; a name that does not exist (yet) is left out.
// Ordered by kind, then index. Empty when the system does not tell.
std::vector<Interface> usable_interfaces(std::span<const std::string> named);

// Of interfaces that are up, whatever their kind.
std::vector<std::string> all_interface_names();

// Where others may dial this node, best first: "192.168.1.7", "fd00::7", "fe80::1%eth0".
std::vector<std::string> dialable_addresses(std::span<const Interface> interfaces);

// The interface that has this address ("192.168.1.7", with or without "%scope"); nullptr when none has.
const Interface* find_by_address(std::span<const Interface> interfaces, std::string_view address);

}  // namespace exo::net
