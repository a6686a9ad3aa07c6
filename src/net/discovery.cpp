#include "net/discovery.h"

#include <algorithm>
#include <array>
#include <boost/asio/ip/address.hpp>
#include <map>

#include "base/log.h"
#include "net/beacon_socket.h"
#include "net/source_limiter.h"

namespace exo::net {
namespace {

namespace asio = boost::asio;
using asio::ip::udp;

constexpr std::array<Duration, 5> kFirstBeacons = {std::chrono::milliseconds(0), std::chrono::milliseconds(100),
                                                   std::chrono::milliseconds(200), std::chrono::milliseconds(300),
                                                   std::chrono::milliseconds(400)};  // each after the one before
constexpr Duration kInterfaceRefresh = std::chrono::seconds(2);
constexpr Duration kAnswerPause = std::chrono::milliseconds(50);  // between answers on one interface
constexpr double kMaxBeaconsPerSecond = 400;                      // looked at; the rest is dropped
constexpr double kMaxBeaconsPerSource = 100;                      // of these, per second and address
constexpr int kMaxPerWake = 64;

}  // namespace

struct Discovery::Impl : std::enable_shared_from_this<Discovery::Impl> {
  EventLoop& loop;
  const DiscoveryOptions options;
  const Beacon own;
  const std::function<void(const Sighting&)> on_sighting;
  std::vector<Interface> interfaces;
  std::vector<BeaconSocket> sockets;
  std::map<uint32_t, TimePoint> answered;          // interface → when
  std::map<std::string, std::string> send_errors;  // interface and family → last reason, so that it is logged once
  TimerId beacon_timer = 0, refresh_timer = 0;
  size_t burst = 0;  // of kFirstBeacons sent
  SourceLimiter sources{kMaxBeaconsPerSource, 1024};
  double allowance = kMaxBeaconsPerSecond;
  TimePoint allowance_at, flood_logged_at;
  bool stopped = false;

  Impl(EventLoop& l, DiscoveryOptions o, Beacon b, std::function<void(const Sighting&)> callback)
      : loop(l), options(std::move(o)), own(std::move(b)), on_sighting(std::move(callback)) {}

  void refresh_interfaces() {
    auto current = usable_interfaces(options.interfaces);
    if (current != interfaces) {
      for (const Interface& i : current) {
        const auto known = std::find(interfaces.begin(), interfaces.end(), i);
        if (known != interfaces.end()) continue;
        log_info("net", "using interface {} ({}): {}", i.name, to_string(i.kind), i.addresses.front().address);
        for (BeaconSocket& socket : sockets) socket.join(i);
      }
      for (const Interface& i : interfaces) {
        const bool stays = std::any_of(current.begin(), current.end(), [&](auto& c) { return c.index == i.index; });
        if (!stays) log_info("net", "interface {} is gone", i.name);
      }
      interfaces = std::move(current);
      burst = 0;
      schedule_beacon();
    }
    refresh_timer = loop.run_after(kInterfaceRefresh, [self = shared_from_this()] {
      if (!self->stopped) self->refresh_interfaces();
    });
  }

  void schedule_beacon() {
    if (sockets.empty()) return;
    loop.cancel(beacon_timer);
    const Duration delay = burst < kFirstBeacons.size() ? kFirstBeacons[burst] : options.interval;
    beacon_timer = loop.run_after(delay, [self = shared_from_this()] {
      if (self->stopped) return;
      const bool starting = self->burst < kFirstBeacons.size();
      if (starting) ++self->burst;
      for (const Interface& i : self->interfaces) self->send_beacon(i, starting);
      self->schedule_beacon();
    });
  }

  std::vector<std::byte> beacon_bytes(const Interface& interface, bool wants_answer) const {
    Beacon beacon = own;
    beacon.medium = interface.kind;
    beacon.wants_answer = wants_answer;
    return encode_beacon(beacon);
  }

  void send_beacon(const Interface& interface, bool wants_answer) {
    const auto bytes = beacon_bytes(interface, wants_answer);
    for (BeaconSocket& socket : sockets) {
      if (socket.ipv6()) {
        const bool has_v6 = std::any_of(interface.addresses.begin(), interface.addresses.end(),
                                        [](const InterfaceAddress& a) { return a.ipv6; });
        if (has_v6) send_to(socket, interface, "", kBeaconGroupV6, bytes);
        continue;
      }
      for (const InterfaceAddress& a : interface.addresses) {
        if (a.ipv6) continue;
        if (!a.broadcast.empty()) send_to(socket, interface, a.address, a.broadcast, bytes);
        send_to(socket, interface, a.address, kBeaconGroupV4, bytes);
      }
    }
  }

  void send_to(BeaconSocket& socket, const Interface& interface, const std::string& source,
               const std::string& address, std::span<const std::byte> bytes) {
    boost::system::error_code error;
    const auto to = asio::ip::make_address(address, error);
    if (error) return;
    const auto sent = socket.send(interface, source, udp::endpoint(to, options.port), bytes);
    std::string& last = send_errors[interface.name + " " + address];
    const std::string now = sent ? "" : sent.error().message;
    if (now != last && !now.empty()) log_debug("net", "beacon to {} not sent: {}", address, now);
    last = now;
  }

  void wait_readable(size_t index) {
    sockets[index].socket().async_wait(udp::socket::wait_read,
                                       [self = shared_from_this(), index](const boost::system::error_code& error) {
                                         if (self->stopped || error == asio::error::operation_aborted) return;
                                         if (!error) self->read_waiting(index);
                                         self->wait_readable(index);
                                       });
  }

  void read_waiting(size_t index) {
    std::array<std::byte, kMaxBeaconBytes + 1> buffer;
    for (int i = 0; i < kMaxPerWake && !stopped; ++i) {
      const auto received = sockets[index].receive(buffer);
      if (!received) return;
      if (!sources.allow(received->from.address().to_string(), loop.now()) || !within_rate()) continue;
      handle(sockets[index], *received, std::span(buffer).first(received->bytes));
    }
  }

  bool within_rate() {
    const TimePoint now = loop.now();
    const double elapsed_s = std::chrono::duration<double>(now - allowance_at).count();
    allowance = std::min(kMaxBeaconsPerSecond, allowance + elapsed_s * kMaxBeaconsPerSecond);
    allowance_at = now;
    if (allowance >= 1) {
      allowance -= 1;
      return true;
    }
    if (now - flood_logged_at > std::chrono::seconds(30)) {
      flood_logged_at = now;
      log_warning("net", "more than {} beacons per second: some are dropped", kMaxBeaconsPerSecond);
    }
    return false;
  }

  void handle(BeaconSocket& socket, const BeaconSocket::Received& received, std::span<const std::byte> datagram) {
    const auto interface = std::find_if(interfaces.begin(), interfaces.end(),
                                        [&](const Interface& i) { return i.index == received.interface_index; });
    if (interface == interfaces.end()) return;  // came in where we do not look for peers
    auto beacon = decode_beacon(datagram);
    if (!beacon) {
      log_debug("net", "from {}: {}", received.from.address().to_string(), beacon.error().message);
      return;
    }
    if (beacon->id == own.id) return;
    if (beacon->wants_answer) answer(socket, *interface, received.from);
    const InterfaceKind medium = std::max(interface->kind, beacon->medium);
    on_sighting({std::move(*beacon), received.from.address().to_string(), medium});
  }

  // To the asker alone, for networks that lose broadcasts, and to all, because several nodes may share its port.
  void answer(BeaconSocket& socket, const Interface& interface, const udp::endpoint& asker) {
    TimePoint& last = answered[interface.index];
    if (loop.now() - last < kAnswerPause) return;
    last = loop.now();
    if (auto sent = socket.send(interface, "", asker, beacon_bytes(interface, false)); !sent) {
      log_debug("net", "no answer to {}: {}", asker.address().to_string(), sent.error().message);
    }
    send_beacon(interface, false);
  }
};

Discovery::Discovery(EventLoop& loop, DiscoveryOptions options, Beacon own,
                     std::function<void(const Sighting&)> on_sighting)
    : impl_(std::make_shared<Impl>(loop, std::move(options), std::move(own), std::move(on_sighting))) {}

Discovery::~Discovery() { stop(); }

Status Discovery::start() {
  Status result;
  if (impl_->options.port != 0) {
    for (const bool ipv6 : {false, true}) {
      auto socket = BeaconSocket::open(impl_->loop.context(), ipv6, impl_->options.port);
      if (socket) {
        impl_->sockets.push_back(std::move(*socket));
      } else if (!ipv6) {
        result = std::unexpected(socket.error());
      }
    }
    if (!impl_->sockets.empty()) result = {};
  }
  for (size_t i = 0; i < impl_->sockets.size(); ++i) impl_->wait_readable(i);
  impl_->refresh_interfaces();
  return result;
}

void Discovery::stop() {
  impl_->stopped = true;
  impl_->loop.cancel(impl_->beacon_timer);
  impl_->loop.cancel(impl_->refresh_timer);
  boost::system::error_code ignored;
  for (BeaconSocket& socket : impl_->sockets) socket.socket().close(ignored);
}

const std::vector<Interface>& Discovery::interfaces() const { return impl_->interfaces; }

}  // namespace exo::net
