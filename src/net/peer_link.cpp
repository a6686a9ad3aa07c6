#include "net/peer_link.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/websocket/ssl.hpp>

#include "net/byte_fields.h"
#include "wire/limits.h"

namespace exo::net {

namespace asio = boost::asio;
namespace beast = boost::beast;

namespace {

constexpr Duration kCloseDeadline = std::chrono::milliseconds(500);
constexpr size_t kMaxCloseReasonBytes = 120;      // RFC 6455: 125 with the code
constexpr size_t kKeptReadBufferBytes = 1 << 20;  // a larger one is given back after the message that needed it

std::string why_ended(WebSocket& channel, const boost::system::error_code& error) {
  if (error == beast::websocket::error::closed) {
    const std::string_view reason(channel.reason().reason.data(), channel.reason().reason.size());
    return reason.empty() ? "the peer closed the link" : printable(reason, kMaxCloseReasonBytes);
  }
  if (error == asio::error::eof || error == asio::ssl::error::stream_truncated) return "the peer went away";
  return error.message();
}

}  // namespace

PeerLink::PeerLink(std::unique_ptr<WebSocket> channel, Introduction peer, LinkInfo info, size_t max_queue_bytes)
    : channel_(std::move(channel)),
      peer_(std::move(peer)),
      info_(std::move(info)),
      max_queue_bytes_(max_queue_bytes) {
  channel_->read_message_max(wire::kMaxFrameBytes);
}

void PeerLink::start(Events events) {
  events_ = std::make_shared<const Events>(std::move(events));
  asio::co_spawn(
      channel_->get_executor(), [self = shared_from_this()] { return self->read_frames(); }, asio::detached);
}

asio::awaitable<void> PeerLink::read_frames() {
  const auto self = shared_from_this();
  Error why{ErrorCode::kUnavailable, ""};
  try {
    beast::flat_buffer buffer;
    // After close() reading goes on until the peer's close frame has come, so that ours gets through.
    for (;;) {
      co_await channel_->async_read(buffer, asio::use_awaitable);
      if (!closed_ && !channel_->got_binary()) {
        fail_with({ErrorCode::kCorrupt, "a text message on the link"});
      } else if (!closed_) {
        const auto events = events_;  // close() may be called within
        events->on_frame({static_cast<const std::byte*>(buffer.data().data()), buffer.size()});
      }
      buffer.clear();
      if (buffer.capacity() > kKeptReadBufferBytes) buffer.shrink_to_fit();
    }
  } catch (const boost::system::system_error& error) {
    why.message = why_ended(*channel_, error.code());
  } catch (const std::exception& error) {
    why = {ErrorCode::kResourceExhausted, error.what()};
  }
  boost::system::error_code ignored;
  socket_of(*channel_).close(ignored);
  close_deadline_.reset();
  if (closed_) co_return;
  closed_ = true;
  std::exchange(events_, nullptr)->on_closed(std::move(why));
}

bool PeerLink::send(std::vector<std::byte> frame) {
  if (closed_ || queued_bytes_ + frame.size() > max_queue_bytes_) return false;
  queued_bytes_ += frame.size();
  queue_.push_back(std::move(frame));
  if (!writing_) write_next();
  return true;
}

void PeerLink::write_next() {
  writing_ = true;
  const asio::const_buffer bytes(queue_.front().data(), queue_.front().size());
  channel_->async_write(bytes, [self = shared_from_this()](const boost::system::error_code& error, size_t) {
    self->writing_ = false;
    self->queued_bytes_ -= self->queue_.front().size();
    self->queue_.pop_front();
    if (self->closed_) {
      if (!error) self->send_close_frame();
    } else if (error) {
      self->fail_with({ErrorCode::kUnavailable, error.message()});
    } else if (!self->queue_.empty()) {
      self->write_next();
    }
  });
}

void PeerLink::close(const std::string& reason) {
  if (closed_) return;
  closed_ = true;
  close_reason_ = reason.substr(0, kMaxCloseReasonBytes);
  events_ = nullptr;
  close_deadline_.emplace(socket_of(*channel_), kCloseDeadline);
  if (writing_) {  // the frame under way goes out whole, the rest is dropped
    queue_.erase(queue_.begin() + 1, queue_.end());
    queued_bytes_ = queue_.front().size();
  } else {
    send_close_frame();
  }
}

void PeerLink::send_close_frame() {
  const beast::websocket::close_reason reason(beast::websocket::close_code::going_away, close_reason_);
  // The reading coroutine sees the peer's answer, or the deadline, and closes the socket.
  channel_->async_close(reason, [self = shared_from_this()](const boost::system::error_code&) {
    boost::system::error_code ignored;
    socket_of(*self->channel_).close(ignored);
  });
}

void PeerLink::fail_with(Error why) {
  if (closed_) return;
  const auto events = events_;
  close(why.message);
  events->on_closed(std::move(why));
}

}  // namespace exo::net
