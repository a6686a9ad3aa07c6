#pragma once
// The real Transport: discovery, dialling, the peer port, encrypted links, file transfer. One object per node.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/event_loop.h"
#include "net/file_transfer.h"
#include "net/group_stream.h"
#include "net/identity.h"
#include "net/interfaces.h"
#include "net/link_path.h"
#include "net/transport.h"

namespace exo::net {

inline constexpr uint16_t kDefaultPeerPort = 52416;
inline constexpr uint16_t kDefaultDiscoveryPort = 52414;

struct NetworkOptions {
  std::vector<std::string>
      interfaces;  // names; empty: all usable ones (never loopback, tunnels, container bridges)
  uint16_t peer_port = kDefaultPeerPort;
  bool peer_port_exact = false;  // true: fail when it is taken (asked for by the user); false: take any other then
  uint16_t discovery_port = kDefaultDiscoveryPort;  // 0: no beacons
  std::vector<std::string> seeds;                   // "host", "host:port", "[v6]:port"
  std::string secret;                               // empty: open to the local network
  std::string name, software_version;
  uint64_t incarnation = 0;                               // 0: from the wall clock
  size_t send_queue_bytes = 256ull << 20;                 // per link
  Duration handshake_deadline = std::chrono::seconds(5);  // from connection to admission
};

// A --peer as it stands now.
struct SeedState {
  enum class Phase { kTrying, kLinked, kUnreachable, kRefused, kSelf } phase = Phase::kTrying;
  std::string seed;            // as it was given
  std::optional<NodeId> peer;  // who answers there
  std::string problem;         // for a person, when unreachable or refused
};

class NodeNetwork final : public Transport, public FileConnector, public GroupConnector {
 public:
  NodeNetwork(EventLoop& loop, Identity identity, NetworkOptions options);
  ~NodeNetwork() override;  // stops; on the network thread or while the loop is not running

  // Opens the port and begins to look for peers. On the network thread or before the loop runs.
  Status start();
  // Closes everything; peers are told why. Listeners hear nothing any more. Let the loop run on for up to 0.5 s for
  // the peers to read it. Network thread.
  void stop(const std::string& reason = "this node stops");

  // Network thread, after start().
  uint16_t peer_port() const;
  uint64_t incarnation() const;
  std::vector<Interface> interfaces_used() const;
  std::vector<std::string> addresses() const;  // for NodeFacts: where others may dial this node, best first
  std::vector<SeedState> seed_states() const;
  // Pairs of addresses of links that could run over several, and what was measured of them.
  std::vector<LinkPath> link_paths() const;
  bool discovery_works() const;  // false: the port could not be had; only seeds find peers
  // Which models may be fetched from this node.
  void set_file_source(FileSourceLookup lookup);

  // ---- Transport. Gossip that passes through also tells this class where other nodes can be dialled.
  NodeId self() const override;
  void add_listener(TransportListener* listener) override;
  bool send(const NodeId& to, wire::Message message) override;
  void disconnect(const NodeId& peer, const std::string& reason) override;
  std::vector<LinkInfo> links() const override;
  LinkTraffic traffic(const NodeId& peer) const override;
  std::vector<Refusal> refusals() const override;

  // ---- FileConnector. Any thread, until stop().
  Result<std::unique_ptr<FileConnection>> connect_files(const NodeId& peer) override;
  // ---- GroupConnector. Any thread, after start() and until stop().
  Result<std::unique_ptr<GroupPort>> open_group(const std::string& group,
                                                const std::vector<NodeId>& members) override;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace exo::net
