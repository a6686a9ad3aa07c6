#include "net/path_probe.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket/ssl.hpp>

#include "net/link_text.h"

namespace exo::net {

namespace asio = boost::asio;
namespace beast = boost::beast;

namespace {

constexpr int kEchoes = 5;
constexpr size_t kFirstBurstBytes = 16 << 10;
constexpr double kLongEnoughUs = 10'000;  // a burst that takes so long is timed well
constexpr double kLeastUs = 20;           // what the clock and the event loops resolve

double microseconds_since(SteadyPoint start) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

asio::awaitable<void> echo(WebSocket& channel, uint64_t number) {
  auto writing = write_text(channel, count_text(kEcho, number));
  co_await std::move(writing);
  auto reading = read_text(channel);
  const std::string answer = co_await std::move(reading);
  if (read_count(answer, kEcho) != number) {
    throw boost::system::system_error(make_error_code(boost::system::errc::protocol_error));
  }
}

}  // namespace

asio::awaitable<void> write_text(WebSocket& channel, std::string text) {
  channel.text(true);
  co_await channel.async_write(asio::const_buffer(text.data(), text.size()), asio::use_awaitable);
}

asio::awaitable<std::string> read_text(WebSocket& channel) {
  beast::flat_buffer buffer;
  co_await channel.async_read(buffer, asio::use_awaitable);
  if (!channel.got_text()) throw boost::system::system_error(make_error_code(boost::system::errc::protocol_error));
  co_return beast::buffers_to_string(buffer.data());
}

asio::awaitable<PathChooser::Measurement> measure_path(WebSocket& channel) {
  PathChooser::Measurement measured;
  uint64_t number = 0;
  for (int i = 0; i < kEchoes; ++i) {
    const SteadyPoint start = std::chrono::steady_clock::now();
    auto echoing = echo(channel, ++number);
    co_await std::move(echoing);
    const double us = std::max(1.0, microseconds_since(start));
    measured.round_trip_us = measured.round_trip_us == 0 ? us : std::min(measured.round_trip_us, us);
  }
  const std::vector<std::byte> zeros(kMostBurstBytes);
  for (size_t bytes = kFirstBurstBytes;; bytes *= 4) {
    const SteadyPoint start = std::chrono::steady_clock::now();
    channel.binary(true);
    co_await channel.async_write(asio::const_buffer(zeros.data(), bytes), asio::use_awaitable);
    auto echoing = echo(channel, ++number);
    co_await std::move(echoing);
    const double us = std::max(kLeastUs, microseconds_since(start) - measured.round_trip_us);
    measured.bandwidth_bytes_per_s = static_cast<double>(bytes) / us * 1e6;
    if (us >= kLongEnoughUs || bytes * 4 > kMostBurstBytes) break;
  }
  co_return measured;
}

}  // namespace exo::net
