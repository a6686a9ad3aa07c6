#include "net/interfaces.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <map>
#include <memory>
#include <tuple>

namespace exo::net {
namespace {

namespace fs = std::filesystem;

bool starts_with_any(std::string_view name, std::initializer_list<std::string_view> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](std::string_view p) { return name.starts_with(p); });
}

// What Linux says of an interface. /sys may show another network namespace than ours: then nothing of it counts.
class SysfsEntry {
 public:
  SysfsEntry(const std::string& name, uint32_t index) : path_(fs::path("/sys/class/net") / name) {
    uint32_t shown = 0;
    valid_ = bool(std::ifstream(path_ / "ifindex") >> shown) && shown == index;
  }
  bool has(const char* entry) const {
    std::error_code ignored;
    return valid_ && fs::exists(path_ / entry, ignored);
  }
  // A bridge that joins only virtual ports serves containers or virtual machines of this device.
  bool is_virtual_bridge() const {
    if (!has("bridge")) return false;
    std::error_code error;
    for (const auto& port : fs::directory_iterator(path_ / "brif", error)) {
      std::error_code ignored;
      if (fs::exists(fs::path("/sys/class/net") / port.path().filename() / "device", ignored)) return false;
    }
    return true;
  }

 private:
  fs::path path_;
  bool valid_ = false;
};

InterfaceKind kind_of(const std::string& name, uint32_t index, unsigned flags) {
  if (flags & IFF_LOOPBACK) return InterfaceKind::kLoopback;
  const SysfsEntry sysfs(name, index);
  if (starts_with_any(name, {"docker", "br-", "virbr", "cni", "cali", "flannel", "lxcbr", "lxdbr", "podman",
                             "vmnet", "vboxnet", "kube", "nerdctl"}) ||
      sysfs.is_virtual_bridge() || sysfs.has("brport")) {
    return InterfaceKind::kContainer;
  }
  if ((flags & IFF_POINTOPOINT) ||
      starts_with_any(name, {"tailscale", "tun", "tap", "utun", "wg", "zt", "ppp", "ipsec", "awdl", "llw"})) {
    return InterfaceKind::kTunnel;
  }
  if (sysfs.has("wireless") || sysfs.has("phy80211") || starts_with_any(name, {"wl"})) return InterfaceKind::kWifi;
  if (sysfs.has("ifindex") || starts_with_any(name, {"eth", "en", "veth"})) return InterfaceKind::kWired;
  return InterfaceKind::kUnknown;
}

std::string to_text(int family, const void* address) {
  char text[INET6_ADDRSTRLEN] = "";
  return inet_ntop(family, address, text, sizeof text) ? text : "";
}

std::string broadcast_of(const ifaddrs& entry, const in_addr& address) {
  in_addr broadcast{};
  if ((entry.ifa_flags & IFF_BROADCAST) && entry.ifa_broadaddr && entry.ifa_broadaddr->sa_family == AF_INET) {
    broadcast = reinterpret_cast<const sockaddr_in*>(entry.ifa_broadaddr)->sin_addr;
  } else if ((entry.ifa_flags & IFF_LOOPBACK) && entry.ifa_netmask) {
    const in_addr mask = reinterpret_cast<const sockaddr_in*>(entry.ifa_netmask)->sin_addr;
    broadcast.s_addr = address.s_addr | ~mask.s_addr;
  } else {
    return "";
  }
  return broadcast.s_addr == address.s_addr ? "" : to_text(AF_INET, &broadcast);
}

void add_address(Interface& interface, const ifaddrs& entry) {
  InterfaceAddress result;
  if (entry.ifa_addr->sa_family == AF_INET) {
    const in_addr address = reinterpret_cast<const sockaddr_in*>(entry.ifa_addr)->sin_addr;
    result.address = to_text(AF_INET, &address);
    result.broadcast = broadcast_of(entry, address);
    result.link_local = (ntohl(address.s_addr) >> 16) == 0xA9FE;
  } else {
    in6_addr address = reinterpret_cast<const sockaddr_in6*>(entry.ifa_addr)->sin6_addr;
    result.ipv6 = true;
    result.link_local = IN6_IS_ADDR_LINKLOCAL(&address);
    if (result.link_local) address.s6_addr[2] = address.s6_addr[3] = 0;  // BSD keeps the scope in these bytes
    result.address = to_text(AF_INET6, &address);
  }
  if (!result.address.empty()) interface.addresses.push_back(std::move(result));
}

bool wanted(const Interface& interface, std::span<const std::string> named) {
  if (!named.empty()) return std::find(named.begin(), named.end(), interface.name) != named.end();
  return interface.kind != InterfaceKind::kLoopback && interface.kind != InterfaceKind::kTunnel &&
         interface.kind != InterfaceKind::kContainer;
}

}  // namespace

std::string_view to_string(InterfaceKind kind) {
  switch (kind) {
    case InterfaceKind::kWired:
      return "wired";
    case InterfaceKind::kUnknown:
      return "unknown";
    case InterfaceKind::kWifi:
      return "Wi-Fi";
    case InterfaceKind::kTunnel:
      return "tunnel";
    case InterfaceKind::kLoopback:
      return "loopback";
    case InterfaceKind::kContainer:
      return "container";
  }
  return "unknown";
}

std::vector<Interface> usable_interfaces(std::span<const std::string> named) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> guard(list, freeifaddrs);
  std::map<std::string, Interface> by_name;
  for (const ifaddrs* entry = list; entry; entry = entry->ifa_next) {
    constexpr unsigned kUsable = IFF_UP | IFF_RUNNING;  // on, and with a carrier
    if (!entry->ifa_addr || (entry->ifa_flags & kUsable) != kUsable) continue;
    if (entry->ifa_addr->sa_family != AF_INET && entry->ifa_addr->sa_family != AF_INET6) continue;
    Interface& interface = by_name[entry->ifa_name];
    if (interface.name.empty()) {
      interface.name = entry->ifa_name;
      interface.index = if_nametoindex(entry->ifa_name);
      interface.kind = kind_of(interface.name, interface.index, entry->ifa_flags);
    }
    add_address(interface, *entry);
  }
  std::vector<Interface> result;
  for (auto& [name, interface] : by_name) {
    if (!interface.addresses.empty() && wanted(interface, named)) result.push_back(std::move(interface));
  }
  std::sort(result.begin(), result.end(), [](const Interface& a, const Interface& b) {
    return std::tie(a.kind, a.index) < std::tie(b.kind, b.index);
  });
  return result;
}

std::vector<std::string> all_interface_names() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> guard(list, freeifaddrs);
  std::vector<std::string> names;
  for (const ifaddrs* entry = list; entry; entry = entry->ifa_next) names.emplace_back(entry->ifa_name);
  return names;
}

std::vector<std::string> dialable_addresses(std::span<const Interface> interfaces) {
  std::vector<std::string> result;
  for (const Interface& interface : interfaces) {
    // IPv4 first, then routable IPv6, then link-local addresses, which need a scope.
    for (int pass = 0; pass < 3; ++pass) {
      for (const InterfaceAddress& a : interface.addresses) {
        const int rank = a.link_local ? 2 : a.ipv6 ? 1 : 0;
        if (rank != pass) continue;
        result.push_back(a.ipv6 && a.link_local ? a.address + "%" + interface.name : a.address);
      }
    }
  }
  return result;
}

const Interface* find_by_address(std::span<const Interface> interfaces, std::string_view address) {
  const std::string_view bare = address.substr(0, address.find('%'));
  for (const Interface& interface : interfaces) {
    for (const InterfaceAddress& a : interface.addresses) {
      if (a.address == bare) return &interface;
    }
  }
  return nullptr;
}

}  // namespace exo::net
