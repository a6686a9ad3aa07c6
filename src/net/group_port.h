#pragma once
// Both ends of making a stream between members of a group: `GET /groups/NAME` on the peer port. Includes Boost: for
// .cpp files of net/ only.

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "net/file_connection.h"
#include "net/group_stream.h"
#include "net/peer_acceptor.h"

namespace exo::net {

inline constexpr std::string_view kGroupPrefix = "/groups/";
// What the dialer writes first, natively: only then does the acceptor.
inline constexpr std::byte kGroupGreeting{0x45};

// The groups that have a port here, and the streams that came for them. Any thread.
class GroupDoors {
 public:
  struct Door {
    mutable std::mutex mutex;
    std::condition_variable changed;
    std::map<NodeId, std::unique_ptr<GroupStream>> arrived;
    std::vector<NodeId> members;  // who may come in
    bool cancelled = false;
  };

  // Instead of one of the same name.
  std::shared_ptr<Door> open(const std::string& group, const std::vector<NodeId>& members);
  void close(const std::string& group, const std::shared_ptr<Door>& door);
  std::shared_ptr<Door> find(std::string_view group) const;
  void cancel_all();

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Door>, std::less<>> doors_;
};

// The acceptor's side: answers one request whose target begins with kGroupPrefix. Network thread; throws
// boost::system::system_error when the connection breaks.
boost::asio::awaitable<void> accept_group(IncomingRequest incoming, std::shared_ptr<const LocalNode> local,
                                          std::shared_ptr<GroupDoors> doors);

// `find_endpoints`: where a peer can be dialled; empty: there was no link with it. Any thread.
using FindEndpoints = std::function<std::vector<FileEndpoint>(const NodeId& peer)>;
Result<std::unique_ptr<GroupPort>> open_group_port(std::shared_ptr<boost::asio::ssl::context> tls,
                                                   std::shared_ptr<const LocalNode> local,
                                                   std::shared_ptr<GroupDoors> doors, const std::string& group,
                                                   const std::vector<NodeId>& members,
                                                   FindEndpoints find_endpoints);

}  // namespace exo::net
