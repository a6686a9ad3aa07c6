#pragma once
// An admitted connection to one peer: frames out through a bounded queue, frames in, an orderly end. Network thread
// only. Includes Boost: for .cpp files of net/ only.

#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "net/channel.h"
#include "net/transport.h"

namespace exo::net {

class PeerLink : public std::enable_shared_from_this<PeerLink> {
 public:
  struct Events {
    std::function<void(std::span<const std::byte> frame)> on_frame;
    std::function<void(Error why)> on_closed;  // once, unless close() was called before
  };

  PeerLink(std::unique_ptr<WebSocket> channel, Introduction peer, LinkInfo info, size_t max_queue_bytes);

  void start(Events events);
  // False: the queue would be over its bound, or the link is closed.
  bool send(std::vector<std::byte> frame);
  // Tells the peer why, as far as it still reads; no event comes any more.
  void close(const std::string& reason);

  const Introduction& peer() const { return peer_; }
  const LinkInfo& info() const { return info_; }
  size_t queued_bytes() const { return queued_bytes_; }

 private:
  boost::asio::awaitable<void> read_frames();
  void write_next();
  void send_close_frame();
  void fail_with(Error why);

  const std::unique_ptr<WebSocket> channel_;
  const Introduction peer_;
  const LinkInfo info_;
  const size_t max_queue_bytes_;
  std::shared_ptr<const Events> events_;  // null once closed
  std::deque<std::vector<std::byte>> queue_;
  size_t queued_bytes_ = 0;
  bool writing_ = false;
  bool closed_ = false;
  std::string close_reason_;
  std::optional<SocketDeadline> close_deadline_;
};

}  // namespace exo::net
