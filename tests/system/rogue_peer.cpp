// A peer that is admitted to a cluster and then speaks the protocol badly: mutated and invented messages, wrong
// orders, huge fields, steps for slots that do not exist, hostile gossip, bad file requests, links that move
// to where they cannot be. It also places a model
// of its own on the node, serves it with wrong layouts, weights, hashes and manifests, and is a stage before or
// after the node's, or a member of its group, that computes nonsense. The node that it talks to must refuse, ignore
// or survive all of it. The seed is printed; the same seed makes the same choices.
//
//   exo_rogue_peer HOST PORT SECONDS SEED [SECRET]
//
// It ends with 0 and one line of counts when the node still admits it at the end, else with 1.

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <iostream>
#include <thread>
#include <utility>

#include "net/channel.h"
#include "net/file_connection.h"
#include "net/file_server.h"
#include "net/link_text.h"
#include "rogue_messages.h"
#include "rogue_server.h"

namespace exo::rogue {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::use_awaitable;
using std::chrono::milliseconds;
using std::chrono::seconds;
using SteadyClock = std::chrono::steady_clock;

struct Options {
  std::string host;
  uint16_t port = 0;
  int seconds = 20;
  uint64_t seed = 1;
  std::string secret;
};

class RoguePeer {
 public:
  explicit RoguePeer(const Options& options)
      : options_(options),
        inventor_(options.seed, heard_),
        key_(net::ClusterKey::from_secret(options.secret)),
        end_(SteadyClock::now() + seconds(options.seconds)) {}

  int run() {
    while (SteadyClock::now() < end_) {
      if (identity_ == nullptr || inventor_.once_in(3)) renew_identity();
      session(SteadyClock::now() >= next_placing_);
      if (inventor_.once_in(5)) ask_for_files();
      if (inventor_.once_in(10)) raw_request();
    }
    const bool alive = admitted_at_the_end();
    fmt::print(
        "seed {}: {} sessions, {} admitted, {} paths, {} messages said, {} heard, {} file requests; a model placed "
        "{} times, "
        "ready {} times, {} answers about it, {} exchanges in groups; the node {}\n",
        options_.seed, sessions_, admitted_, paths_, said_, messages_heard_, file_requests_, placed_, ready_,
        server_.answers.load(), exchanges_ + server_.exchanges.load(),
        alive ? "still admits" : "does not admit any more");
    return alive ? 0 : 1;
  }

 private:
  void renew_identity() {
    identity_ = std::make_unique<net::Identity>(net::Identity::generate().value());
    tls_ = net::make_tls_context(*identity_).value();
    local_ = std::make_shared<net::LocalNode>();
    local_->self.id = identity_->id();
    local_->self.incarnation = ++incarnation_;
    // The first ones are honest, so that what comes after the transfer is reached.
    const bool honest = placed_ < kLayouts || inventor_.once_in(2);
    model_ = std::make_shared<RogueModel>(
        RogueModel::make(inventor_, placed_ < kLayouts || inventor_.once_in(2) ? 0 : 1 + inventor_.below(4)));
    local_->self.peer_port = server_.open(tls_, model_, honest, inventor_.wide());
    local_->self.has_secret = key_.has_secret();
    local_->self.name = "rogue";
    local_->self.software_version = heard_.software_version;
    local_->key = key_;
  }

  std::unique_ptr<net::WebSocket> connect(asio::io_context& context) const {
    asio::ip::tcp::socket socket(context);
    socket.connect({asio::ip::make_address(options_.host), options_.port});
    return net::make_channel(std::move(socket), *tls_);
  }

  // One link: greeted, abused, closed, at most some seconds long.
  void session(bool places) {
    ++sessions_;
    asio::io_context context;
    context_ = &context;
    const seconds longest(places ? 12 : 4);
    try {
      channel_ = connect(context);
      net::SocketDeadline deadline(net::socket_of(*channel_), longest);
      asio::co_spawn(context, talk(places), asio::detached);
      context.run_for(longest + seconds(2));
    } catch (const boost::system::system_error&) {
      pause(milliseconds(50));  // too many connections: the node bounds them
    }
    if (places) next_placing_ = SteadyClock::now() + seconds(2);
    path_.reset();
    channel_.reset();
    context_ = nullptr;
  }

  asio::awaitable<void> talk(bool places) {
    try {
      const net::Greeting greeting = co_await net::greet(*channel_, *local_, [](const NodeId&) { return true; });
      if (greeting.verdict == net::Verdict::kVersionDiffers)
        heard_.software_version = greeting.peer.software_version;
      if (greeting.verdict != net::Verdict::kAdmitted) {
        identity_.reset();
        co_return close();
      }
      ++admitted_;
      peer_ = greeting.peer.id;
      channel_->read_message_max(sizeof(net::CountBytes) + wire::kMaxFrameBytes);
      frames_heard_ = 0;
      asio::co_spawn(channel_->get_executor(), listen(), asio::detached);
      if (heard_.instances.empty()) co_await sleep(milliseconds(300));
      if (places) co_await take_part();
      for (uint64_t n = 1 + inventor_.below(200); n > 0; --n) {
        co_await say_frame(*channel_);
        ++said_;
        if (inventor_.once_in(50)) co_await sleep(milliseconds(inventor_.below(30)));
        if (inventor_.once_in(60)) co_await say_of_link(*channel_);
        if (inventor_.once_in(60)) co_await move_badly();
      }
      co_await sleep(milliseconds(20));
    } catch (const boost::system::system_error&) {  // refused, as it should be
    }
    close();
  }

  // With the right count, mostly: a wrong one ends the link.
  asio::awaitable<void> say_frame(net::WebSocket& channel) {
    const auto frame = inventor_.frame();
    co_await write_frame(channel, inventor_.once_in(300) ? inventor_.wide() : frames_heard_, frame);
  }
  static asio::awaitable<void> write_frame(net::WebSocket& channel, uint64_t received,
                                           const std::vector<std::byte>& frame) {
    const auto count = net::count_bytes(received);
    const std::array<asio::const_buffer, 2> buffers{asio::buffer(count), asio::buffer(frame)};
    co_await channel.async_write(buffers, use_awaitable);
  }

  // One of the texts about links, often with a number that cannot be.
  asio::awaitable<void> say_of_link(net::WebSocket& channel) {
    constexpr std::string_view kWords[] = {"ack ", "echo ", "move ", "no ", "ack", " ", "move -"};
    const std::string text = fmt::format("{}{}", kWords[inventor_.below(std::size(kWords))],
                                         inventor_.once_in(2) ? inventor_.below(40) : inventor_.wide());
    channel.text(true);
    co_await channel.async_write(asio::buffer(text), use_awaitable);
    channel.binary(true);
  }

  // Another connection for the link, measured and moved to as it comes.
  asio::awaitable<void> move_badly() {
    const auto key = net::tls_channel_key(channel_->next_layer());
    if (!key || path_) co_return;
    ++paths_;
    const std::string target = net::kPathPrefix + net::link_session(*key) + (inventor_.once_in(4) ? "0" : "");
    path_ = connect(*context_);
    const auto anybody = [](const NodeId&) { return true; };
    auto greeting_node = net::greet(*path_, *local_, anybody, target.c_str());
    const net::Greeting greeting = co_await std::move(greeting_node);
    if (greeting.verdict != net::Verdict::kAdmitted) co_return;
    for (uint64_t n = inventor_.below(12); n > 0; --n) {
      co_await say_of_link(*path_);
      if (inventor_.once_in(2)) continue;
      co_await say_frame(*path_);
    }
  }

  asio::awaitable<void> listen() {
    try {
      for (beast::flat_buffer buffer;;) {
        co_await channel_->async_read(buffer, use_awaitable);
        ++messages_heard_;
        const std::span bytes(static_cast<const std::byte*>(buffer.data().data()), buffer.size());
        if (channel_->got_binary() && bytes.size() >= sizeof(net::CountBytes)) {
          ++frames_heard_;
          const auto message = wire::decode(bytes.subspan(sizeof(net::CountBytes)));
          if (message) heard_.take(*message);
          if (message) note_ready(*message);
        }
        buffer.clear();
      }
    } catch (const boost::system::system_error&) {
    }
    close();
  }

  // ---- the own model on the node

  // Places it and plays the other device of its ring or group; some seconds, and some more once the node is ready.
  asio::awaitable<void> take_part() {
    const bool tame = placed_ < 2 * kLayouts || inventor_.once_in(2);
    const auto layout = static_cast<Layout>(placed_++ % kLayouts);
    record_ = place(inventor_, *model_, layout, local_->self.id, peer_, ++counter_, tame);
    steps_ = {};
    node_ready_ = false;
    co_await say(own_gossip());
    if (layout == Layout::kGroupLed) asio::co_spawn(channel_->get_executor(), dial_group(), asio::detached);
    auto until = SteadyClock::now() + seconds(8);
    for (bool was_ready = false; SteadyClock::now() < until;) {
      co_await sleep(milliseconds(20 + inventor_.below(60)));
      co_await say(wire::Ping{});
      if (inventor_.once_in(10)) co_await say(inventor_.message());
      if (inventor_.once_in(30)) co_await say(own_gossip());
      if (!node_ready_) continue;
      if (!was_ready) until = SteadyClock::now() + seconds(3);
      was_ready = true;
      co_await say(part_of(layout));
    }
  }

  // What the other device of the ring or group has to say.
  wire::Message part_of(Layout layout) {
    if (layout == Layout::kGroupLed) return steps_.next(inventor_, record_, true);
    if (layout == Layout::kRingFirst) return steps_.next(inventor_, record_, false);
    if (layout == Layout::kRingLast && inventor_.once_in(2)) {
      wire::StepResult result{record_.fingerprint, record_.epoch, MicroBatchId(1 + inventor_.below(20)), {}, {}};
      result.tokens.assign(1 + inventor_.below(3), {TokenId(static_cast<int32_t>(inventor_.below(30'000))), 0, {}});
      result.counts.assign(1 + inventor_.below(2), static_cast<int32_t>(inventor_.below(4)));
      return result;
    }
    wire::SubmitRequest submit{
        .request = {1, inventor_.below(50)}, .fingerprint = record_.fingerprint, .epoch = record_.epoch};
    submit.tokens.assign(1 + inventor_.below(40), TokenId(static_cast<int32_t>(inventor_.below(300))));
    submit.prompt_tokens = static_cast<int32_t>(submit.tokens.size());
    submit.max_new_tokens = static_cast<int32_t>(1 + inventor_.below(20));
    submit.sampler.temperature = 0;
    return submit;
  }

  // Apart from the coroutines: g++ 12 mishandles such temporaries in co_await expressions.
  wire::Message own_gossip() {
    wire::Gossip gossip;
    gossip.nodes.push_back(own_facts());
    gossip.instances.push_back(record_);
    return gossip;
  }

  // No memory and no speed: nobody else's model is to move here.
  wire::NodeFacts own_facts() {
    wire::NodeFacts facts;
    facts.id = local_->self.id;
    facts.incarnation = local_->self.incarnation;
    facts.sequence = ++sequence_;
    facts.name = "rogue";
    facts.software_version = local_->self.software_version;
    facts.peer_port = local_->self.peer_port;
    facts.models = {{model_->facts(), true, inventor_.once_in(2) ? model_->root : ""}};
    facts.links = {{peer_, "eth0", 100, 1e8}};
    for (const auto& stage : record_.stages)
      facts.stages.push_back(
          {record_.fingerprint, record_.epoch, stage.layers, wire::StageState::kReady, 0, 0, {}});
    return facts;
  }

  void note_ready(const wire::Message& message) {
    const auto* gossip = std::get_if<wire::Gossip>(&message);
    for (const auto& node : gossip != nullptr ? gossip->nodes : std::vector<wire::NodeFacts>()) {
      for (const auto& stage : node.stages) {
        const bool ready = node.id == peer_ && stage.state == wire::StageState::kReady;
        if (!ready || stage.epoch != record_.epoch || stage.fingerprint != record_.fingerprint) continue;
        if (!std::exchange(node_ready_, true)) ++ready_;
      }
    }
  }

  asio::awaitable<void> say(wire::Message message) {
    const auto frame = wire::encode(message);
    if (!frame) co_return;
    co_await write_frame(*channel_, frames_heard_, *frame);
    ++said_;
  }

  // As the leader of the group, who dials; until the node has a port for it.
  asio::awaitable<void> dial_group() {
    const std::string name =
        fmt::format("{}.{}.{}.0", record_.fingerprint, record_.epoch.counter, record_.epoch.proposer.hex());
    try {
      for (int attempt = 0; attempt < 60; ++attempt) {
        const auto channel = connect(*context_);
        net::SocketDeadline deadline(net::socket_of(*channel), seconds(12));
        net::TlsStream& stream = channel->next_layer();
        co_await stream.async_handshake(asio::ssl::stream_base::client, use_awaitable);
        const auto proof =
            key_.proof(net::ProofRole::kFileClient, net::tls_channel_key(stream).value(), local_->self.id, peer_);
        std::string head = fmt::format("GET /groups/{} HTTP/1.1\r\nHost: exo\r\n{}: {}\r\n{}: {}\r\n\r\n", name,
                                       net::kVersionHeader, net::version_header(local_->self), net::kProofHeader,
                                       net::to_hex(proof));
        const bool early = inventor_.once_in(10);
        if (early) head += '\x45';
        co_await asio::async_write(stream, asio::buffer(head), use_awaitable);
        std::array<char, 4096> answer;
        const size_t n = co_await stream.async_read_some(asio::buffer(answer), use_awaitable);
        if (!std::string_view(answer.data(), n).starts_with("HTTP/1.1 200")) {
          co_await sleep(milliseconds(100));
          continue;
        }
        const std::string greeting(1, inventor_.once_in(10) ? 'x' : '\x45');
        if (!early) co_await asio::async_write(stream, asio::buffer(greeting), use_awaitable);
        try {
          co_await play_group(stream, inventor_, exchanges_);
        } catch (const boost::system::system_error&) {  // given up by the node, which wants a new one
        }
      }
    } catch (const boost::system::system_error&) {
    }
  }

  asio::awaitable<void> sleep(milliseconds time) {
    asio::steady_timer timer(channel_->get_executor(), time);
    co_await timer.async_wait(use_awaitable);
  }
  // Ends the session: its deadline is not waited for.
  void close() {
    boost::system::error_code ignored;
    net::socket_of(*channel_).close(ignored);
    if (context_ != nullptr) context_->stop();
  }
  static void pause(milliseconds time) { std::this_thread::sleep_for(time); }

  void ask_for_files() {
    if (local_ == nullptr || identity_ == nullptr) return;
    const auto files = net::make_file_connection(tls_, local_, peer_, {{options_.host, options_.port}});
    for (uint64_t n = 1 + inventor_.below(6); n > 0; --n) {
      ++file_requests_;
      const auto layout = files->layout(inventor_.fingerprint());
      (void)files->piece_hashes(inventor_.fingerprint(), inventor_.below(40), 1 + inventor_.below(16));
      (void)files->piece_hashes(inventor_.fingerprint(), inventor_.wide(), inventor_.wide());
      (void)files->manifest(inventor_.fingerprint(), inventor_.once_in(2) ? 0 : inventor_.wide(), inventor_.wide());
      (void)files->read(inventor_.fingerprint(), inventor_.wide(), inventor_.wide());
      if (layout)
        (void)files->read(inventor_.fingerprint(), inventor_.below(layout->total_bytes() + 10),
                          inventor_.below(1 << 20));
    }
  }

  // HTTP that the file server must not believe.
  void raw_request() {
    asio::io_context context;
    context_ = &context;
    try {
      channel_ = connect(context);
      net::SocketDeadline deadline(net::socket_of(*channel_), seconds(2));
      asio::co_spawn(context, ask_badly(), asio::detached);
      context.run_for(seconds(3));
    } catch (const boost::system::system_error&) {
    }
    channel_.reset();
    context_ = nullptr;
  }

  asio::awaitable<void> ask_badly() {
    constexpr std::string_view kTargets[] = {"/models/../../identity.pem",
                                             "/models/",
                                             "/models/%00",
                                             "/link",
                                             "*",
                                             "/groups/",
                                             "/groups/../x",
                                             "/groups/f.1.0.0"};
    constexpr std::string_view kRanges[] = {"bytes=5-1",
                                            "bytes=-",
                                            "bytes=0-18446744073709551615",
                                            "bytes=x-y",
                                            "0-1",
                                            "bytes=18446744073709551615-",
                                            "pieces=0-18446744073709551615",
                                            "pieces=18446744073709551614-18446744073709551615",
                                            "pieces=0-17",
                                            "bytes=18446744073709551614-18446744073709551615"};
    constexpr std::string_view kKinds[] = {"", "/layout", "/pieces", "/manifest", "/pieces/manifest", "/"};
    ++file_requests_;
    const std::string target(kTargets[inventor_.below(std::size(kTargets))]);
    const std::string request = fmt::format(
        "GET {} HTTP/1.1\r\nHost: exo\r\nRange: {}\r\nX-Exo-Version: {} {}\r\nContent-Length: {}\r\n\r\n",
        inventor_.once_in(4)
            ? target
            : fmt::format("/models/{}{}", inventor_.fingerprint(), kKinds[inventor_.below(std::size(kKinds))]),
        kRanges[inventor_.below(std::size(kRanges))], wire::kProtocolVersion, heard_.software_version,
        inventor_.wide());
    try {
      net::TlsStream& stream = channel_->next_layer();
      co_await stream.async_handshake(asio::ssl::stream_base::client, use_awaitable);
      co_await asio::async_write(stream, asio::buffer(request), use_awaitable);
      std::array<char, 4096> answer;
      co_await stream.async_read_some(asio::buffer(answer), use_awaitable);
    } catch (const boost::system::system_error&) {
    }
    close();
  }

  bool admitted_at_the_end() {
    for (int attempt = 0; attempt < 50; ++attempt) {
      const uint64_t before = admitted_;
      renew_identity();
      session(false);
      if (admitted_ > before) return true;
      pause(milliseconds(200));
    }
    return false;
  }

  const Options options_;
  Heard heard_;
  Inventor inventor_;
  const net::ClusterKey key_;
  const SteadyClock::time_point end_;
  std::unique_ptr<net::Identity> identity_;
  std::shared_ptr<asio::ssl::context> tls_;
  std::shared_ptr<net::LocalNode> local_;
  std::unique_ptr<net::WebSocket> channel_, path_;  // the link; another connection for it
  asio::io_context* context_ = nullptr;             // of the session
  NodeId peer_;
  uint64_t frames_heard_ = 0;  // of the session
  uint64_t incarnation_ = 0, sessions_ = 0, admitted_ = 0, said_ = 0, messages_heard_ = 0, file_requests_ = 0,
           paths_ = 0;

  RogueServer server_;
  std::shared_ptr<const RogueModel> model_;
  wire::InstanceRecord record_;  // the last that was placed
  StepMaker steps_;
  SteadyClock::time_point next_placing_{};
  bool node_ready_ = false;
  uint64_t counter_ = 0, sequence_ = 0, placed_ = 0, ready_ = 0;
  std::atomic<uint64_t> exchanges_ = 0;
};

int run(int argc, char** argv) {
  if (argc < 5) {
    std::cerr << "exo_rogue_peer HOST PORT SECONDS SEED [SECRET]\n";
    return 2;
  }
  Options options{argv[1], static_cast<uint16_t>(std::stoi(argv[2])), std::stoi(argv[3]), std::stoull(argv[4]),
                  argc > 5 ? argv[5] : ""};
  fmt::print("seed {}\n", options.seed);
  std::fflush(stdout);
  return RoguePeer(options).run();
}

}  // namespace
}  // namespace exo::rogue

int main(int argc, char** argv) { return exo::rogue::run(argc, argv); }
