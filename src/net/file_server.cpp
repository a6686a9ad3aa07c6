#include "net/file_server.h"

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <charconv>
#include <optional>

#include "base/log.h"

namespace exo::net {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

namespace {

constexpr Duration kIdleDeadline = std::chrono::seconds(30);   // between requests
constexpr Duration kWriteDeadline = std::chrono::seconds(60);  // for one answer

struct Answer {
  http::status status = http::status::ok;
  std::vector<std::byte> body;
  std::string extra_headers;  // each ending in CRLF
};

Answer text_answer(http::status status, std::string_view text) {
  Answer answer;
  answer.status = status;
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  answer.body.assign(bytes, bytes + text.size());
  return answer;
}

// "bytes=FIRST-LAST", both given.
std::optional<std::pair<uint64_t, uint64_t>> parse_range(std::string_view text) {
  constexpr std::string_view kUnit = "bytes=";
  if (!text.starts_with(kUnit)) return std::nullopt;
  text.remove_prefix(kUnit.size());
  uint64_t first = 0, last = 0;
  const char* end = text.data() + text.size();
  auto [dash, error] = std::from_chars(text.data(), end, first);
  if (error != std::errc() || dash == end || *dash != '-') return std::nullopt;
  auto [rest, last_error] = std::from_chars(dash + 1, end, last);
  if (last_error != std::errc() || rest != end || last < first) return std::nullopt;
  return std::pair(first, last);
}

// Runs on the reading thread.
Answer read_range(const FileSource& source, uint64_t first, uint64_t bytes) {
  try {
    Answer answer;
    answer.status = http::status::partial_content;
    answer.body.resize(bytes);
    if (const auto read = source.read(first, answer.body); !read) {
      return text_answer(http::status::service_unavailable, read.error().message);
    }
    answer.extra_headers = fmt::format("Content-Range: bytes {}-{}/{}\r\n{}: {}\r\n", first, first + bytes - 1,
                                       source.layout().total_bytes(), kSha256Header, to_hex(sha256(answer.body)));
    return answer;
  } catch (const std::exception& error) {
    return text_answer(http::status::service_unavailable, error.what());
  }
}

}  // namespace

std::string version_header(const Introduction& self) {
  return fmt::format("{} {}", self.protocol_version, self.software_version);
}

std::string refuse_client(const LocalNode& local, const HttpRequest& request, const NodeId& client,
                          const Digest& channel_key) {
  const std::string_view version(request[kVersionHeader].data(), request[kVersionHeader].size());
  if (version != version_header(local.self)) return "its version differs from ours";
  if (!local.key.has_secret()) return "";
  const auto field = request[kProofHeader];
  const auto proof = digest_from_hex(std::string_view(field.data(), field.size()));
  if (!proof) return "it shows no proof of the secret";
  const Digest expected = local.key.proof(ProofRole::kFileClient, channel_key, client, local.self.id);
  return equal_in_constant_time(expected, *proof) ? "" : "its secret differs from ours";
}

struct FileServer::Impl : std::enable_shared_from_this<FileServer::Impl> {
  EventLoop& loop;
  const LocalNode local;
  FileSourceLookup lookup;
  asio::thread_pool reader{1};
  size_t clients = 0;
  std::atomic<bool> stopped = false;

  Impl(EventLoop& l, LocalNode n) : loop(l), local(std::move(n)) {}

  asio::awaitable<Answer> answer_to(const HttpRequest& request) {
    constexpr std::string_view kPrefix = "/models/", kLayoutSuffix = "/layout";
    std::string_view target(request.target().data(), request.target().size());
    if (request.method() != http::verb::get || !target.starts_with(kPrefix)) {
      co_return text_answer(http::status::not_found, "only GET /models/FINGERPRINT");
    }
    target.remove_prefix(kPrefix.size());
    const bool wants_layout = target.ends_with(kLayoutSuffix);
    if (wants_layout) target.remove_suffix(kLayoutSuffix.size());
    const std::shared_ptr<const FileSource> source = lookup ? lookup(target) : nullptr;
    if (!source) co_return text_answer(http::status::not_found, "no such model here");
    if (wants_layout) co_return text_answer(http::status::ok, format_layout(source->layout()));

    const auto field = request[http::field::range];
    const auto range = parse_range(std::string_view(field.data(), field.size()));
    if (!range) co_return text_answer(http::status::bad_request, "one range of bytes is to be given");
    const auto [first, last] = *range;
    const uint64_t total = source->layout().total_bytes();
    if (last >= total || last - first >= kMaxChunkBytes) {
      co_return text_answer(http::status::range_not_satisfiable, "the range is too long or beyond the file");
    }
    const uint64_t bytes = last - first + 1;
    if (!source->has(first, bytes)) co_return text_answer(http::status::not_found, "these bytes are not here");
    // A named callable and a named awaitable: g++ 12 mishandles temporaries in co_await expressions.
    auto work = [](std::shared_ptr<const FileSource> s, uint64_t f, uint64_t n,
                   const std::atomic<bool>* over) -> asio::awaitable<Answer> {
      if (*over) co_return text_answer(http::status::service_unavailable, "this node stops");
      co_return read_range(*s, f, n);
    };
    auto pending = asio::co_spawn(reader, work(source, first, bytes, &stopped), asio::use_awaitable);
    Answer answer = co_await std::move(pending);
    co_return answer;
  }

  asio::awaitable<void> write(TlsStream& stream, const Answer& answer) {
    const auto reason = http::obsolete_reason(answer.status);
    const std::string head =
        fmt::format("HTTP/1.1 {} {}\r\nContent-Length: {}\r\n{}\r\n", static_cast<unsigned>(answer.status),
                    std::string_view(reason.data(), reason.size()), answer.body.size(), answer.extra_headers);
    co_await asio::async_write(stream, asio::buffer(head), asio::use_awaitable);
    co_await asio::async_write(stream, asio::buffer(answer.body.data(), answer.body.size()), asio::use_awaitable);
  }

  asio::awaitable<void> serve(IncomingRequest incoming) {
    const auto self = shared_from_this();
    TlsStream& stream = incoming.channel->next_layer();
    const auto client = tls_peer(stream);
    const auto channel_key = tls_channel_key(stream);
    if (!client || !channel_key) co_return;
    std::string refusal = refuse_client(local, incoming.request, *client, *channel_key);
    if (refusal.empty() && clients >= kMaxFileClients) refusal = "too many transfers";
    if (!refusal.empty()) {
      log_info("net", "no files for {}: {}", to_text(incoming.remote), refusal);
      const Answer answer = text_answer(http::status::forbidden, refusal);
      co_await write(stream, answer);
      co_return;
    }
    ++clients;
    const std::shared_ptr<void> leave(this, [](void* impl) { --static_cast<Impl*>(impl)->clients; });
    incoming.place.reset();
    while (!stopped) {
      incoming.deadline->extend(kWriteDeadline);
      const Answer answer = co_await answer_to(incoming.request);
      co_await write(stream, answer);
      incoming.deadline->extend(kIdleDeadline);
      http::request_parser<http::empty_body> parser;
      parser.header_limit(8 << 10);
      boost::system::error_code error;
      co_await http::async_read_header(stream, incoming.rest, parser,
                                       asio::redirect_error(asio::use_awaitable, error));
      if (error) co_return;  // the client is done, or idle for too long
      incoming.request = parser.release();
    }
  }
};

FileServer::FileServer(EventLoop& loop, LocalNode local) : impl_(std::make_shared<Impl>(loop, std::move(local))) {}
FileServer::~FileServer() { stop(); }
void FileServer::set_source(FileSourceLookup lookup) { impl_->lookup = std::move(lookup); }
asio::awaitable<void> FileServer::serve(IncomingRequest incoming) { return impl_->serve(std::move(incoming)); }

void FileServer::stop() {
  impl_->stopped = true;
  impl_->lookup = nullptr;
  impl_->reader.join();  // what is being read is finished, the rest answered at once
}

}  // namespace exo::net
