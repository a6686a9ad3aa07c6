#pragma once
// The client's end of a file transfer over the encrypted peer port.

#include <memory>
#include <string>
#include <vector>

#include "net/file_transfer.h"

namespace boost::asio::ssl {
class context;
}

namespace exo::net {

struct LocalNode;

struct FileEndpoint {
  std::string address;  // without port; may carry a "%scope"
  uint16_t port = 0;
};

// Keeps what it is given; connects to the first endpoint that answers as `peer`.
std::unique_ptr<FileConnection> make_file_connection(std::shared_ptr<boost::asio::ssl::context> tls,
                                                     std::shared_ptr<const LocalNode> local, NodeId peer,
                                                     std::vector<FileEndpoint> endpoints);

}  // namespace exo::net
