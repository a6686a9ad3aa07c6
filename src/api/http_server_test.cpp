#include "api/http_server.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <future>
#include <thread>

namespace exo::api {
namespace {

namespace asio = boost::asio;

// A server on a free port, its loop on a thread of its own.
class HttpServerTest : public testing::Test {
 protected:
  void serve(HttpHandler handler, HttpOptions options = {}) {
    options.port = 0;
    server_ = std::make_unique<HttpServer>(io_, options, std::move(handler));
    ASSERT_TRUE(server_->start());
    thread_ = std::thread([this] { io_.run(); });
  }

  void TearDown() override {
    asio::post(io_, [this] { server_->stop(); });
    if (thread_.joinable()) thread_.join();
  }

  asio::ip::tcp::socket connect() {
    asio::ip::tcp::socket socket(client_io_);
    socket.connect({asio::ip::make_address("127.0.0.1"), server_->port()});
    return socket;
  }

  // Everything the server says until it closes the connection.
  std::string exchange(const std::string& request) {
    auto socket = connect();
    asio::write(socket, asio::buffer(request));
    std::string answer;
    boost::system::error_code error;
    asio::read(socket, asio::dynamic_buffer(answer), error);
    return answer;
  }

  asio::io_context io_, client_io_;
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
};

TEST_F(HttpServerTest, AnswersRequestAfterRequestOnOneConnection) {
  serve([](const HttpRequest& request, std::shared_ptr<HttpResponse> response) {
    response->send(200, "text/plain", request.method + " " + request.path + " " + request.body + ";");
  });
  const auto answer = exchange(
      "GET /a%20b?x=1 HTTP/1.1\r\nHost: h\r\n\r\n"
      "POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody");
  EXPECT_NE(answer.find("GET /a b ;"), std::string::npos) << answer;
  EXPECT_NE(answer.find("POST /c body;"), std::string::npos) << answer;
}

TEST_F(HttpServerTest, StreamsInChunksWithAnEnd) {
  serve([](const HttpRequest&, std::shared_ptr<HttpResponse> response) {
    response->start_stream(200, "text/event-stream");
    response->write("one");
    response->write("two!");
    response->end();
  });
  const auto answer = exchange("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(answer.ends_with("3\r\none\r\n4\r\ntwo!\r\n0\r\n\r\n")) << answer;
}

TEST_F(HttpServerTest, ADroppedAnswerIsAnErrorAndADroppedStreamHasNoEnd) {
  serve([](const HttpRequest& request, std::shared_ptr<HttpResponse> response) {
    if (request.path == "/stream") response->start_stream(200, "text/plain");
  });
  EXPECT_TRUE(exchange("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 500"));
  const auto stream = exchange("GET /stream HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(stream.find("0\r\n\r\n"), std::string::npos) << stream;
}

TEST_F(HttpServerTest, TellsWhenTheClientIsGone) {
  std::promise<void> gone;
  std::shared_ptr<HttpResponse> kept;
  serve([&](const HttpRequest&, std::shared_ptr<HttpResponse> response) {
    response->start_stream(200, "text/plain");
    response->on_closed([&] { gone.set_value(); });
    kept = std::move(response);
  });
  {
    auto socket = connect();
    asio::write(socket, asio::buffer(std::string("GET / HTTP/1.1\r\nHost: h\r\n\r\n")));
    char first;
    asio::read(socket, asio::buffer(&first, 1));
  }
  EXPECT_EQ(gone.get_future().wait_for(std::chrono::seconds(5)), std::future_status::ready);
  std::promise<bool> closed;
  asio::post(io_, [&] {
    const bool was_closed = kept->closed();
    kept.reset();  // before the test may end
    closed.set_value(was_closed);
  });
  EXPECT_TRUE(closed.get_future().get());
}

TEST_F(HttpServerTest, RefusesWhatIsTooLargeOrNoHttp) {
  HttpOptions options;
  options.max_body_bytes = 100;
  serve([](const HttpRequest&, std::shared_ptr<HttpResponse> response) { response->send(200, "text/plain", "ok"); },
        options);
  EXPECT_TRUE(exchange("NONSENSE\r\n\r\n").starts_with("HTTP/1.1 400"));
  EXPECT_TRUE(exchange("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n").starts_with("HTTP/1.1 413"));
  EXPECT_TRUE(
      exchange("GET / HTTP/1.1\r\nX: " + std::string(100000, 'x') + "\r\n\r\n").starts_with("HTTP/1.1 431"));
  EXPECT_NE(exchange("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").find("ok"), std::string::npos);
}

TEST_F(HttpServerTest, WithoutDescriptorsItWaitsForSomeAndDoesNotSpin) {
  HttpOptions options;
  options.port = 0;
  server_ =
      std::make_unique<HttpServer>(io_, options, [](const HttpRequest&, std::shared_ptr<HttpResponse> response) {
        response->send(200, "text/plain", "here");
      });
  ASSERT_TRUE(server_->start());
  io_.poll();
  asio::ip::tcp::socket client(client_io_);
  client.open(asio::ip::tcp::v4());
  const int next = ::dup(client.native_handle());
  ::close(next);
  rlimit usual{};
  ::getrlimit(RLIMIT_NOFILE, &usual);
  rlimit none_left = usual;
  none_left.rlim_cur = static_cast<rlim_t>(next);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none_left), 0);
  client.connect({asio::ip::make_address("127.0.0.1"), server_->port()});
  const size_t handled = io_.run_for(std::chrono::milliseconds(500));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &usual), 0);
  EXPECT_LT(handled, 50u);
  thread_ = std::thread([this] { io_.run(); });
  asio::write(client, asio::buffer(std::string("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")));
  std::string answer;
  boost::system::error_code error;
  asio::read(client, asio::dynamic_buffer(answer), error);
  EXPECT_TRUE(answer.ends_with("here")) << answer;
}

TEST_F(HttpServerTest, APortInUseIsSaidSo) {
  serve([](const HttpRequest&, std::shared_ptr<HttpResponse>) {});
  HttpOptions options;
  options.port = server_->port();
  HttpServer second(io_, options, [](const HttpRequest&, std::shared_ptr<HttpResponse>) {});
  const auto status = second.start();
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("in use"), std::string::npos);
  asio::post(io_, [] {});
}

}  // namespace
}  // namespace exo::api
