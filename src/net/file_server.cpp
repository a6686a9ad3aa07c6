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

struct Range {
  uint64_t first = 0, count = 0;
};

// "UNIT=FIRST-LAST", both given.
std::optional<Range> parse_range(std::string_view text, std::string_view unit) {
  if (!text.starts_with(unit) || text.size() == unit.size() || text[unit.size()] != '=') return std::nullopt;
  text.remove_prefix(unit.size() + 1);
  uint64_t first = 0, last = 0;
  const char* end = text.data() + text.size();
  auto [dash, error] = std::from_chars(text.data(), end, first);
  if (error != std::errc() || dash == end || *dash != '-') return std::nullopt;
  auto [rest, last_error] = std::from_chars(dash + 1, end, last);
  if (last_error != std::errc() || rest != end || last < first || last == UINT64_MAX) return std::nullopt;
  return Range{first, last - first + 1};
}

Answer failure(const Error& error) {
  return text_answer(
      error.code == ErrorCode::kNotFound ? http::status::not_found : http::status::service_unavailable,
      error.message);
}

// What follows runs on the threads that read and hash.

Answer read_range(const FileSource& source, Range range) {
  Answer answer;
  answer.status = http::status::partial_content;
  answer.body.resize(range.count);
  if (const auto read = source.read(range.first, answer.body); !read) return failure(read.error());
  answer.extra_headers = fmt::format("Content-Range: bytes {}-{}/{}\r\n", range.first,
                                     range.first + range.count - 1, source.layout().total_bytes());
  return answer;
}

Answer hash_pieces(const FileSource& source, Range range) {
  const auto hashes = source.piece_hashes(range.first, range.count);
  if (!hashes) return failure(hashes.error());
  Answer answer;
  answer.status = http::status::partial_content;
  for (const Digest& hash : *hashes) {
    const auto bytes = std::as_bytes(std::span(hash));
    answer.body.insert(answer.body.end(), bytes.begin(), bytes.end());
  }
  return answer;
}

Answer read_manifest(const FileSource& source, Range range) {
  const auto manifest = source.manifest();
  if (!manifest) return failure(manifest.error());
  const auto& bytes = **manifest;
  if (range.first >= bytes.size() || range.count > bytes.size() - range.first) {
    return text_answer(http::status::range_not_satisfiable, "the range is beyond the manifest");
  }
  Answer answer;
  answer.status = http::status::partial_content;
  const auto begin = bytes.begin() + static_cast<ptrdiff_t>(range.first);
  answer.body.assign(begin, begin + static_cast<ptrdiff_t>(range.count));
  return answer;
}

using Work = Answer (*)(const FileSource& source, Range range);

Answer guarded(Work work, const FileSource& source, Range range) {
  try {
    return work(source, range);
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
  asio::thread_pool reader{1}, hasher{1};
  size_t clients = 0;
  std::atomic<bool> stopped = false;

  Impl(EventLoop& l, LocalNode n) : loop(l), local(std::move(n)) {}

  asio::awaitable<Answer> answer_to(const HttpRequest& request) {
    constexpr std::string_view kPrefix = "/models/";
    std::string_view target(request.target().data(), request.target().size());
    if (request.method() != http::verb::get || !target.starts_with(kPrefix)) {
      co_return text_answer(http::status::not_found, "only GET /models/FINGERPRINT");
    }
    target.remove_prefix(kPrefix.size());
    const size_t slash = std::min(target.find('/'), target.size());
    const std::string_view what = target.substr(slash);
    const std::shared_ptr<const FileSource> source = lookup ? lookup(target.substr(0, slash)) : nullptr;
    if (!source) co_return text_answer(http::status::not_found, "no such model here");
    if (what == "/layout") co_return text_answer(http::status::ok, format_layout(source->layout()));
    const auto field = request[http::field::range];
    const std::string_view range_text(field.data(), field.size());
    const auto range = parse_range(range_text, what == "/pieces" ? "pieces" : "bytes");
    if (!range) co_return text_answer(http::status::bad_request, "one range is to be given");
    if (what == "/pieces" && range->count <= kMaxPieceHashes)
      co_return co_await run(hasher, hash_pieces, source, *range);
    if (what == "/manifest" && range->count <= kMaxChunkBytes)
      co_return co_await run(reader, read_manifest, source, *range);
    const uint64_t total = source->layout().total_bytes();
    if (!what.empty() || range->first >= total || range->count > std::min(kMaxChunkBytes, total - range->first)) {
      co_return text_answer(http::status::range_not_satisfiable, "the range is too long or beyond the file");
    }
    if (!source->has(range->first, range->count))
      co_return text_answer(http::status::not_found, "these bytes are not here");
    co_return co_await run(reader, read_range, source, *range);
  }

  asio::awaitable<Answer> run(asio::thread_pool& threads, Work work, std::shared_ptr<const FileSource> source,
                              Range range) {
    // A named callable and a named awaitable: g++ 12 mishandles temporaries in co_await expressions.
    auto task = [](Work w, std::shared_ptr<const FileSource> s, Range r,
                   const std::atomic<bool>* over) -> asio::awaitable<Answer> {
      if (*over) co_return text_answer(http::status::service_unavailable, "this node stops");
      co_return guarded(w, *s, r);
    };
    auto pending = asio::co_spawn(threads, task(work, std::move(source), range, &stopped), asio::use_awaitable);
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
  impl_->hasher.join();
}

}  // namespace exo::net
