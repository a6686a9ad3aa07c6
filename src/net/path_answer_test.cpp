// Both ends of a measurement, over a connection like those between nodes.

#include "net/path_answer.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/websocket/ssl.hpp>

#include "net/link_text.h"
#include "net/path_probe.h"
#include "net/tls.h"

namespace exo::net {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

class PathAnswer : public testing::Test {
 protected:
  PathAnswer() {
    tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
    tcp::socket dialling(context);
    dialling.connect(acceptor.local_endpoint());
    asker = make_channel(std::move(dialling), *tls);
    answerer = make_channel(acceptor.accept(), *tls);
    port = acceptor.local_endpoint().port();
  }
  // What `ask` does on one end, and what the other heard at last.
  std::optional<uint64_t> answer_while(std::function<asio::awaitable<void>()> ask) {
    std::optional<uint64_t> answer;
    bool ended = false;
    const auto serve = [&]() -> asio::awaitable<void> {
      co_await answerer->next_layer().async_handshake(asio::ssl::stream_base::server, asio::use_awaitable);
      co_await answerer->async_accept(asio::use_awaitable);
      auto answering = answer_probes(*answerer);
      answer = co_await std::move(answering);
      ended = true;
      socket_of(*answerer).close();
    };
    const auto dial = [&]() -> asio::awaitable<void> {
      co_await asker->next_layer().async_handshake(asio::ssl::stream_base::client, asio::use_awaitable);
      co_await asker->async_handshake("exo", "/", asio::use_awaitable);
      auto asking = ask();
      co_await std::move(asking);
    };
    const auto ignore = [](const std::exception_ptr&) {};
    asio::co_spawn(context, serve, ignore);
    asio::co_spawn(context, dial, ignore);
    context.run_for(std::chrono::seconds(20));
    EXPECT_TRUE(ended);
    return answer;
  }

  asio::io_context context;
  std::shared_ptr<asio::ssl::context> tls = make_tls_context(Identity::generate().value()).value();
  std::unique_ptr<WebSocket> asker, answerer;
  uint16_t port = 0;
};

TEST_F(PathAnswer, IsMeasuredUntilTheLinkIsToMoveHere) {
  PathChooser::Measurement measured;
  const auto received = answer_while([&]() -> asio::awaitable<void> {
    auto measuring = measure_path(*asker);
    measured = co_await std::move(measuring);
    auto moving = write_text(*asker, count_text(kMove, 42));
    co_await std::move(moving);
  });
  EXPECT_EQ(received, 42u);
  EXPECT_GT(measured.round_trip_us, 0);
  EXPECT_GT(measured.bandwidth_bytes_per_s, 0);
}

TEST_F(PathAnswer, WhatMakesNoSenseEndsIt) {
  EXPECT_FALSE(answer_while([&]() -> asio::awaitable<void> {
    auto talking = write_text(*asker, "how are you");
    co_await std::move(talking);
  }));
}

TEST_F(PathAnswer, BurstsAreBounded) {
  uint64_t sent = 0;
  EXPECT_FALSE(answer_while([&]() -> asio::awaitable<void> {
    const std::vector<std::byte> burst(1 << 20);
    for (;; ++sent) co_await asker->async_write(asio::buffer(burst), asio::use_awaitable);
  }));
  EXPECT_GE(sent, 16u);
}

TEST_F(PathAnswer, APeerAnswersWhereItWasDialledOrAtThePortThatItAnnounced) {
  uint16_t seen_by_asker = 0, seen_by_answerer = 0;
  answer_while([&]() -> asio::awaitable<void> {
    seen_by_asker = answering_endpoint(*asker, 7).port();
    seen_by_answerer = answering_endpoint(*answerer, 7).port();
    auto talking = write_text(*asker, "enough");
    co_await std::move(talking);
  });
  EXPECT_EQ(seen_by_asker, port);
  EXPECT_EQ(seen_by_answerer, 7);
}

TEST(ProbePlaces, AreFewForEachPeerAndGivenBack) {
  auto places = std::make_unique<ProbePlaces>();
  NodeId one, two;
  two.bytes[0] = 1;
  std::vector<std::shared_ptr<void>> taken;
  for (size_t i = 0; i < ProbePlaces::kMostPerPeer; ++i) taken.push_back(places->take(one));
  EXPECT_NE(taken.back(), nullptr);
  EXPECT_EQ(places->take(one), nullptr);
  EXPECT_NE(places->take(two), nullptr) << "and given back at once";
  EXPECT_EQ(places->peers(), 1u);
  taken.pop_back();
  EXPECT_NE(places->take(one), nullptr);
  const auto last = places->take(one);
  taken.clear();
  places.reset();  // the last place outlives it
}

TEST(Endpoints, AreWrittenAndRead) {
  for (const char* text : {"192.168.1.7:52416", "[::1]:80"}) EXPECT_EQ(to_text(to_endpoint(text)), text);
  for (const char* text : {"", "1.2.3.4", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:99999", "nowhere:80"})
    EXPECT_EQ(to_endpoint(text).port(), 0) << text;
}

}  // namespace
}  // namespace exo::net
