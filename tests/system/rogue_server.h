#pragma once
// What the rogue peer answers when the node dials it: to file requests, hashes and manifests that are wrong, late,
// cut or no HTTP at all; on the streams of a group, numbers that nobody computed; to a link, noise.

#include <atomic>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <cstdio>
#include <cstring>
#include <memory>

#include "net/event_loop.h"
#include "net/peer_acceptor.h"
#include "rogue_model.h"

namespace exo::rogue {

// A member of a group that has computed nothing: every message is answered with one of the same step, exchange and
// size, now and then of another. Ends when the other end does, by an exception.
inline boost::asio::awaitable<void> play_group(net::TlsStream& stream, Dice& dice,
                                               std::atomic<uint64_t>& exchanges) {
  namespace asio = boost::asio;
  constexpr uint32_t kAbandoned = UINT32_MAX, kMost = 1 << 24;
  for (std::vector<std::byte> message(16);;) {
    message.resize(16);
    co_await asio::async_read(stream, asio::buffer(message), asio::use_awaitable);
    uint32_t size = 0;
    std::memcpy(&size, message.data() + 12, sizeof size);
    if (size == kAbandoned) continue;
    if (size > kMost) co_return;
    message.resize(16 + size);
    co_await asio::async_read(stream, asio::buffer(message.data() + 16, size), asio::use_awaitable);
    ++exchanges;
    if (dice.once_in(3)) {
      const auto noise = dice.noise(size);
      std::copy(noise.begin(), noise.end(), message.begin() + 16);
    }
    if (dice.once_in(100)) message[dice.below(16)] = static_cast<std::byte>(dice.below(256));
    if (dice.once_in(200)) message.resize(dice.below(message.size()));
    if (dice.once_in(200)) co_return;
    co_await asio::async_write(stream, asio::buffer(message), asio::use_awaitable);
  }
}

class RogueServer {
 public:
  RogueServer() { loop_.start(); }
  ~RogueServer() {
    close();
    loop_.stop();
  }

  // Answers as the node whose TLS it is, about this model; honestly or not. Returns the port.
  uint16_t open(std::shared_ptr<boost::asio::ssl::context> tls, std::shared_ptr<const RogueModel> model,
                bool honest, uint64_t seed) {
    close();
    auto role = std::make_shared<Role>(seed, std::move(model), honest, *this);
    net::PeerAcceptor::Handlers handlers;
    handlers.allows = [](const std::string&) { return true; };
    handlers.on_link = [role](net::IncomingRequest incoming) { return role->link(std::move(incoming), role); };
    handlers.on_files = [role](net::IncomingRequest incoming) { return role->files(std::move(incoming), role); };
    loop_.run_and_wait([&] {
      acceptor_ = std::make_unique<net::PeerAcceptor>(loop_, std::move(tls), std::chrono::seconds(5), handlers);
      EXO_CHECK(acceptor_->listen(0).has_value());
    });
    return acceptor_->port();
  }

  std::atomic<uint64_t> answers = 0, exchanges = 0;

 private:
  void close() {
    loop_.run_and_wait([this] { acceptor_.reset(); });
  }

  struct Role {
    Role(uint64_t seed, std::shared_ptr<const RogueModel> m, bool h, RogueServer& s)
        : dice(seed), model(std::move(m)), honest(h), server(s) {}

    // The coroutines keep their role.
    boost::asio::awaitable<void> link(net::IncomingRequest incoming, std::shared_ptr<Role>) {
      co_await incoming.channel->async_accept(incoming.request, boost::asio::use_awaitable);
      const auto noise = dice.noise(dice.below(1100));
      co_await incoming.channel->async_write(boost::asio::buffer(noise), boost::asio::use_awaitable);
    }

    boost::asio::awaitable<void> files(net::IncomingRequest incoming, std::shared_ptr<Role>) {
      namespace asio = boost::asio;
      namespace http = boost::beast::http;
      net::TlsStream& stream = incoming.channel->next_layer();
      incoming.place.reset();
      incoming.deadline->extend(std::chrono::seconds(20));
      for (;;) {
        const std::string target(incoming.request.target().data(), incoming.request.target().size());
        if (target.starts_with("/groups/")) {
          const std::string head = head_of(200, 0);
          co_await asio::async_write(stream, asio::buffer(head), asio::use_awaitable);
          std::byte greeting{};
          co_await asio::async_read(stream, asio::buffer(&greeting, 1), asio::use_awaitable);
          co_await play_group(stream, dice, server.exchanges);
          co_return;
        }
        const auto field = incoming.request[http::field::range];
        std::string answer = right_answer(target, std::string(field.data(), field.size()));
        ++server.answers;
        if (!honest && dice.once_in(4)) distort(answer, target);
        if (!honest && dice.once_in(20)) {
          asio::steady_timer timer(server.loop_.context(), std::chrono::milliseconds(dice.below(7000)));
          co_await timer.async_wait(asio::use_awaitable);
        }
        co_await asio::async_write(stream, asio::buffer(answer), asio::use_awaitable);
        if (!honest && dice.once_in(20)) co_return;
        http::request_parser<http::empty_body> parser;
        co_await http::async_read_header(stream, incoming.rest, parser, asio::use_awaitable);
        incoming.request = parser.release();
      }
    }

    static std::string head_of(int status, size_t length) {
      return fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\n\r\n", status, length);
    }
    static std::string whole(int status, std::span<const std::byte> body) {
      return head_of(status, body.size()) + std::string(reinterpret_cast<const char*>(body.data()), body.size());
    }

    std::string right_answer(const std::string& target, const std::string& range) const {
      if (target.ends_with("/layout")) return whole(200, std::as_bytes(std::span(model->layout)));
      std::span<const std::byte> all = model->bytes;
      size_t unit = 1;
      if (target.ends_with("/manifest")) all = model->manifest;
      if (target.ends_with("/pieces")) {
        all = std::as_bytes(std::span(model->hashes));
        unit = sizeof(net::Digest);
      }
      unsigned long long first = 0, last = 0;
      if (std::sscanf(range.c_str(), "%*[a-z]=%llu-%llu", &first, &last) != 2 || last < first ||
          last >= all.size() / unit) {
        return head_of(404, 0);
      }
      return whole(206, all.subspan(first * unit, (last - first + 1) * unit));
    }

    void distort(std::string& answer, const std::string& target) {
      constexpr std::string_view kLengths[] = {
          "0", "1", "33", "4194304", "4194305", "18446744073709551615", "-1", "1x", "", "999999999999999999999999"};
      constexpr std::string_view kBadLayouts[] = {"",
                                                  "1 1\n",
                                                  "4611686018427387904 1\n",
                                                  "4611686018427387903 536870912\n",
                                                  "100 200\n",
                                                  "100 100\nsample zz\n",
                                                  "1099511627776 24\n1099511627776 24\n",
                                                  "5 5\n\n\n"};
      const auto body = std::min(answer.find("\r\n\r\n") + 4, answer.size());
      switch (dice.below(10)) {
        case 0:
          answer.resize(dice.below(answer.size()));
          break;
        case 1:
          answer = fmt::format("HTTP/1.1 206 X\r\nContent-Length: {}\r\n\r\n{}",
                               kLengths[dice.below(std::size(kLengths))], answer.substr(body));
          break;
        case 2:
          answer = "HTTP/1.1 206 X\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n" + answer.substr(body);
          break;
        case 3:
          answer = "HTTP/1.1 206 X\r\nX: " + std::string(dice.below(20'000), 'a') + answer.substr(12);
          break;
        case 4:
          answer = head_of(dice.once_in(2) ? 206 : 200, 0);
          break;
        case 5:
          answer = fmt::format("HTTP/1.1 {} X{}", 100 + dice.below(500), answer.substr(14));
          break;
        case 6:
          answer += answer;
          break;
        case 7:
          answer = dice.text(3000);
          break;
        case 8:
          if (target.ends_with("/layout")) {
            std::string layout(kBadLayouts[dice.below(std::size(kBadLayouts))]);
            if (dice.once_in(4)) {  // a thousand files
              for (int part = 0; part < 1024; ++part) layout += "9 9\n";
            }
            answer = whole(200, std::as_bytes(std::span(layout)));
            break;
          }
          [[fallthrough]];
        default:
          if (body < answer.size()) answer[body + dice.below(answer.size() - body)] ^= 1;
      }
    }

    Dice dice;
    const std::shared_ptr<const RogueModel> model;
    const bool honest;
    RogueServer& server;
  };

  net::EventLoop loop_;
  std::unique_ptr<net::PeerAcceptor> acceptor_;
};

}  // namespace exo::rogue
