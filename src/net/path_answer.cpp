#include "net/path_answer.h"

#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket/ssl.hpp>

#include "net/link_text.h"
#include "net/path_probe.h"

namespace exo::net {

namespace asio = boost::asio;
namespace beast = boost::beast;

namespace {

constexpr uint64_t kMostBytes = 16 << 20;

}  // namespace

asio::awaitable<std::optional<uint64_t>> answer_probes(WebSocket& channel) {
  channel.read_message_max(kMostBurstBytes);
  beast::flat_buffer buffer;
  for (uint64_t bytes = 0; bytes < kMostBytes;) {
    buffer.clear();
    co_await channel.async_read(buffer, asio::use_awaitable);
    bytes += buffer.size();
    if (channel.got_binary()) continue;
    const std::string text = beast::buffers_to_string(buffer.data());
    if (!read_count(text, kEcho)) co_return read_count(text, kMove);
    auto echoing = write_text(channel, text);
    co_await std::move(echoing);
  }
  co_return std::nullopt;
}

std::shared_ptr<void> ProbePlaces::take(const NodeId& peer) {
  size_t& here = (*taken_)[peer];
  if (here >= kMostPerPeer) return nullptr;
  ++here;
  return std::shared_ptr<void>(taken_.get(), [taken = taken_, peer](void*) {
    const auto entry = taken->find(peer);
    if (--entry->second == 0) taken->erase(entry);
  });
}

}  // namespace exo::net
