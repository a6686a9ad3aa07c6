#pragma once
// Serves byte ranges of this node's models, and the hashes that prove them, to admitted nodes. Files are read on a
// thread of their own and hashed on another one, and bytes leave in pieces of one TLS record, so that steps on the
// links do not wait. Network thread only.

#include <boost/asio/awaitable.hpp>
#include <memory>

#include "net/file_transfer.h"
#include "net/peer_acceptor.h"

namespace exo::net {

inline constexpr size_t kMaxFileClients = 64;

class FileServer {
 public:
  FileServer(EventLoop& loop, LocalNode local);
  ~FileServer();
  void set_source(FileSourceLookup lookup);
  // Answers a connection's requests until it ends. Throws boost::system::system_error when it breaks.
  boost::asio::awaitable<void> serve(IncomingRequest incoming);
  void stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// Request headers by which a file client shows that it would be admitted to a link.
inline constexpr const char* kVersionHeader = "X-Exo-Version";  // "1 0.1.0": protocol, software
inline constexpr const char* kProofHeader = "X-Exo-Proof";      // 64 hex digits, ProofRole::kFileClient
std::string version_header(const Introduction& self);
// Empty when the client would be admitted to a link, else what separates us.
std::string refuse_client(const LocalNode& local, const HttpRequest& request, const NodeId& client,
                          const Digest& channel_key);

}  // namespace exo::net
