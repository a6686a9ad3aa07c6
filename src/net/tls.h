#pragma once
// TLS 1.3 between nodes: each end shows a self-signed Ed25519 certificate and proves that it has its key; who that
// is, is the hash of the key. Includes Boost: for .cpp files of net/ only.

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <memory>

#include "base/ids.h"
#include "base/result.h"
#include "net/crypto.h"
#include "net/identity.h"

namespace exo::net {

using TlsStream = boost::beast::ssl_stream<boost::asio::ip::tcp::socket>;

// For both roles; shared by every connection of the node, from any thread.
Result<std::shared_ptr<boost::asio::ssl::context>> make_tls_context(const Identity& identity);

// After the handshake: who the other end is. kPermissionDenied cannot happen then, but is checked.
Result<NodeId> tls_peer(TlsStream& stream);
// 32 bytes that only the two ends of this very channel know (RFC 8446, 7.5).
Result<Digest> tls_channel_key(TlsStream& stream);

}  // namespace exo::net
