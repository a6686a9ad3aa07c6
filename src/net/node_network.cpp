#include "net/node_network.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <map>
#include <mutex>
#include <set>

#include "base/check.h"
#include "base/log.h"
#include "net/channel.h"
#include "net/dialer.h"
#include "net/discovery.h"
#include "net/file_connection.h"
#include "net/file_server.h"
#include "net/group_port.h"
#include "net/link_paths.h"
#include "net/peer_acceptor.h"
#include "net/peer_link.h"
#include "net/refusal_log.h"
#include "wire/codec.h"

namespace exo::net {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr size_t kMaxLinks = 1024;

uint64_t wall_clock_us() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

// Membership of a set for as long as the object lives.
class Mark {
 public:
  Mark() = default;
  Mark(std::multiset<NodeId>& set, const NodeId& id) : set_(&set), id_(id) { set.insert(id); }
  Mark(Mark&& other) noexcept : set_(std::exchange(other.set_, nullptr)), id_(other.id_) {}
  Mark& operator=(Mark&& other) noexcept {
    std::swap(set_, other.set_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~Mark() {
    if (set_) set_->erase(set_->find(id_));
  }

 private:
  std::multiset<NodeId>* set_ = nullptr;
  NodeId id_;
};

}  // namespace

struct NodeNetwork::Impl final : DialHost, LinkPathsHost, std::enable_shared_from_this<NodeNetwork::Impl> {
  EventLoop& loop;
  const Identity identity;
  const NetworkOptions options;
  std::shared_ptr<LocalNode> local = std::make_shared<LocalNode>();
  std::shared_ptr<asio::ssl::context> tls;
  std::vector<TransportListener*> listeners;
  std::map<NodeId, std::shared_ptr<PeerLink>> links;
  std::multiset<NodeId> dialling;   // own dials that TLS has shown to lead to this peer
  std::multiset<NodeId> admitting;  // incoming ones that are judged well and not yet links
  RefusalLog refusals;
  std::unique_ptr<PeerAcceptor> acceptor;
  std::unique_ptr<FileServer> files;
  std::unique_ptr<Dialer> dialer;
  std::unique_ptr<LinkPaths> paths;
  std::unique_ptr<Discovery> discovery;
  FileSourceLookup file_source;
  std::map<NodeId, LinkTraffic> traffic;
  std::map<NodeId, std::pair<uint64_t, TimePoint>> pings;  // the last that measures a round trip: nonce, sent at
  bool discovery_works = false;
  bool stopped = false;

  std::mutex file_mutex;  // guards what connect_files() reads on other threads
  std::map<NodeId, std::vector<FileEndpoint>> file_endpoints;
  bool files_stopped = false;
  const std::shared_ptr<GroupDoors> group_doors = std::make_shared<GroupDoors>();

  Impl(EventLoop& l, Identity i, NetworkOptions o) : loop(l), identity(std::move(i)), options(std::move(o)) {}

  // ---- starting and stopping

  Status start() {
    EXO_TRY(tls, make_tls_context(identity));
    local->key = ClusterKey::from_secret(options.secret);
    Introduction& own = local->self;
    own.id = identity.id();
    own.incarnation = options.incarnation != 0 ? options.incarnation : wall_clock_us();
    own.has_secret = local->key.has_secret();
    own.name = options.name;
    own.software_version = options.software_version;
    EXO_CHECK_OK(listen());
    own.peer_port = acceptor->port();
    files = std::make_unique<FileServer>(loop, *local);
    files->set_source(file_source);
    dialer = std::make_unique<Dialer>(loop, own.id, *this);
    paths = std::make_unique<LinkPaths>(loop, own.id, *this);
    paths->start();
    start_discovery();
    for (const std::string& seed : options.seeds) dialer->add_seed(seed);
    log_info("net", "node {} listens on port {}", own.id.short_hex(), own.peer_port);
    return {};
  }

  Status listen() {
    const std::weak_ptr<Impl> weak = weak_from_this();
    PeerAcceptor::Handlers handlers;
    handlers.allows = [weak](const std::string& address) {
      const auto self = weak.lock();
      return self && !self->stopped &&
             (self->options.interfaces.empty() ||
              find_by_address(self->discovery->interfaces(), address) != nullptr);
    };
    handlers.on_link = [this](IncomingRequest incoming) { return accept_link(std::move(incoming)); };
    handlers.on_files = [this](IncomingRequest incoming) { return accept_files(std::move(incoming)); };
    acceptor = std::make_unique<PeerAcceptor>(loop, tls, options.handshake_deadline, std::move(handlers));
    Status listening = acceptor->listen(options.peer_port);
    if (!listening && !options.peer_port_exact) listening = acceptor->listen(0);
    return listening;
  }

  void start_discovery() {
    Beacon beacon;
    beacon.id = local->self.id;
    beacon.incarnation = local->self.incarnation;
    beacon.protocol_version = local->self.protocol_version;
    beacon.peer_port = local->self.peer_port;
    beacon.has_secret = local->self.has_secret;
    beacon.tag = local->key.tag();
    beacon.name = local->self.name;
    beacon.software_version = local->self.software_version;
    const DiscoveryOptions how{.interfaces = options.interfaces, .port = options.discovery_port};
    const std::weak_ptr<Impl> weak = weak_from_this();
    discovery = std::make_unique<Discovery>(loop, how, std::move(beacon), [weak](const Sighting& sighting) {
      if (const auto self = weak.lock(); self && !self->stopped) self->on_sighting(sighting);
    });
    const Status started = discovery->start();
    discovery_works = started.has_value() && options.discovery_port != 0;
    if (!started) {
      log_warning("net", "other nodes will not be found by themselves ({}); use --peer", started.error().message);
    }
  }

  void stop(const std::string& reason) {
    if (stopped) return;
    stopped = true;
    listeners.clear();
    if (discovery) discovery->stop();
    if (dialer) dialer->stop();
    if (paths) paths->stop();
    if (acceptor) acceptor->stop();
    if (files) files->stop();
    for (auto& [peer, link] : links) link->close(reason);
    links.clear();
    group_doors->cancel_all();
    const std::lock_guard lock(file_mutex);
    files_stopped = true;
  }

  // ---- discovery

  void on_sighting(const Sighting& sighting) {
    const Beacon& beacon = sighting.beacon;
    Introduction other;
    other.id = beacon.id;
    other.protocol_version = beacon.protocol_version;
    other.name = beacon.name;
    other.software_version = beacon.software_version;
    other.has_secret = beacon.has_secret;
    const Verdict verdict = judge_beacon(beacon);
    if (verdict != Verdict::kAdmitted) {
      boost::system::error_code ignored;
      const auto address =
          to_text(tcp::endpoint(asio::ip::make_address(sighting.address, ignored), beacon.peer_port));
      // As if it had dialled us: the texts speak of "it" and "us".
      return note_refusal(address, verdict, other, false);
    }
    dialer->saw(beacon.id, sighting.address, beacon.peer_port, sighting.medium, beacon.incarnation);
  }

  // What the handshake would say, so that strangers are not dialled over and over.
  Verdict judge_beacon(const Beacon& beacon) const {
    const Introduction& own = local->self;
    if (beacon.protocol_version != own.protocol_version || beacon.software_version != own.software_version) {
      return Verdict::kVersionDiffers;
    }
    if (beacon.has_secret != own.has_secret) {
      return beacon.has_secret ? Verdict::kSecretUnexpected : Verdict::kSecretMissing;
    }
    return beacon.tag == local->key.tag() ? Verdict::kAdmitted : Verdict::kSecretDiffers;
  }

  void note_refusal(const std::string& address, Verdict verdict, const Introduction& peer, bool we_dialled) {
    const std::string reason = refusal_text(verdict, local->self, peer, we_dialled);
    if (refusals.add({address, peer.name, reason}, peer.id, loop.now())) {
      log_warning("net", "no link with {} at {}: {}", peer.name.empty() ? peer.id.short_hex() : peer.name, address,
                  reason);
    }
  }

  // ---- incoming

  asio::awaitable<void> accept_files(IncomingRequest incoming) {
    const auto self = shared_from_this();
    const std::string_view target(incoming.request.target().data(), incoming.request.target().size());
    if (target.starts_with(kGroupPrefix)) {
      auto accepting = accept_group(std::move(incoming), local, group_doors);
      co_await std::move(accepting);
      co_return;
    }
    co_await files->serve(std::move(incoming));
  }

  asio::awaitable<void> accept_link(IncomingRequest incoming) {
    const auto self = shared_from_this();
    if (incoming.request.target().starts_with(kPathPrefix)) {
      auto accepting = accept_path(std::move(incoming));
      co_await std::move(accepting);
      co_return;
    }
    Mark mark;
    const auto last_word = [this, &mark](const Introduction& peer) {
      const Verdict verdict = may_accept(peer);
      if (verdict == Verdict::kAdmitted) mark = Mark(admitting, peer.id);
      return verdict;
    };
    WebSocket& channel = *incoming.channel;
    const Greeting greeting = co_await receive_greeting(channel, incoming.request, *local, last_word);
    if (stopped) co_return;
    if (greeting.verdict == Verdict::kAdmitted) {
      incoming.deadline.reset();
      register_link(std::move(incoming.channel), greeting.peer);
      co_return;
    }
    if (greeting.verdict != Verdict::kDuplicate) {
      note_refusal(to_text(incoming.remote), greeting.verdict, greeting.peer, false);
    }
    co_await linger(channel);
  }

  asio::awaitable<void> accept_path(IncomingRequest incoming) {
    std::string_view session(incoming.request.target().data(), incoming.request.target().size());
    session.remove_prefix(std::string_view(kPathPrefix).size());
    std::shared_ptr<PeerLink> link;
    std::shared_ptr<void> place;
    const auto last_word = [&](const Introduction& peer) {
      link = find_link(peer.id);
      if (!link || link->peer().incarnation != peer.incarnation || link->session() != session)
        return Verdict::kNoLink;
      place = paths->take_place(peer.id);
      return place ? Verdict::kAdmitted : Verdict::kBusy;
    };
    WebSocket& channel = *incoming.channel;
    const Greeting greeting = co_await receive_greeting(channel, incoming.request, *local, last_word);
    if (stopped) co_return;
    if (greeting.verdict != Verdict::kAdmitted) {
      co_await linger(channel);
      co_return;
    }
    auto serving = paths->serve(std::move(incoming), std::move(link), std::move(place));
    co_await std::move(serving);
  }

  // The refused peer gets to read why, and closes; the handshake's deadline bounds the wait.
  static asio::awaitable<void> linger(WebSocket& channel) {
    boost::system::error_code ignored;
    boost::beast::flat_buffer nothing;
    co_await channel.async_read(nothing, asio::redirect_error(asio::use_awaitable, ignored));
  }

  // One link per pair. Of two dials at once the smaller id's wins; a restarted peer replaces its former self.
  Verdict may_accept(const Introduction& peer) {
    if (admitting.contains(peer.id)) return Verdict::kDuplicate;
    const auto existing = links.find(peer.id);
    if (existing != links.end()) {
      const bool same_run = existing->second->peer().incarnation == peer.incarnation;
      if (same_run && !existing->second->broken()) return Verdict::kDuplicate;
      drop_link(peer.id, same_run ? "it has given up the link" : "it was started again");
    }
    if (dialling.contains(peer.id) && local->self.id < peer.id) return Verdict::kDuplicate;
    return links.size() < kMaxLinks ? Verdict::kAdmitted : Verdict::kBusy;
  }

  // ---- outgoing: DialHost

  bool has_link(const NodeId& peer) const override { return links.contains(peer); }

  asio::awaitable<DialOutcome> dial(tcp::endpoint to, std::optional<NodeId> expected) override {
    const auto self = shared_from_this();
    using Kind = DialOutcome::Kind;
    DialOutcome outcome;
    Mark mark;
    bool expired = false;
    bool wrong_node = false;
    std::unique_ptr<WebSocket> channel;
    Greeting greeting;
    try {
      channel = make_channel(tcp::socket(loop.context()), *tls);
      SocketDeadline deadline(socket_of(*channel), kConnectDeadline);
      try {
        co_await socket_of(*channel).async_connect(to, asio::use_awaitable);
        tune_socket(socket_of(*channel));
        deadline.extend(options.handshake_deadline);
        const auto on_identity = [&](const NodeId& peer) {
          outcome.peer = peer;
          wrong_node = expected && *expected != peer;
          if (wrong_node || has_link(peer) || dialling.contains(peer) || admitting.contains(peer)) return false;
          mark = Mark(dialling, peer);
          return true;
        };
        greeting = co_await greet(*channel, *local, on_identity);
      } catch (...) {
        expired = deadline.expired();
        throw;
      }
    } catch (const boost::system::system_error& error) {
      outcome.problem = expired ? "no answer in time" : error.code().message();
    } catch (const std::exception& error) {
      outcome.problem = error.what();
    }
    if (wrong_node) outcome.problem = "another node answers there";
    if (!outcome.problem.empty()) {
      outcome.problem = to_text(to) + ": " + outcome.problem;
      co_return outcome;
    }
    if (stopped) co_return outcome;
    outcome.peer = greeting.peer.id;
    switch (greeting.verdict) {
      case Verdict::kAdmitted:
        outcome.kind = register_link(std::move(channel), greeting.peer) ? Kind::kLinked : Kind::kDuplicate;
        break;
      case Verdict::kDuplicate:
        outcome.kind = Kind::kDuplicate;
        break;
      case Verdict::kSameNode:
        outcome.kind = Kind::kSameNode;
        break;
      default:
        outcome.kind = Kind::kRefused;
        outcome.problem = refusal_text(greeting.verdict, local->self, greeting.peer, true);
        note_refusal(to_text(to), greeting.verdict, greeting.peer, true);
    }
    co_return outcome;
  }

  // ---- LinkPathsHost

  std::shared_ptr<PeerLink> find_link(const NodeId& peer) const override {
    const auto found = links.find(peer);
    return found == links.end() ? nullptr : found->second;
  }

  std::vector<tcp::endpoint> candidates(const NodeId& peer) const override {
    std::vector<tcp::endpoint> result = dialer->endpoints(peer);
    const auto link = find_link(peer);
    const auto add = [&](const tcp::endpoint& endpoint) {
      const bool known = std::ranges::find(result, endpoint) != result.end();
      if (!known && endpoint.port() != 0) result.push_back(endpoint);
    };
    if (link) {
      add(link->answers_at());
      add({link->answers_at().address(), link->peer().peer_port});  // perhaps without whatever forwards a port
    }
    // Link-local addresses lead nowhere else than the interface's other address.
    const auto scoped = [](const tcp::endpoint& e) {
      return e.address().is_v6() && e.address().to_v6().is_link_local();
    };
    if (!std::all_of(result.begin(), result.end(), scoped)) std::erase_if(result, scoped);
    return result;
  }

  asio::awaitable<PathDial> dial_path(tcp::endpoint to, std::shared_ptr<PeerLink> link) override {
    const auto self = shared_from_this();
    const std::string target = kPathPrefix + link->session();
    PathDial outcome;
    std::shared_ptr<WebSocket> channel;
    Greeting greeting;
    try {
      channel = make_channel(tcp::socket(loop.context()), *tls);
      SocketDeadline deadline(socket_of(*channel), kConnectDeadline);
      co_await socket_of(*channel).async_connect(to, asio::use_awaitable);
      tune_socket(socket_of(*channel));
      const auto is_peer = [&link](const NodeId& proven) { return proven == link->peer().id; };
      auto greeting_peer = greet(*channel, *local, is_peer, target.c_str());
      greeting = co_await std::move(greeting_peer);
    } catch (const boost::system::system_error& error) {
      outcome.problem = error.code().message();
      outcome.nobody_listens = error.code() == asio::error::connection_refused;
    } catch (const std::exception& error) {
      outcome.problem = error.what();
    }
    if (!outcome.problem.empty() || stopped) co_return outcome;
    if (greeting.peer.id != link->peer().id) {
      outcome.problem = "another node answers there";
    } else if (greeting.verdict != Verdict::kAdmitted) {
      outcome.problem = refusal_text(greeting.verdict, local->self, greeting.peer, true);
      outcome.link_is_gone = greeting.verdict == Verdict::kNoLink;
    } else {
      outcome.channel = std::move(channel);
    }
    co_return outcome;
  }

  bool describe(WebSocket& channel, const NodeId& peer, LinkInfo& info) const override {
    boost::system::error_code error;
    const auto local_end = socket_of(channel).local_endpoint(error);
    const auto remote_end = socket_of(channel).remote_endpoint(error);
    if (error) return false;
    const Interface used = interface_of(to_text(local_end.address()));
    info.peer = peer;
    info.local_address = to_text(local_end);
    info.remote_address = to_text(remote_end);
    info.interface = used.name;
    info.wired = used.kind != InterfaceKind::kWifi && used.kind != InterfaceKind::kUnknown;
    return find_by_address(discovery->interfaces(), to_text(local_end.address())) != nullptr;
  }

  void link_moved(const LinkInfo& before, const LinkInfo& now, const std::string& why) override {
    pings.erase(now.peer);
    const auto link = find_link(now.peer);
    if (!link) return;
    log_info("net", "link with {} ({}) moved from {} over {} to {} over {}: {}", link->peer().name,
             now.peer.short_hex(), before.remote_address, before.interface, now.remote_address, now.interface, why);
    remember_file_endpoints(*link);
    for (TransportListener* listener : std::vector(listeners)) listener->on_link_moved(now);
  }

  void give_up(const std::shared_ptr<PeerLink>& link, const Error& why) override {
    link->close(why.message);
    on_closed(link, why);
  }

  uint64_t total_traffic_bytes() const override {
    uint64_t sum = 0;
    for (const auto& [peer, bytes] : traffic) sum += bytes.sent_bytes + bytes.received_bytes;
    return sum;
  }

  // ---- links

  bool register_link(std::shared_ptr<WebSocket> channel, const Introduction& peer) {
    if (links.contains(peer.id)) return false;
    LinkInfo info;
    describe(*channel, peer.id, info);
    const auto channel_key = tls_channel_key(channel->next_layer());
    if (info.remote_address.empty() || !channel_key) return false;
    auto link = std::make_shared<PeerLink>(loop, std::move(channel), peer, info, link_session(*channel_key),
                                           options.send_queue_bytes);
    links.emplace(peer.id, link);
    if (traffic.size() >= 4 * kMaxLinks)
      std::erase_if(traffic, [&](const auto& entry) { return !links.contains(entry.first); });
    refusals.admitted(peer.id);
    remember_file_endpoints(*link);
    log_info("net", "link with {} ({}) at {} over {}", peer.name, peer.id.short_hex(), info.remote_address,
             info.interface);
    paths->link_up(peer.id);
    start_link(link);
    dialer->link_changed(peer.id);
    for (TransportListener* listener : std::vector(listeners)) listener->on_link_up(info);
    return true;
  }

  // Also through an interface that beacons do not use: a seed's.
  Interface interface_of(const std::string& address) const {
    if (const Interface* used = find_by_address(discovery->interfaces(), address)) return *used;
    const auto all = usable_interfaces(all_interface_names());
    const Interface* used = find_by_address(all, address);
    return used ? *used : Interface{};
  }

  void start_link(const std::shared_ptr<PeerLink>& link) {
    PeerLink::Events events;
    const std::weak_ptr<Impl> weak = weak_from_this();
    const std::weak_ptr<PeerLink> weak_link = link;
    events.on_frame = [weak, peer = link->peer().id](std::span<const std::byte> frame) {
      if (const auto self = weak.lock()) self->on_frame(peer, frame);
    };
    events.on_closed = [weak, weak_link](Error why) {
      const auto self = weak.lock();
      const auto closed = weak_link.lock();
      if (self && closed) self->on_closed(closed, std::move(why));
    };
    events.on_broken = [weak, peer = link->peer().id](Error why) {
      if (const auto self = weak.lock()) self->paths->on_broken(peer, why);
    };
    link->start(std::move(events));
  }

  void on_frame(const NodeId& peer, std::span<const std::byte> frame) {
    traffic[peer].received_bytes += frame.size();
    auto message = wire::decode(frame);
    if (!message) {
      log_warning("net", "closing the link with {}: {}", peer.short_hex(), message.error().message);
      return drop_link(peer, "malformed message: " + message.error().message);
    }
    if (const auto* gossip = std::get_if<wire::Gossip>(&*message)) learn_addresses(peer, *gossip);
    if (const auto* pong = std::get_if<wire::Pong>(&*message)) learn_round_trip(peer, pong->nonce);
    deliver(peer, std::move(*message));
  }

  void deliver(const NodeId& from, wire::Message message) {
    const auto told = listeners;  // a listener may call stop()
    TransportListener* last = nullptr;
    for (TransportListener* listener : told) {
      if (stopped) return;
      listener->on_heard(from);
      if (listener->takes(message)) last = listener;
    }
    for (TransportListener* listener : told) {
      if (stopped) return;
      if (listener == last) return listener->on_message(from, std::move(message));
      if (listener->takes(message)) listener->on_message(from, message);
    }
  }

  void learn_round_trip(const NodeId& peer, uint64_t nonce) {
    const auto ping = pings.find(peer);
    if (ping == pings.end() || ping->second.first != nonce) return;
    paths->on_round_trip(peer, loop.now() - ping->second.second);
    pings.erase(ping);
  }

  // So that nodes which only share a peer, but no broadcasts, find each other too. Of the other addresses of a peer
  // with a link only itself is believed.
  void learn_addresses(const NodeId& from, const wire::Gossip& gossip) {
    for (const wire::NodeFacts& node : gossip.nodes) {
      if (node.id == local->self.id || node.leaving || node.peer_port == 0) continue;
      if (links.contains(node.id) && node.id != from) continue;
      for (const std::string& address : node.addresses) {
        const bool scoped = address.find('%') != std::string::npos;  // means nothing on this machine
        if (!scoped) dialer->saw(node.id, address, node.peer_port, InterfaceKind::kUnknown, 0);
      }
    }
  }

  void on_closed(const std::shared_ptr<PeerLink>& link, Error why) {
    const auto entry = links.find(link->peer().id);
    if (entry == links.end() || entry->second != link) return;
    links.erase(entry);
    paths->link_down(link->peer().id);
    tell_down(link->peer(), why);
  }

  // Closes from this side; listeners hear of it in a later turn, so that they may call this from within a callback.
  void drop_link(const NodeId& peer, const std::string& reason) {
    const auto entry = links.find(peer);
    if (entry == links.end()) return;
    const auto link = entry->second;
    links.erase(entry);
    paths->link_down(peer);
    link->close(reason);
    loop.post([self = shared_from_this(), link, reason] {
      self->tell_down(link->peer(), {ErrorCode::kUnavailable, reason});
    });
  }

  void tell_down(const Introduction& peer, const Error& why) {
    if (stopped) return;
    log_info("net", "link with {} ({}) ended: {}", peer.name, peer.id.short_hex(), why.message);
    dialer->link_changed(peer.id);
    for (TransportListener* listener : std::vector(listeners)) listener->on_link_down(peer.id, why);
  }

  bool send(const NodeId& to, wire::Message message) {
    if (stopped) return false;
    if (to == local->self.id) {
      loop.post([self = shared_from_this(), m = std::move(message)]() mutable {
        if (!self->stopped) self->deliver(self->local->self.id, std::move(m));
      });
      return true;
    }
    const auto entry = links.find(to);
    if (entry == links.end()) return false;
    auto frame = wire::encode(message);
    if (!frame) {
      log_error("net", "message to {} not sent: {}", to.short_hex(), frame.error().message);
      return false;
    }
    const auto* ping = std::get_if<wire::Ping>(&message);
    if (ping != nullptr && ping->nonce != 0 && ping->padding_bytes == 0) pings[to] = {ping->nonce, loop.now()};
    const size_t bytes = frame->size();
    if (entry->second->send(std::move(*frame))) {
      traffic[to].sent_bytes += bytes;
      return true;
    }
    log_warning("net", "{} does not keep up: {} bytes wait for it", to.short_hex(), entry->second->queued_bytes());
    drop_link(to, "the peer does not keep up with what is sent to it");
    return false;
  }

  // ---- files

  // First the way that the link found to be the best.
  void remember_file_endpoints(const PeerLink& link) {
    std::vector<FileEndpoint> endpoints;
    const auto add = [&](const tcp::endpoint& e) { endpoints.push_back({to_text(e.address()), e.port()}); };
    add(link.answers_at());
    for (const auto& other : candidates(link.peer().id))
      if (other != link.answers_at()) add(other);
    const std::lock_guard lock(file_mutex);
    if (file_endpoints.size() >= 4 * kMaxLinks) {
      std::erase_if(file_endpoints, [&](const auto& entry) { return !links.contains(entry.first); });
    }
    file_endpoints[link.peer().id] = std::move(endpoints);
  }
};

NodeNetwork::NodeNetwork(EventLoop& loop, Identity identity, NetworkOptions options)
    : impl_(std::make_shared<Impl>(loop, std::move(identity), std::move(options))) {}

NodeNetwork::~NodeNetwork() { stop(); }

Status NodeNetwork::start() {
  EXO_DCHECK(impl_->loop.on_network_thread());
  return impl_->start();
}

void NodeNetwork::stop(const std::string& reason) {
  EXO_DCHECK(impl_->loop.on_network_thread());
  impl_->stop(reason);
}

uint16_t NodeNetwork::peer_port() const { return impl_->local->self.peer_port; }
uint64_t NodeNetwork::incarnation() const { return impl_->local->self.incarnation; }
std::vector<Interface> NodeNetwork::interfaces_used() const { return impl_->discovery->interfaces(); }
std::vector<std::string> NodeNetwork::addresses() const {
  return dialable_addresses(impl_->discovery->interfaces());
}
std::vector<SeedState> NodeNetwork::seed_states() const { return impl_->dialer->seed_states(); }
std::vector<LinkPath> NodeNetwork::link_paths() const { return impl_->paths->paths(); }
bool NodeNetwork::discovery_works() const { return impl_->discovery_works; }

void NodeNetwork::set_file_source(FileSourceLookup lookup) {
  impl_->file_source = lookup;
  if (impl_->files) impl_->files->set_source(std::move(lookup));
}

NodeId NodeNetwork::self() const { return impl_->identity.id(); }
void NodeNetwork::add_listener(TransportListener* listener) {
  auto& all = impl_->listeners;
  if (std::find(all.begin(), all.end(), listener) == all.end()) all.push_back(listener);
}

bool NodeNetwork::send(const NodeId& to, wire::Message message) {
  EXO_DCHECK(impl_->loop.on_network_thread());
  return impl_->send(to, std::move(message));
}

void NodeNetwork::disconnect(const NodeId& peer, const std::string& reason) { impl_->drop_link(peer, reason); }

std::vector<LinkInfo> NodeNetwork::links() const {
  std::vector<LinkInfo> infos;
  for (const auto& [peer, link] : impl_->links) infos.push_back(link->info());
  return infos;
}

LinkTraffic NodeNetwork::traffic(const NodeId& peer) const {
  const auto found = impl_->traffic.find(peer);
  return found == impl_->traffic.end() ? LinkTraffic{} : found->second;
}

std::vector<Refusal> NodeNetwork::refusals() const { return impl_->refusals.recent(impl_->loop.now()); }

Result<std::unique_ptr<FileConnection>> NodeNetwork::connect_files(const NodeId& peer) {
  const std::lock_guard lock(impl_->file_mutex);
  const auto entry = impl_->file_endpoints.find(peer);
  if (impl_->files_stopped || entry == impl_->file_endpoints.end()) {
    return fail(ErrorCode::kUnavailable, "there was no link with node {}", peer.short_hex());
  }
  return make_file_connection(impl_->tls, impl_->local, peer, entry->second);
}

Result<std::unique_ptr<GroupPort>> NodeNetwork::open_group(const std::string& group,
                                                           const std::vector<NodeId>& members) {
  const auto find_endpoints = [weak = std::weak_ptr<Impl>(impl_)](const NodeId& peer) {
    const auto self = weak.lock();
    if (!self) return std::vector<FileEndpoint>();
    const std::lock_guard lock(self->file_mutex);
    const auto entry = self->file_endpoints.find(peer);
    return entry == self->file_endpoints.end() ? std::vector<FileEndpoint>() : entry->second;
  };
  return open_group_port(impl_->tls, impl_->local, impl_->group_doors, group, members, find_endpoints);
}

}  // namespace exo::net
