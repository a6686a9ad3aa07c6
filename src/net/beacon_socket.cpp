#include "net/beacon_socket.h"

// macOS shows IPV6_RECVPKTINFO only to those who ask for RFC 3542.
#define __APPLE_USE_RFC_3542 1
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/multicast.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <cerrno>
#include <cstring>

namespace exo::net {

namespace asio = boost::asio;

namespace {

void set_int(int socket, int level, int name, int value) {
  ::setsockopt(socket, level, name, &value, sizeof value);
}

// Room for one in_pktinfo or in6_pktinfo.
union ControlBuffer {
  cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(in_pktinfo))];
};

template <typename Info>
void attach(msghdr& message, ControlBuffer& control, int level, int type, const Info& info) {
  message.msg_control = control.bytes;
  message.msg_controllen = CMSG_SPACE(sizeof(Info));
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = level;
  header->cmsg_type = type;
  header->cmsg_len = CMSG_LEN(sizeof(Info));
  std::memcpy(CMSG_DATA(header), &info, sizeof info);
}

}  // namespace

Result<BeaconSocket> BeaconSocket::open(asio::io_context& context, bool ipv6, uint16_t port) {
  udp::socket socket(context);
  boost::system::error_code error;
  const udp protocol = ipv6 ? udp::v6() : udp::v4();
  socket.open(protocol, error);
  if (error) return fail(ErrorCode::kUnavailable, "{}", error.message());
  const int fd = socket.native_handle();
  set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (ipv6) {
    socket.set_option(asio::ip::v6_only(true), error);
    set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1);
    set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1);
  } else {
    set_int(fd, SOL_SOCKET, SO_BROADCAST, 1);
    set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
    set_int(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 1);
    set_int(fd, IPPROTO_IP, IP_MULTICAST_TTL, 1);
  }
  socket.bind(udp::endpoint(protocol, port), error);
  if (error) return fail(ErrorCode::kUnavailable, "UDP port {}: {}", port, error.message());
  socket.non_blocking(true, error);
  return BeaconSocket(std::move(socket), ipv6);
}

void BeaconSocket::join(const Interface& interface) {
  boost::system::error_code ignored;
  if (ipv6_) {
    const auto group = asio::ip::make_address_v6(kBeaconGroupV6, ignored);
    socket_.set_option(asio::ip::multicast::join_group(group, interface.index), ignored);
    return;
  }
  const auto group = asio::ip::make_address_v4(kBeaconGroupV4, ignored);
  for (const InterfaceAddress& a : interface.addresses) {
    if (a.ipv6) continue;
    const auto own = asio::ip::make_address_v4(a.address, ignored);
    socket_.set_option(asio::ip::multicast::join_group(group, own), ignored);
  }
}

Status BeaconSocket::send(const Interface& interface, const std::string& source, const udp::endpoint& to,
                          std::span<const std::byte> datagram) {
  iovec part{const_cast<std::byte*>(datagram.data()), datagram.size()};
  msghdr message{};
  message.msg_name = const_cast<sockaddr*>(to.data());
  message.msg_namelen = static_cast<socklen_t>(to.size());
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ControlBuffer control{};
  if (ipv6_) {
    in6_pktinfo info{};
    info.ipi6_ifindex = interface.index;
    attach(message, control, IPPROTO_IPV6, IPV6_PKTINFO, info);
  } else {
    in_pktinfo info{};
    info.ipi_ifindex = static_cast<decltype(info.ipi_ifindex)>(interface.index);
    if (!source.empty()) ::inet_pton(AF_INET, source.c_str(), &info.ipi_spec_dst);
    attach(message, control, IPPROTO_IP, IP_PKTINFO, info);
  }
  if (::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT) < 0) {
    return fail(ErrorCode::kUnavailable, "{}: {}", interface.name, std::strerror(errno));
  }
  return {};
}

std::optional<BeaconSocket::Received> BeaconSocket::receive(std::span<std::byte> buffer) {
  Received received;
  iovec part{buffer.data(), buffer.size()};
  ControlBuffer control{};
  msghdr message{};
  message.msg_name = received.from.data();
  message.msg_namelen = static_cast<socklen_t>(received.from.capacity());
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  const ssize_t n = ::recvmsg(socket_.native_handle(), &message, MSG_DONTWAIT);
  if (n < 0) return std::nullopt;
  received.from.resize(message.msg_namelen);
  received.bytes = static_cast<size_t>(n);
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(header), sizeof info);
      received.interface_index = static_cast<uint32_t>(info.ipi_ifindex);
    } else if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(header), sizeof info);
      received.interface_index = info.ipi6_ifindex;
    }
  }
  return received;
}

}  // namespace exo::net
