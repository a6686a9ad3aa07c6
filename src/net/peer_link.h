#pragma once
// A link with one peer: frames out through a bounded queue, frames in, an orderly end. It runs over one admitted
// connection at a time and can move to another, of the same two nodes, without losing, repeating or reordering a
// frame: frames are counted in both directions and kept until the peer has said that it got them. Network thread
// only. Includes Boost: for .cpp files of net/ only.
//
// Binary WebSocket messages are a count of the frames received and a frame, text messages speak of the link itself
// (docs/wire-handshake.md): "ack N", where nothing goes back for long.
// Only the network breaks a connection: what a peer says or does ends the link.

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "net/channel.h"
#include "net/link_text.h"
#include "net/transport.h"

namespace exo::net {

class PeerLink : public std::enable_shared_from_this<PeerLink> {
 public:
  struct Events {
    std::function<void(std::span<const std::byte> frame)> on_frame;
    std::function<void(Error why)> on_closed;  // once, unless close() was called before
    // The connection is gone, but nothing was said: move_to() mends the link, close() gives it up.
    std::function<void(Error why)> on_broken;
  };

  // `session`: names this link among all that the two nodes ever have, in the path of a request.
  // The clock outlives the link.
  PeerLink(const Clock& clock, std::shared_ptr<WebSocket> channel, Introduction peer, LinkInfo info,
           std::string session, size_t max_queue_bytes);

  void start(Events events);
  // False: the queue would be over its bound, or the link is closed. While the link is broken frames are kept.
  bool send(std::vector<std::byte> frame);
  // Tells the peer why, as far as it still reads; no event comes any more.
  void close(const std::string& reason);

  // ---- moving
  // How many frames have come. From now on none is taken from the present connection: the peer sends what it sent
  // beyond over the next one.
  uint64_t pause();
  bool paused() const { return paused_; }
  bool can_resume(uint64_t peer_received) const {
    return !closed_ && peer_received >= forgotten_ && peer_received <= forgotten_ + next_;
  }
  // Goes on over `channel`, from the frame after those that the peer has received. False: that cannot be true; the
  // link is as before.
  bool move_to(std::shared_ptr<WebSocket> channel, LinkInfo info, uint64_t peer_received);

  // The connection is of no use any more: on_broken follows, if it has not yet.
  void break_off(Error why) { lost(channel_, std::move(why)); }

  const Introduction& peer() const { return peer_; }
  const LinkInfo& info() const { return info_; }
  // Where the peer can be dialled on the link's present way.
  const boost::asio::ip::tcp::endpoint& answers_at() const { return answers_at_; }
  const std::string& session() const { return session_; }
  size_t queued_bytes() const { return queued_bytes_; }  // of memory, for what is not known to have arrived
  bool broken() const { return broken_; }
  TimePoint last_heard() const { return last_heard_; }
  // The system has sent something again because nobody acknowledged it; false where it does not tell.
  bool retransmits() const;

 private:
  struct Frame {
    CountBytes count{};  // of the moment when it is written
    std::vector<std::byte> bytes;
  };

  boost::asio::awaitable<void> read_frames(std::shared_ptr<WebSocket> channel);
  bool take(std::span<const std::byte> message);
  bool on_text(std::string_view text);
  bool forget(uint64_t received);
  bool owes_acknowledgement() const;
  void write_next();
  void write(const std::shared_ptr<Frame>& frame);
  void write_acknowledgement();
  void written(const std::shared_ptr<WebSocket>& channel, const boost::system::error_code& error);
  void send_close_frame();
  void lost(const std::shared_ptr<WebSocket>& channel, Error why);
  void fail_with(Error why);

  const Clock& clock_;
  std::shared_ptr<WebSocket> channel_;
  const Introduction peer_;
  LinkInfo info_;
  boost::asio::ip::tcp::endpoint answers_at_;
  const std::string session_;
  const size_t max_queue_bytes_;
  std::shared_ptr<const Events> events_;      // null once closed
  std::deque<std::shared_ptr<Frame>> queue_;  // sent, but the peer has not said that they came
  size_t next_ = 0;                           // in queue_: the first that was not given to the present connection
  uint64_t forgotten_ = 0;                    // frames before queue_
  size_t queued_bytes_ = 0;
  uint64_t received_ = 0, acknowledged_ = 0;  // frames from the peer; how many of them it knows of
  size_t unacknowledged_bytes_ = 0;
  TimePoint last_heard_;
  bool writing_ = false, paused_ = false, broken_ = false, closed_ = false;
  std::string close_reason_;
  std::optional<SocketDeadline> close_deadline_;
};

}  // namespace exo::net
