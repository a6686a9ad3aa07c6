#pragma once
// Encrypted streams between the members of a group that computes a stage together (ring/group_links.h). They lie
// apart from the links: the engine's thread reads and writes them itself, so that a layer does not wait for two
// more threads to hand its numbers on. The same port, TLS and proof as for the transfer of files.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "net/clock.h"

namespace exo::net {

// Ordered bytes to and from one other member. One thread at a time; never blocks.
class GroupStream {
 public:
  virtual ~GroupStream() = default;
  // How many bytes were read or written now; 0: it would have to wait. kUnavailable: the stream has ended, for
  // good.
  virtual Result<size_t> read(std::span<std::byte> to) = 0;
  virtual Result<size_t> write(std::span<const std::byte> from) = 0;
  virtual int descriptor() const = 0;  // to poll
};

// Where the streams of one group begin and end on this node: other members' are taken in while it exists. Any
// thread; connect and accept block theirs.
class GroupPort {
 public:
  virtual ~GroupPort() = default;
  // Dials until the peer has a port for the same group too. kDeadlineExceeded, kUnavailable, kCancelled.
  virtual Result<std::unique_ptr<GroupStream>> connect(const NodeId& peer, Duration deadline) = 0;
  // Waits for the peer's connect. Of several streams the newest counts.
  virtual Result<std::unique_ptr<GroupStream>> accept(const NodeId& peer, Duration deadline) = 0;
  virtual bool has_arrived(const NodeId& peer) const = 0;  // accept would not wait
  virtual void cancel() = 0;                               // every call in progress and later gives kCancelled
};

class GroupConnector {
 public:
  virtual ~GroupConnector() = default;
  // `group`: the same text on all members, of letters, digits, '.' and '-', at most kMaxGroupNameBytes. One port
  // for a name at a time, which takes in these members' streams only. kInvalidArgument.
  virtual Result<std::unique_ptr<GroupPort>> open_group(const std::string& group,
                                                        const std::vector<NodeId>& members) = 0;
};

inline constexpr size_t kMaxGroupNameBytes = 256;

}  // namespace exo::net
