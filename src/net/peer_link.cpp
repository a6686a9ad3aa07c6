#include "net/peer_link.h"

#include <netinet/tcp.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/websocket/ssl.hpp>

#include "base/printable.h"
#include "net/byte_fields.h"
#include "net/link_text.h"
#include "wire/limits.h"

namespace exo::net {

namespace asio = boost::asio;
namespace beast = boost::beast;

namespace {

constexpr Duration kCloseDeadline = std::chrono::milliseconds(500);
constexpr size_t kMaxCloseReasonBytes = 120;  // RFC 6455: 125 with the code
constexpr uint64_t kFramesPerAcknowledgement = 32;
constexpr size_t kBytesPerAcknowledgement = 1 << 20;
constexpr size_t kMostMessageBytes = sizeof(CountBytes) + wire::kMaxFrameBytes;
constexpr size_t kBytesAroundFrame = 128;         // in memory, while it is kept
constexpr size_t kKeptReadBufferBytes = 1 << 20;  // a larger one is given back after the message that needed it

// By what the peer did, or by what it would do again on another connection; not by the network.
bool is_final(const boost::system::error_code& error) {
  return error.category() == make_error_code(beast::websocket::error::closed).category();
}

std::string why_ended(WebSocket& channel, const boost::system::error_code& error) {
  if (error == beast::websocket::error::closed) {
    const std::string_view reason(channel.reason().reason.data(), channel.reason().reason.size());
    return reason.empty() ? "the peer closed the link" : printable(reason, kMaxCloseReasonBytes);
  }
  if (error == asio::error::eof || error == asio::ssl::error::stream_truncated) return "the peer went away";
  return error.message();
}

}  // namespace

PeerLink::PeerLink(const Clock& clock, std::shared_ptr<WebSocket> channel, Introduction peer, LinkInfo info,
                   std::string session, size_t max_queue_bytes)
    : clock_(clock),
      channel_(std::move(channel)),
      peer_(std::move(peer)),
      info_(std::move(info)),
      answers_at_(answering_endpoint(*channel_, peer_.peer_port)),
      session_(std::move(session)),
      max_queue_bytes_(max_queue_bytes),
      last_heard_(clock_.now()) {
  channel_->read_message_max(kMostMessageBytes);
}

void PeerLink::start(Events events) {
  events_ = std::make_shared<const Events>(std::move(events));
  asio::co_spawn(
      channel_->get_executor(),
      [self = shared_from_this(), channel = channel_] { return self->read_frames(channel); }, asio::detached);
}

// Reads one connection to its end, also when it is no longer the link's.
asio::awaitable<void> PeerLink::read_frames(std::shared_ptr<WebSocket> channel) {
  const auto self = shared_from_this();
  Error why{ErrorCode::kUnavailable, ""};
  bool final = false;
  try {
    beast::flat_buffer buffer;
    // After close() reading goes on until the peer's close frame has come, so that ours gets through.
    for (;;) {
      co_await channel->async_read(buffer, asio::use_awaitable);
      if (!closed_ && channel == channel_ && !paused_) {
        last_heard_ = clock_.now();
        const std::span bytes(static_cast<const std::byte*>(buffer.data().data()), buffer.size());
        const bool text = channel->got_text();
        if (!(text ? on_text({reinterpret_cast<const char*>(bytes.data()), bytes.size()}) : take(bytes))) {
          fail_with({ErrorCode::kCorrupt, "a message on the link that makes no sense"});
        }
      }
      buffer.clear();
      if (buffer.capacity() > kKeptReadBufferBytes) buffer.shrink_to_fit();
    }
  } catch (const boost::system::system_error& error) {
    why.message = why_ended(*channel, error.code());
    final = is_final(error.code());
  } catch (const std::exception& error) {
    why = {ErrorCode::kResourceExhausted, error.what()};
    final = true;
  }
  boost::system::error_code ignored;
  socket_of(*channel).close(ignored);
  if (channel != channel_) co_return;
  close_deadline_.reset();
  if (closed_) co_return;
  if (!final) {
    lost(channel, std::move(why));
    co_return;
  }
  closed_ = true;
  std::exchange(events_, nullptr)->on_closed(std::move(why));
}

bool PeerLink::take(std::span<const std::byte> message) {
  constexpr size_t kCountBytes = sizeof(CountBytes);
  if (message.size() < kCountBytes || !forget(read_count(message.first<kCountBytes>()))) return false;
  const auto frame = message.subspan(kCountBytes);
  ++received_;
  unacknowledged_bytes_ += frame.size();
  const auto events = events_;  // close() may be called within
  events->on_frame(frame);
  if (owes_acknowledgement() && !closed_ && !writing_ && !broken_) write_next();
  return true;
}

bool PeerLink::on_text(std::string_view text) {
  const auto received = read_count(text, kAcknowledge);
  return received && forget(*received);
}

// Frames that the peer has. False: it cannot have so few or so many.
bool PeerLink::forget(uint64_t received) {
  if (!can_resume(received)) return false;
  for (; forgotten_ < received; ++forgotten_) {
    queued_bytes_ -= queue_.front()->bytes.size() + kBytesAroundFrame;
    queue_.pop_front();
    next_ -= next_ > 0;
  }
  return true;
}

bool PeerLink::send(std::vector<std::byte> frame) {
  const size_t bytes = frame.size() + kBytesAroundFrame;
  if (closed_ || queued_bytes_ + bytes > max_queue_bytes_) return false;
  queued_bytes_ += bytes;
  queue_.push_back(std::make_shared<Frame>(CountBytes{}, std::move(frame)));
  if (!writing_ && !broken_) write_next();
  return true;
}

bool PeerLink::owes_acknowledgement() const {
  return received_ - acknowledged_ >= kFramesPerAcknowledgement ||
         unacknowledged_bytes_ >= kBytesPerAcknowledgement;
}

// A frame says itself how many have come.
void PeerLink::write_next() {
  const bool owes = owes_acknowledgement();
  if (next_ == queue_.size() && !owes) return;
  acknowledged_ = received_;
  unacknowledged_bytes_ = 0;
  writing_ = true;
  if (next_ == queue_.size()) return write_acknowledgement();
  write(queue_[next_++]);
}

// The handlers keep alive what is written, whatever becomes of the link.
void PeerLink::write(const std::shared_ptr<Frame>& frame) {
  frame->count = count_bytes(received_);
  const std::array<asio::const_buffer, 2> buffers{asio::buffer(frame->count), asio::buffer(frame->bytes)};
  channel_->binary(true);
  channel_->async_write(
      buffers, [self = shared_from_this(), channel = channel_, frame](const boost::system::error_code& error,
                                                                      size_t) { self->written(channel, error); });
}

void PeerLink::write_acknowledgement() {
  const auto text = std::make_shared<const std::string>(count_text(kAcknowledge, received_));
  channel_->text(true);
  channel_->async_write(asio::buffer(*text),
                        [self = shared_from_this(), channel = channel_, text](
                            const boost::system::error_code& error, size_t) { self->written(channel, error); });
}

void PeerLink::written(const std::shared_ptr<WebSocket>& channel, const boost::system::error_code& error) {
  if (channel != channel_) return;  // the link has moved
  writing_ = false;
  if (closed_) {
    if (!error) send_close_frame();
  } else if (error) {
    lost(channel, {ErrorCode::kUnavailable, error.message()});
  } else {
    write_next();
  }
}

uint64_t PeerLink::pause() {
  paused_ = true;
  return received_;
}

bool PeerLink::move_to(std::shared_ptr<WebSocket> channel, LinkInfo info, uint64_t peer_received) {
  if (!forget(peer_received)) return false;
  const auto old = std::exchange(channel_, std::move(channel));
  boost::system::error_code ignored;
  socket_of(*old).close(ignored);  // its reader and writer see that and end
  channel_->read_message_max(kMostMessageBytes);
  info_ = std::move(info);
  answers_at_ = answering_endpoint(*channel_, peer_.peer_port);
  next_ = 0;
  acknowledged_ = received_;  // the peer was told
  unacknowledged_bytes_ = 0;
  last_heard_ = clock_.now();
  writing_ = paused_ = broken_ = false;
  asio::co_spawn(
      channel_->get_executor(),
      [self = shared_from_this(), channel = channel_] { return self->read_frames(channel); }, asio::detached);
  write_next();
  return true;
}

bool PeerLink::retransmits() const {
#ifdef TCP_INFO
  tcp_info info{};
  socklen_t size = sizeof info;
  const int descriptor = socket_of(*channel_).native_handle();
  return ::getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_retransmits > 0;
#else
  return false;
#endif
}

void PeerLink::lost(const std::shared_ptr<WebSocket>& channel, Error why) {
  if (closed_ || broken_ || channel != channel_) return;
  broken_ = true;
  boost::system::error_code ignored;
  socket_of(*channel_).close(ignored);
  const auto events = events_;
  events->on_broken(std::move(why));
}

void PeerLink::close(const std::string& reason) {
  if (closed_) return;
  closed_ = true;
  close_reason_ = reason.substr(0, kMaxCloseReasonBytes);
  events_ = nullptr;
  queue_.clear();
  queued_bytes_ = next_ = 0;
  if (broken_) return;
  close_deadline_.emplace(socket_of(*channel_), kCloseDeadline);
  if (!writing_) send_close_frame();  // else after the frame under way, which goes out whole
}

void PeerLink::send_close_frame() {
  const beast::websocket::close_reason reason(beast::websocket::close_code::going_away, close_reason_);
  // The reading coroutine sees the peer's answer, or the deadline, and closes the socket.
  channel_->async_close(reason, [channel = channel_](const boost::system::error_code&) {
    boost::system::error_code ignored;
    socket_of(*channel).close(ignored);
  });
}

void PeerLink::fail_with(Error why) {
  if (closed_) return;
  const auto events = events_;
  close(why.message);
  events->on_closed(std::move(why));
}

}  // namespace exo::net
