#pragma once
// The exchange between the members of a group over their own streams (net/group_stream.h): everybody sends to
// everybody directly. Each message says which step and which of its exchanges it belongs to, so that what is left
// of a step that failed is skipped, and a member that has fallen behind notices.
//
// Message: u64 step, u32 exchange within the step, u32 bytes (kAbandoned: none follow, the sender's step has
// failed), all little-endian, then the bytes.

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <span>
#include <vector>

#include "net/group_stream.h"
#include "ring/stage_group.h"

namespace exo::ring {

struct GroupLinksOptions {
  net::Duration connect_deadline = std::chrono::seconds(3);
  // For one exchange. Members that are gone are noticed by their nodes' heartbeats; this is for what nobody
  // notices.
  net::Duration exchange_deadline = std::chrono::seconds(30);
  // How long to look again and again before the thread sleeps: waking up takes longer than most waits of a decode.
  net::Duration spin = std::chrono::microseconds(100);
};

class GroupLinks final : public StageGroup {
 public:
  static constexpr uint32_t kAbandoned = UINT32_MAX;

  // members: all of the group, this one at index `own`. A stream is dialled by the member of lower index.
  GroupLinks(std::unique_ptr<net::GroupPort> port, const std::vector<NodeId>& members, int32_t own,
             GroupLinksOptions options = {});
  ~GroupLinks() override;

  Status begin_step(MicroBatchId step) override;
  Status exchange(std::span<const std::byte> own, std::span<const std::span<std::byte>> parts,
                  Receivers receivers) override;
  void abandon_step() override;
  void interrupt(MicroBatchId newest) override;
  void cancel() override;

 private:
  // What comes from a member, message by message.
  struct Incoming {
    std::array<std::byte, 16> header_bytes;
    size_t n_header_bytes = 0;  // that have come; all: the header is read
    uint64_t step = 0;
    uint32_t exchange = 0, size = 0;
    uint64_t n_body_bytes = 0;  // that have come
  };
  struct Peer {
    NodeId node;
    bool dials = false;  // this end does
    std::unique_ptr<net::GroupStream> stream;
    size_t to_write = 0;  // of message_, from its end
    std::span<std::byte> part;
    bool waiting = false;  // for a message of this exchange
    Incoming incoming;
  };

  Status connect(Peer& peer);
  static void drop(Peer& peer);
  void encode(uint32_t size);
  // Move what can be moved now; true when something was. An error drops the stream.
  Result<bool> write(Peer& peer);
  Result<bool> read(Peer& peer);
  Result<bool> read_header(Peer& peer);
  Result<bool> read_body(Peer& peer, bool skips);
  Status check_message(const Peer& peer) const;
  Status move_all();
  void sleep();
  bool is_done() const;
  Status check_interrupted() const;
  void drop_unfinished();

  const GroupLinksOptions options_;
  const std::unique_ptr<net::GroupPort> port_;
  const size_t own_;
  std::vector<Peer> peers_;  // by member; the own place is unused
  uint64_t step_ = 0;
  uint32_t exchange_ = 0;
  std::vector<std::byte> message_;   // the header and what goes out with it
  std::span<const std::byte> rest_;  // of what is exchanged
  std::vector<std::byte> skipped_;
  int wake_ = -1;  // an eventfd
  std::atomic<uint64_t> interrupted_through_ = 0;
  std::atomic<bool> cancelled_ = false;
};

}  // namespace exo::ring
