#include "net/node_network.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "net/beacon_judgement.h"
#include "net/channel.h"
#include "net/dialer.h"
#include "net/discovery.h"
#include "net/file_server.h"
#include "net/group_port.h"
#include "net/link_paths.h"
#include "net/link_table.h"
#include "net/peer_acceptor.h"
#include "net/peer_addresses.h"
#include "net/peer_admission.h"

namespace exo::net {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

uint64_t wall_clock_us() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

}  // namespace

// Joins the parts: beacons and gossip tell the dialer whom to dial, admission makes connections of dials and
// requests, the table has the links that come of them, and paths keep those on the best addresses.
struct NodeNetwork::Impl final : DialHost,
                                 LinkPathsHost,
                                 LinkTableHost,
                                 AdmissionHost,
                                 std::enable_shared_from_this<NodeNetwork::Impl> {
  EventLoop& loop;
  const Identity identity;
  const NetworkOptions options;
  const std::shared_ptr<LocalNode> local = std::make_shared<LocalNode>();
  const std::shared_ptr<LinkTable> links;
  const std::shared_ptr<PeerAddresses> addresses = std::make_shared<PeerAddresses>();
  const std::shared_ptr<GroupDoors> group_doors = std::make_shared<GroupDoors>();
  std::shared_ptr<asio::ssl::context> tls;
  std::shared_ptr<PeerAdmission> admission;
  std::unique_ptr<PeerAcceptor> acceptor;
  std::unique_ptr<FileServer> files;
  std::unique_ptr<Dialer> dialer;
  std::unique_ptr<LinkPaths> link_paths;
  std::unique_ptr<Discovery> discovery;
  FileSourceLookup file_source;
  bool discovery_works = false;
  bool stopped = false;

  Impl(EventLoop& l, Identity i, NetworkOptions o)
      : loop(l),
        identity(std::move(i)),
        options(std::move(o)),
        links(std::make_shared<LinkTable>(loop, identity.id(), static_cast<LinkTableHost&>(*this))) {}

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
    admission = std::make_shared<PeerAdmission>(loop, tls, local, options.handshake_deadline, *this);
    EXO_CHECK_OK(listen());
    own.peer_port = acceptor->port();
    files = std::make_unique<FileServer>(loop, *local);
    files->set_source(file_source);
    dialer = std::make_unique<Dialer>(loop, own.id, *this);
    link_paths = std::make_unique<LinkPaths>(loop, own.id, *this);
    link_paths->start();
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
    handlers.on_link = [this](IncomingRequest incoming) { return admission->accept(std::move(incoming)); };
    handlers.on_files = [this](IncomingRequest incoming) { return accept_files(std::move(incoming)); };
    acceptor = std::make_unique<PeerAcceptor>(loop, tls, options.handshake_deadline, std::move(handlers));
    Status listening = acceptor->listen(options.peer_port);
    if (!listening && !options.peer_port_exact) listening = acceptor->listen(0);
    return listening;
  }

  void start_discovery() {
    const DiscoveryOptions how{.interfaces = options.interfaces, .port = options.discovery_port};
    const std::weak_ptr<Impl> weak = weak_from_this();
    discovery = std::make_unique<Discovery>(loop, how, beacon_of(local->self, local->key),
                                            [weak](const Sighting& sighting) {
                                              if (const auto self = weak.lock(); self && !self->stopped)
                                                self->on_sighting(sighting);
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
    if (admission) admission->stop();
    if (discovery) discovery->stop();
    if (dialer) dialer->stop();
    if (link_paths) link_paths->stop();
    if (acceptor) acceptor->stop();
    if (files) files->stop();
    links->stop(reason);
    group_doors->cancel_all();
    addresses->stop();
  }

  // ---- whom to dial

  void on_sighting(const Sighting& sighting) {
    const Beacon& beacon = sighting.beacon;
    if (!admission->would_admit(beacon, sighting.address)) return;
    dialer->saw(beacon.id, sighting.address, beacon.peer_port, sighting.medium, beacon.incarnation);
  }

  // So that nodes which only share a peer, but no broadcasts, find each other too. Of the other addresses of a peer
  // with a link only itself is believed.
  void heard_gossip(const NodeId& from, const wire::Gossip& gossip) override {
    for (const wire::NodeFacts& node : gossip.nodes) {
      if (node.id == local->self.id || node.leaving || node.peer_port == 0) continue;
      if (links->contains(node.id) && node.id != from) continue;
      for (const std::string& address : node.addresses) {
        const bool scoped = address.find('%') != std::string::npos;  // means nothing on this machine
        if (!scoped) dialer->saw(node.id, address, node.peer_port, InterfaceKind::kUnknown, 0);
      }
    }
  }

  bool has_link(const NodeId& peer) const override { return links->contains(peer); }
  asio::awaitable<DialOutcome> dial(tcp::endpoint to, std::optional<NodeId> expected) override {
    return admission->dial(std::move(to), std::move(expected));
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

  // ---- links: AdmissionHost, LinkTableHost

  std::shared_ptr<PeerLink> find_link(const NodeId& peer) const override { return links->find(peer); }
  bool has_room() const override { return !links->full(); }
  LinkPaths& paths() override { return *link_paths; }

  bool begin_link(std::shared_ptr<WebSocket> channel, const Introduction& peer) override {
    LinkInfo info;
    describe(*channel, peer.id, info);
    const auto channel_key = tls_channel_key(channel->next_layer());
    if (info.remote_address.empty() || !channel_key) return false;
    return links->begin(std::make_shared<PeerLink>(loop, std::move(channel), peer, info, link_session(*channel_key),
                                                   options.send_queue_bytes));
  }

  void end_link(const NodeId& peer, const std::string& reason) override { links->end(peer, reason); }

  void link_began(const PeerLink& link) override {
    admission->link_began(link.peer().id);
    remember_addresses(link);
    link_paths->link_up(link.peer().id);
    dialer->link_changed(link.peer().id);
  }

  void link_ended(const NodeId& peer) override { link_paths->link_down(peer); }
  void link_end_told(const NodeId& peer) override { dialer->link_changed(peer); }
  void link_broke(const NodeId& peer, const Error& why) override { link_paths->on_broken(peer, why); }
  void measured_round_trip(const NodeId& peer, Duration round_trip) override {
    link_paths->on_round_trip(peer, round_trip);
  }

  // First the way that the link found to be the best.
  void remember_addresses(const PeerLink& link) {
    std::vector<FileEndpoint> endpoints;
    const auto add = [&](const tcp::endpoint& e) { endpoints.push_back({to_text(e.address()), e.port()}); };
    add(link.answers_at());
    for (const auto& other : candidates(link.peer().id))
      if (other != link.answers_at()) add(other);
    addresses->remember(link.peer().id, std::move(endpoints), 4 * LinkTable::kMaxLinks,
                        [this](const NodeId& peer) { return links->contains(peer); });
  }

  // ---- their paths: LinkPathsHost

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
    return admission->dial_path(std::move(to), std::move(link));
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

  // Also through an interface that beacons do not use: a seed's.
  Interface interface_of(const std::string& address) const {
    if (const Interface* used = find_by_address(discovery->interfaces(), address)) return *used;
    const auto all = usable_interfaces(all_interface_names());
    const Interface* used = find_by_address(all, address);
    return used ? *used : Interface{};
  }

  void link_moved(const LinkInfo& before, const LinkInfo& now, const std::string& why) override {
    const auto link = find_link(now.peer);
    if (!link) return;
    log_info("net", "link with {} ({}) moved from {} over {} to {} over {}: {}", link->peer().name,
             now.peer.short_hex(), before.remote_address, before.interface, now.remote_address, now.interface, why);
    remember_addresses(*link);
    links->moved(now);
  }

  void give_up(const std::shared_ptr<PeerLink>& link, const Error& why) override {
    link->close(why.message);
    links->closed(link, why);
  }

  uint64_t total_traffic_bytes() const override { return links->total_traffic_bytes(); }
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
std::vector<LinkPath> NodeNetwork::link_paths() const { return impl_->link_paths->paths(); }
bool NodeNetwork::discovery_works() const { return impl_->discovery_works; }

void NodeNetwork::set_file_source(FileSourceLookup lookup) {
  impl_->file_source = lookup;
  if (impl_->files) impl_->files->set_source(std::move(lookup));
}

NodeId NodeNetwork::self() const { return impl_->identity.id(); }
void NodeNetwork::add_listener(TransportListener* listener) { impl_->links->add_listener(listener); }

bool NodeNetwork::send(const NodeId& to, wire::Message message) {
  EXO_DCHECK(impl_->loop.on_network_thread());
  return impl_->links->send(to, std::move(message));
}

void NodeNetwork::disconnect(const NodeId& peer, const std::string& reason) { impl_->links->end(peer, reason); }
std::vector<LinkInfo> NodeNetwork::links() const { return impl_->links->infos(); }
LinkTraffic NodeNetwork::traffic(const NodeId& peer) const { return impl_->links->traffic(peer); }

std::vector<Refusal> NodeNetwork::refusals() const {
  return impl_->admission ? impl_->admission->refusals() : std::vector<Refusal>();
}

Result<std::unique_ptr<FileConnection>> NodeNetwork::connect_files(const NodeId& peer) {
  auto endpoints = impl_->addresses->of(peer);
  if (endpoints.empty()) return fail(ErrorCode::kUnavailable, "there was no link with node {}", peer.short_hex());
  return make_file_connection(impl_->tls, impl_->local, peer, std::move(endpoints));
}

Result<std::unique_ptr<GroupPort>> NodeNetwork::open_group(const std::string& group,
                                                           const std::vector<NodeId>& members) {
  const auto find_endpoints = [addresses = impl_->addresses](const NodeId& peer) { return addresses->of(peer); };
  return open_group_port(impl_->tls, impl_->local, impl_->group_doors, group, members, find_endpoints);
}

}  // namespace exo::net
