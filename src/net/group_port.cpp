#include "net/group_port.h"

#include <poll.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <chrono>
#include <optional>
#include <thread>

#include "base/log.h"
#include "net/file_server.h"
#include "net/native_stream.h"
#include "net/running_time.h"

namespace exo::net {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr Duration kDialDeadline = std::chrono::seconds(2);  // one attempt
constexpr Duration kDialPause = std::chrono::milliseconds(30);
constexpr Duration kGreetingDeadline = std::chrono::seconds(2);

bool is_group_name(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-';
  };
  return !name.empty() && name.size() <= kMaxGroupNameBytes && std::ranges::all_of(name, fits);
}

std::string response_head(http::status status) {
  const auto reason = http::obsolete_reason(status);
  return fmt::format("HTTP/1.1 {} {}\r\nContent-Length: 0\r\n\r\n", static_cast<unsigned>(status),
                     std::string_view(reason.data(), reason.size()));
}

// Waits for the one byte that a dialer writes first.
Status await_greeting(GroupStream& stream) {
  for (RunningDeadline deadline(kGreetingDeadline); !deadline.passed();) {
    std::byte greeting{};
    EXO_TRY(const size_t n, stream.read({&greeting, 1}));
    if (n == 1 && greeting == kGroupGreeting) return {};
    if (n == 1) return fail(ErrorCode::kCorrupt, "not a member's greeting");
    pollfd wait{.fd = stream.descriptor(), .events = POLLIN, .revents = 0};
    constexpr int kPollMs = 50;
    ::poll(&wait, 1, kPollMs);
  }
  return fail(ErrorCode::kDeadlineExceeded, "the member that dialled said nothing");
}

class Port final : public GroupPort {
 public:
  Port(std::shared_ptr<asio::ssl::context> tls, std::shared_ptr<const LocalNode> local,
       std::shared_ptr<GroupDoors> doors, std::string group, const std::vector<NodeId>& members,
       FindEndpoints find_endpoints)
      : tls_(std::move(tls)),
        local_(std::move(local)),
        doors_(std::move(doors)),
        group_(std::move(group)),
        find_endpoints_(std::move(find_endpoints)),
        door_(doors_->open(group_, members)) {}
  ~Port() override {
    cancel();
    doors_->close(group_, door_);
  }

  Result<std::unique_ptr<GroupStream>> connect(const NodeId& peer, Duration deadline) override {
    // An attempt takes its own time. One is made after any stop of this device, before the time is looked at.
    const auto until = SteadyClock::now() + deadline;
    std::string problem = "there was no link with it";
    while (!is_cancelled()) {
      for (const FileEndpoint& endpoint : find_endpoints_(peer)) {
        auto stream = dial(peer, endpoint);
        if (stream) return stream;
        problem = fmt::format("{}: {}", endpoint.address, stream.error().message);
      }
      if (SteadyClock::now() >= until)
        return fail(ErrorCode::kDeadlineExceeded, "no stream to member {}: {}", peer.short_hex(), problem);
      std::unique_lock lock(door_->mutex);
      door_->changed.wait_for(lock, kDialPause, [&] { return door_->cancelled; });
    }
    return fail(ErrorCode::kCancelled, "the group has ended");
  }

  Result<std::unique_ptr<GroupStream>> accept(const NodeId& peer, Duration deadline) override {
    std::unique_lock lock(door_->mutex);
    const auto found = [&] { return door_->cancelled || door_->arrived.contains(peer); };
    for (RunningDeadline rest(deadline); !door_->changed.wait_for(lock, kPulse, found);)
      if (rest.passed()) return fail(ErrorCode::kDeadlineExceeded, "no stream from member {}", peer.short_hex());
    if (door_->cancelled) return fail(ErrorCode::kCancelled, "the group has ended");
    auto stream = std::move(door_->arrived.extract(peer).mapped());
    lock.unlock();
    EXO_CHECK_OK(await_greeting(*stream));
    return stream;
  }

  bool has_arrived(const NodeId& peer) const override {
    const std::lock_guard lock(door_->mutex);
    return door_->arrived.contains(peer);
  }

  void cancel() override {
    const std::lock_guard lock(door_->mutex);
    door_->cancelled = true;
    door_->changed.notify_all();
  }

 private:
  bool is_cancelled() const {
    const std::lock_guard lock(door_->mutex);
    return door_->cancelled;
  }

  // Runs one attempt on this thread.
  Result<std::unique_ptr<GroupStream>> dial(const NodeId& peer, const FileEndpoint& endpoint) {
    asio::io_context context(1);
    std::unique_ptr<WebSocket> channel;
    std::string problem;
    try {
      channel = make_channel(tcp::socket(context), *tls_);
      asio::co_spawn(context, request(*channel, peer, endpoint), [&](const std::exception_ptr& error) {
        try {
          if (error) std::rethrow_exception(error);
        } catch (const std::exception& thrown) {
          problem = thrown.what();
        }
      });
      context.run();
    } catch (const std::exception& error) {
      problem = error.what();
    }
    if (!problem.empty()) return fail(ErrorCode::kUnavailable, "{}", problem);
    EXO_TRY(auto stream, take_stream(*channel));
    EXO_TRY(const size_t greeted, stream->write({&kGroupGreeting, 1}));
    if (greeted != 1) return fail(ErrorCode::kUnavailable, "the connection takes nothing");
    return stream;
  }

  asio::awaitable<void> request(WebSocket& channel, NodeId peer, FileEndpoint endpoint) {
    tcp::socket& socket = socket_of(channel);
    SocketDeadline deadline(socket, kDialDeadline);
    co_await socket.async_connect(tcp::endpoint(asio::ip::make_address(endpoint.address), endpoint.port),
                                  asio::use_awaitable);
    tune_socket(socket);
    TlsStream& stream = channel.next_layer();
    co_await stream.async_handshake(asio::ssl::stream_base::client, asio::use_awaitable);
    const auto answering = tls_peer(stream);
    const auto channel_key = tls_channel_key(stream);
    if (!answering || *answering != peer || !channel_key) throw std::runtime_error("another node answers there");
    const auto proof = local_->key.proof(ProofRole::kFileClient, *channel_key, local_->self.id, peer);
    const std::string head =
        fmt::format("GET {}{} HTTP/1.1\r\nHost: exo\r\n{}: {}\r\n{}: {}\r\n\r\n", kGroupPrefix, group_,
                    kVersionHeader, version_header(local_->self), kProofHeader, to_hex(proof));
    co_await asio::async_write(stream, asio::buffer(head), asio::use_awaitable);
    beast::flat_buffer buffer;
    http::response_parser<http::empty_body> parser;
    parser.header_limit(8 << 10);
    co_await http::async_read_header(stream, buffer, parser, asio::use_awaitable);
    if (parser.get().result() != http::status::ok) {
      throw std::runtime_error(fmt::format("it answers {}", parser.get().result_int()));
    }
  }

  const std::shared_ptr<asio::ssl::context> tls_;
  const std::shared_ptr<const LocalNode> local_;
  const std::shared_ptr<GroupDoors> doors_;
  const std::string group_;
  const FindEndpoints find_endpoints_;
  const std::shared_ptr<GroupDoors::Door> door_;
};

}  // namespace

std::shared_ptr<GroupDoors::Door> GroupDoors::open(const std::string& group, const std::vector<NodeId>& members) {
  auto door = std::make_shared<Door>();
  door->members = members;
  const std::lock_guard lock(mutex_);
  return doors_[group] = std::move(door);
}

void GroupDoors::close(const std::string& group, const std::shared_ptr<Door>& door) {
  const std::lock_guard lock(mutex_);
  const auto found = doors_.find(group);
  if (found != doors_.end() && found->second == door) doors_.erase(found);
}

std::shared_ptr<GroupDoors::Door> GroupDoors::find(std::string_view group) const {
  const std::lock_guard lock(mutex_);
  const auto found = doors_.find(group);
  return found == doors_.end() ? nullptr : found->second;
}

void GroupDoors::cancel_all() {
  const std::lock_guard lock(mutex_);
  for (auto& [group, door] : doors_) {
    const std::lock_guard door_lock(door->mutex);
    door->cancelled = true;
    door->changed.notify_all();
  }
}

asio::awaitable<void> accept_group(IncomingRequest incoming, std::shared_ptr<const LocalNode> local,
                                   std::shared_ptr<GroupDoors> doors) {
  TlsStream& stream = incoming.channel->next_layer();
  const auto client = tls_peer(stream);
  const auto channel_key = tls_channel_key(stream);
  if (!client || !channel_key) co_return;
  const std::string refusal = refuse_client(*local, incoming.request, *client, *channel_key);
  std::string_view name(incoming.request.target().data(), incoming.request.target().size());
  name.remove_prefix(kGroupPrefix.size());
  auto door = refusal.empty() ? doors->find(name) : nullptr;
  if (door && std::ranges::find(door->members, *client) == door->members.end()) door = nullptr;
  if (!refusal.empty()) log_info("net", "no group for {}: {}", to_text(incoming.remote), refusal);
  const auto status = !refusal.empty() ? http::status::forbidden
                      : door           ? http::status::ok
                                       : http::status::not_found;
  const std::string head = response_head(status);
  co_await asio::async_write(stream, asio::buffer(head), asio::use_awaitable);
  if (!door) co_return;
  incoming.deadline.reset();
  auto taken = take_stream(*incoming.channel);
  if (!taken) co_return;
  const std::lock_guard lock(door->mutex);
  door->arrived[*client] = std::move(*taken);
  door->changed.notify_all();
}

Result<std::unique_ptr<GroupPort>> open_group_port(std::shared_ptr<asio::ssl::context> tls,
                                                   std::shared_ptr<const LocalNode> local,
                                                   std::shared_ptr<GroupDoors> doors, const std::string& group,
                                                   const std::vector<NodeId>& members,
                                                   FindEndpoints find_endpoints) {
  if (!is_group_name(group)) return fail(ErrorCode::kInvalidArgument, "'{}' is no name for a group", group);
  return std::make_unique<Port>(std::move(tls), std::move(local), std::move(doors), group, members,
                                std::move(find_endpoints));
}

}  // namespace exo::net
