#include "net/link_paths.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <map>

#include "base/log.h"
#include "net/link_text.h"
#include "net/path_answer.h"
#include "net/path_chooser.h"
#include "net/path_probe.h"

namespace exo::net {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr Duration kTick = milliseconds(100);
constexpr int kTicksPerLook = 10;                       // between looks at what is to be measured
constexpr uint64_t kQuietBytes = 256 << 10;             // of all links, from one look to the next
constexpr Duration kProbeDeadline = seconds(10);        // a whole measurement, also of the other end's
constexpr Duration kMoveDeadline = milliseconds(500);   // from the question on nothing passes
constexpr Duration kMendDeadline = milliseconds(1000);  // a broken link that is not mended by then is down
constexpr Duration kCourtesy = milliseconds(150);       // the larger id waits: one attempt is enough
constexpr Duration kUnanswered = milliseconds(400);  // nothing heard, and the system sends again: looks for others
constexpr Duration kSilent = milliseconds(850);      // likewise where the system sees nothing
constexpr Duration kBetweenLooks = milliseconds(800);
constexpr Duration kBetweenAttempts = milliseconds(150);  // to mend one break
constexpr int kMostQuickBreaks = 5;                       // each within a second of the one before

}  // namespace

struct LinkPaths::Impl : std::enable_shared_from_this<LinkPaths::Impl> {
  struct Peer {
    explicit Peer(TimePoint now) : chooser(now) {}
    PathChooser chooser;
    bool dialling = false;  // a better path, to move there
    bool moving = false;    // this end has asked the peer to move, and waits
    TimePoint last_look{};
    size_t searches = 0;  // dials of a search that have not ended
    uint64_t breaks = 0;  // of the present link's connections
    TimePoint last_break{};
    int quick_breaks = 0;
  };

  EventLoop& loop;
  const NodeId self;
  LinkPathsHost& host;
  std::map<NodeId, Peer> peers;
  ProbePlaces served;
  TimerId timer = 0;
  int ticks = 0;
  uint64_t traffic_then = 0;
  bool quiet = false, probing = false, stopped = false;

  Impl(EventLoop& l, NodeId id, LinkPathsHost& h) : loop(l), self(id), host(h) {}

  Peer* find(const NodeId& peer) {
    const auto found = peers.find(peer);
    return stopped || found == peers.end() ? nullptr : &found->second;
  }
  bool leads(const NodeId& peer) const { return self < peer; }

  asio::awaitable<void> sleep(Duration duration) {
    asio::steady_timer wait(loop.context(), duration);
    boost::system::error_code ignored;
    co_await wait.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }

  // ---- now and then

  void tick() {
    timer = loop.run_after(kTick, [self_ = shared_from_this()] { self_->tick(); });
    for (auto& [id, peer] : peers) watch(id, peer);
    if (++ticks % kTicksPerLook != 0) return;
    const uint64_t traffic = host.total_traffic_bytes();
    quiet = traffic - traffic_then < kQuietBytes;
    traffic_then = traffic;
    for (auto& [id, peer] : peers) consider(id, peer);
  }

  void consider(const NodeId& id, Peer& peer) {
    const auto link = host.find_link(id);
    if (!link || link->broken()) return;
    std::vector<std::string> addresses;
    for (const auto& endpoint : host.candidates(id)) addresses.push_back(to_text(endpoint));
    peer.chooser.set_addresses(addresses, to_text(link->answers_at()), loop.now());
    if (probing || peer.dialling || peer.moving) return;
    const auto better = leads(id) ? peer.chooser.better_path() : std::nullopt;
    if (better) {
      peer.dialling = true;
      return asio::co_spawn(loop.context(), move_when_up(id, link, to_endpoint(*better)), asio::detached);
    }
    const auto due = peer.chooser.next_probe(loop.now(), quiet);
    if (!due) return;
    probing = true;
    asio::co_spawn(loop.context(), probe(link, to_endpoint(*due)), asio::detached);
  }

  asio::awaitable<void> probe(std::shared_ptr<PeerLink> link, tcp::endpoint to) {
    const auto alive = shared_from_this();
    const NodeId id = link->peer().id;
    const std::string address = to_text(to);
    PathChooser::Measurement measured;
    auto dialling = host.dial_path(to, link);
    const PathDial dialled = co_await std::move(dialling);
    if (stopped) co_return;
    const auto channel = dialled.channel;
    std::string problem = dialled.problem;
    LinkInfo info;
    if (channel && !host.describe(*channel, id, info)) problem = "not through an interface that links use";
    if (channel && problem.empty()) {
      try {
        SocketDeadline deadline(socket_of(*channel), kProbeDeadline);
        auto measuring = measure_path(*channel);
        measured = co_await std::move(measuring);
      } catch (const std::exception& error) {
        problem = error.what();
      }
    }
    probing = false;
    Peer* peer = find(id);
    if (peer == nullptr || host.find_link(id) != link) co_return;
    if (!problem.empty()) {
      peer->chooser.on_failed(address, problem, loop.now());
      co_return;
    }
    measured.local_address = ip_text(info.local_address);
    measured.interface = info.interface;
    log_debug("net", "path to {} at {} over {}: {:.0f} µs, {:.1f} MB/s", id.short_hex(), address, info.interface,
              measured.round_trip_us, measured.bandwidth_bytes_per_s / 1e6);
    peer->chooser.on_measured(address, measured, loop.now());
  }

  // ---- moving, this end

  asio::awaitable<void> move_when_up(NodeId id, std::shared_ptr<PeerLink> link, tcp::endpoint to) {
    const auto alive = shared_from_this();
    auto dialling = host.dial_path(to, link);
    const PathDial dialled = co_await std::move(dialling);
    Peer* peer = find(id);
    if (peer == nullptr || host.find_link(id) != link) co_return;
    peer->dialling = false;
    if (!dialled.channel) peer->chooser.on_failed(to_text(to), dialled.problem, loop.now());
    if (!dialled.channel || link->broken()) co_return;  // a search is under way then
    auto moving = take_over(id, link, dialled.channel, "it is better there", false);
    co_await std::move(moving);
  }

  // Asks the peer to go on over `channel` and does so. From the question on there is no way back to the connection
  // before: the peer may have moved.
  asio::awaitable<void> take_over(NodeId id, std::shared_ptr<PeerLink> link, std::shared_ptr<WebSocket> channel,
                                  std::string why, bool failed) {
    Peer* peer = find(id);
    LinkInfo info;
    if (peer == nullptr || peer->moving || !host.describe(*channel, id, info)) co_return;
    peer->moving = true;
    const uint64_t received = link->pause();
    std::optional<uint64_t> peer_received;
    std::string problem = "the peer does not want to";
    try {
      SocketDeadline deadline(socket_of(*channel), kMoveDeadline);
      auto asking = write_text(*channel, count_text(kMove, received));
      co_await std::move(asking);
      auto reading = read_text(*channel);
      const std::string answer = co_await std::move(reading);
      peer_received = read_count(answer, kMove);
    } catch (const std::exception& error) {
      problem = error.what();
    }
    peer = find(id);
    if (peer == nullptr) co_return;
    peer->moving = false;
    // Meanwhile the peer's own attempt may have succeeded.
    if (host.find_link(id) != link || !link->paused()) co_return;
    const LinkInfo before = link->info();
    if (peer_received && link->move_to(channel, info, *peer_received)) {
      moved(id, before, info, why, failed);
      co_return;
    }
    const Error failure{ErrorCode::kUnavailable, "moving the link failed: " + problem};
    if (!link->broken()) {
      link->break_off(failure);
      co_return;
    }
    auto waiting = sleep(kBetweenAttempts);
    co_await std::move(waiting);
    peer = find(id);
    const bool try_again = peer != nullptr && host.find_link(id) == link && link->broken() && !peer->moving;
    if (try_again && peer->searches <= 1) search(id, *peer, link, failure);  // one: the caller's
  }

  void moved(const NodeId& id, const LinkInfo& before, const LinkInfo& now, const std::string& why, bool failed) {
    const auto link = host.find_link(id);
    if (Peer* peer = find(id); peer != nullptr && link)
      peer->chooser.moved(to_text(link->answers_at()), loop.now(), failed);
    host.link_moved(before, now, why);
  }

  // ---- the other end's measurements and moves

  asio::awaitable<void> serve(IncomingRequest incoming, std::shared_ptr<PeerLink> link,
                              std::shared_ptr<void> place) {
    const auto alive = shared_from_this();
    const auto own_place = std::move(place);
    const std::shared_ptr<WebSocket> channel = std::move(incoming.channel);
    incoming.deadline.reset();
    incoming.place.reset();
    try {
      SocketDeadline deadline(socket_of(*channel), kProbeDeadline);
      auto answering = answer_probes(*channel);
      const auto received = co_await std::move(answering);
      if (!received || stopped) co_return;
      auto moving = let_move(link, channel, *received);
      co_await std::move(moving);
    } catch (const std::exception&) {
      // The other end has what it wanted, or goes on without.
    }
  }

  asio::awaitable<void> let_move(std::shared_ptr<PeerLink> link, std::shared_ptr<WebSocket> channel,
                                 uint64_t peer_received) {
    const NodeId id = link->peer().id;
    Peer* peer = find(id);
    LinkInfo info;
    const bool ours_wins = peer != nullptr && peer->moving && leads(id);
    if (peer == nullptr || host.find_link(id) != link || ours_wins || !link->can_resume(peer_received) ||
        !host.describe(*channel, id, info)) {
      auto refusing = write_text(*channel, count_text(kRefuse, 0));
      co_await std::move(refusing);
      co_return;
    }
    try {
      auto agreeing = write_text(*channel, count_text(kMove, link->pause()));
      co_await std::move(agreeing);
    } catch (const std::exception& error) {
      link->break_off({ErrorCode::kUnavailable, error.what()});
      co_return;
    }
    if (stopped || host.find_link(id) != link) co_return;
    const LinkInfo before = link->info();
    if (link->move_to(channel, info, peer_received)) {
      moved(id, before, info, "the peer moved it", false);
    } else {
      link->break_off({ErrorCode::kCorrupt, "the peer moved the link to where it cannot be"});
    }
  }

  // ---- when the present connection fails

  void watch(const NodeId& id, Peer& peer) {
    const auto link = host.find_link(id);
    if (!link || link->broken() || peer.moving || peer.searches > 0) return;
    const Duration silence = loop.now() - link->last_heard();
    const bool fails = (silence > kUnanswered && link->retransmits()) || silence > kSilent;
    if (!fails || loop.now() - peer.last_look < kBetweenLooks) return;
    const auto endpoints = host.candidates(id);
    const bool others =
        std::any_of(endpoints.begin(), endpoints.end(), [&](auto& e) { return e != link->answers_at(); });
    if (!others) return;
    peer.last_look = loop.now();
    search(id, peer, link, {ErrorCode::kUnavailable, "nothing is heard"});
  }

  void on_broken(const NodeId& id, const Error& why) {
    Peer* peer = find(id);
    const auto link = host.find_link(id);
    if (peer == nullptr || !link) return;
    log_info("net", "the connection to {} at {} broke: {}", id.short_hex(), link->info().remote_address,
             why.message);
    // A peer whose every connection breaks at once is not worth one more.
    peer->quick_breaks = loop.now() - peer->last_break < kMendDeadline ? peer->quick_breaks + 1 : 0;
    peer->last_break = loop.now();
    if (peer->quick_breaks >= kMostQuickBreaks) return give_up_soon(link, why);
    // Each break has its second: one that came after a mend is not the first one's to give up.
    loop.run_after(kMendDeadline, [self_ = shared_from_this(), id, link, why, number = ++peer->breaks] {
      const Peer* later = self_->find(id);
      const bool same = later != nullptr && later->breaks == number && self_->host.find_link(id) == link;
      if (same && link->broken()) self_->host.give_up(link, why);
    });
    search(id, *peer, link, why);
  }

  void give_up_soon(const std::shared_ptr<PeerLink>& link, const Error& why) {
    loop.post([self_ = shared_from_this(), link, why] {
      if (!self_->stopped) self_->host.give_up(link, why);
    });
  }

  // All addresses at once; the first that answers carries the link on.
  void search(const NodeId& id, Peer& peer, const std::shared_ptr<PeerLink>& link, const Error& why) {
    auto endpoints = host.candidates(id);
    if (endpoints.size() > PathChooser::kMostPaths) endpoints.resize(PathChooser::kMostPaths);
    if (endpoints.empty() && link->broken()) return give_up_soon(link, why);
    peer.searches += endpoints.size();
    for (const auto& endpoint : endpoints) {
      asio::co_spawn(loop.context(), search_at(id, endpoint, link, why), asio::detached);
    }
  }

  asio::awaitable<void> search_at(NodeId id, tcp::endpoint to, std::shared_ptr<PeerLink> link, Error why) {
    const auto alive = shared_from_this();
    const TimePoint asked = loop.now();
    const bool is_present = to == link->answers_at();
    auto dialling = host.dial_path(to, link);
    const PathDial dialled = co_await std::move(dialling);
    Peer* peer = find(id);
    if (peer == nullptr) co_return;
    const auto channel = dialled.channel;
    const auto open = [&] { return !stopped && host.find_link(id) == link; };
    // Dead, or another run: known as soon as one address tells, whatever the others take.
    const bool dead = dialled.link_is_gone || (dialled.nobody_listens && is_present);
    if (dead && open() && link->broken()) {
      host.give_up(link, why);
      co_return;
    }
    // A link that is only silent lives when its address answers; one that is broken is the smaller id's to mend
    // first.
    if (channel && open() && !link->broken() && is_present) peer->last_look = loop.now() + kBetweenLooks;
    if (channel && open()) {
      auto waiting = sleep((link->broken() ? Duration(0) : kCourtesy) + (leads(id) ? Duration(0) : kCourtesy));
      co_await std::move(waiting);
    }
    peer = find(id);
    if (peer == nullptr) co_return;
    const bool lives =
        !link->broken() && (is_present || link->last_heard() > asked || peer->last_look > loop.now());
    if (channel && open() && !lives && !peer->moving) {
      auto moving = take_over(id, link, channel, why.message, true);
      co_await std::move(moving);
      peer = find(id);
      if (peer == nullptr) co_return;
    }
    if (!open()) co_return;  // what is known of the peer is of another link
    if (--peer->searches == 0 && link->broken() && !peer->moving) host.give_up(link, why);
  }
};

LinkPaths::LinkPaths(EventLoop& loop, NodeId self, LinkPathsHost& host)
    : impl_(std::make_shared<Impl>(loop, self, host)) {}
LinkPaths::~LinkPaths() { stop(); }

void LinkPaths::start() {
  impl_->timer = impl_->loop.run_after(kTick, [impl = impl_] { impl->tick(); });
}

void LinkPaths::stop() {
  impl_->stopped = true;
  impl_->loop.cancel(impl_->timer);
}

void LinkPaths::link_up(const NodeId& peer) {
  impl_->peers.erase(peer);
  impl_->peers.emplace(peer, Impl::Peer(impl_->loop.now()));
}
void LinkPaths::link_down(const NodeId& peer) { impl_->peers.erase(peer); }
void LinkPaths::on_broken(const NodeId& peer, const Error& why) { impl_->on_broken(peer, why); }

void LinkPaths::on_round_trip(const NodeId& peer, Duration round_trip) {
  if (auto* known = impl_->find(peer))
    known->chooser.on_round_trip(std::chrono::duration<double, std::micro>(round_trip).count());
}

asio::awaitable<void> LinkPaths::serve(IncomingRequest incoming, std::shared_ptr<PeerLink> link,
                                       std::shared_ptr<void> place) {
  return impl_->serve(std::move(incoming), std::move(link), std::move(place));
}

std::shared_ptr<void> LinkPaths::take_place(const NodeId& peer) { return impl_->served.take(peer); }

std::vector<LinkPath> LinkPaths::paths() const {
  std::vector<LinkPath> all;
  for (const auto& [id, peer] : impl_->peers) {
    if (peer.chooser.paths().size() < 2) continue;
    for (LinkPath path : peer.chooser.paths()) {
      path.peer = id;
      // The port is of interest only where it makes the difference.
      const auto same_host = [host = ip_text(path.remote_address)](const LinkPath& other) {
        return ip_text(other.remote_address) == host;
      };
      if (std::ranges::count_if(peer.chooser.paths(), same_host) == 1)
        path.remote_address = ip_text(path.remote_address);
      all.push_back(std::move(path));
    }
  }
  return all;
}

}  // namespace exo::net
