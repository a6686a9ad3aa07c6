#include "net/peer_admission.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "net/beacon_judgement.h"

namespace exo::net {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

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

// The refused peer gets to read why, and closes; the handshake's deadline bounds the wait.
asio::awaitable<void> linger(WebSocket& channel) {
  boost::system::error_code ignored;
  boost::beast::flat_buffer nothing;
  co_await channel.async_read(nothing, asio::redirect_error(asio::use_awaitable, ignored));
}

}  // namespace

PeerAdmission::PeerAdmission(EventLoop& loop, std::shared_ptr<asio::ssl::context> tls,
                             std::shared_ptr<const LocalNode> local, Duration deadline, AdmissionHost& host)
    : loop_(loop), tls_(std::move(tls)), local_(std::move(local)), deadline_(deadline), host_(host) {}

// ---- incoming

asio::awaitable<void> PeerAdmission::accept(IncomingRequest incoming) {
  const auto self = shared_from_this();
  const bool is_path = incoming.request.target().starts_with(kPathPrefix);
  auto accepting = is_path ? accept_path(std::move(incoming)) : accept_link(std::move(incoming));
  co_await std::move(accepting);
}

asio::awaitable<void> PeerAdmission::accept_link(IncomingRequest incoming) {
  Mark mark;
  const auto last_word = [this, &mark](const Introduction& peer) {
    if (stopped_) return Verdict::kBusy;
    const Verdict verdict = may_accept(peer);
    if (verdict == Verdict::kAdmitted) mark = Mark(admitting_, peer.id);
    return verdict;
  };
  WebSocket& channel = *incoming.channel;
  const Greeting greeting = co_await receive_greeting(channel, incoming.request, *local_, last_word);
  if (stopped_) co_return;
  if (greeting.verdict == Verdict::kAdmitted) {
    incoming.deadline.reset();
    host_.begin_link(std::move(incoming.channel), greeting.peer);
    co_return;
  }
  if (greeting.verdict != Verdict::kDuplicate) {
    note_refusal(to_text(incoming.remote), greeting.verdict, greeting.peer, false);
  }
  co_await linger(channel);
}

asio::awaitable<void> PeerAdmission::accept_path(IncomingRequest incoming) {
  std::string_view session(incoming.request.target().data(), incoming.request.target().size());
  session.remove_prefix(std::string_view(kPathPrefix).size());
  std::shared_ptr<PeerLink> link;
  std::shared_ptr<void> place;
  const auto last_word = [&](const Introduction& peer) {
    if (stopped_) return Verdict::kBusy;
    link = host_.find_link(peer.id);
    if (!link || link->peer().incarnation != peer.incarnation || link->session() != session)
      return Verdict::kNoLink;
    place = host_.paths().take_place(peer.id);
    return place ? Verdict::kAdmitted : Verdict::kBusy;
  };
  WebSocket& channel = *incoming.channel;
  const Greeting greeting = co_await receive_greeting(channel, incoming.request, *local_, last_word);
  if (stopped_) co_return;
  if (greeting.verdict != Verdict::kAdmitted) {
    co_await linger(channel);
    co_return;
  }
  auto serving = host_.paths().serve(std::move(incoming), std::move(link), std::move(place));
  co_await std::move(serving);
}

// One link per pair.
Verdict PeerAdmission::may_accept(const Introduction& peer) {
  if (admitting_.contains(peer.id)) return Verdict::kDuplicate;
  if (const auto existing = host_.find_link(peer.id)) {
    const bool same_run = existing->peer().incarnation == peer.incarnation;
    if (same_run && !existing->broken()) return Verdict::kDuplicate;
    host_.end_link(peer.id, same_run ? "it has given up the link" : "it was started again");
  }
  if (dialling_.contains(peer.id) && local_->self.id < peer.id) return Verdict::kDuplicate;
  return host_.has_room() ? Verdict::kAdmitted : Verdict::kBusy;
}

// ---- outgoing

asio::awaitable<DialOutcome> PeerAdmission::dial(tcp::endpoint to, std::optional<NodeId> expected) {
  const auto self = shared_from_this();
  DialOutcome outcome;
  Mark mark;
  bool expired = false;
  bool wrong_node = false;
  std::unique_ptr<WebSocket> channel;
  Greeting greeting;
  try {
    channel = make_channel(tcp::socket(loop_.context()), *tls_);
    SocketDeadline deadline(socket_of(*channel), kConnectDeadline);
    try {
      co_await socket_of(*channel).async_connect(to, asio::use_awaitable);
      tune_socket(socket_of(*channel));
      deadline.extend(deadline_);
      const auto on_identity = [&](const NodeId& peer) {
        outcome.peer = peer;
        wrong_node = expected && *expected != peer;
        if (stopped_ || wrong_node || host_.find_link(peer)) return false;
        if (dialling_.contains(peer) || admitting_.contains(peer)) return false;
        mark = Mark(dialling_, peer);
        return true;
      };
      greeting = co_await greet(*channel, *local_, on_identity);
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
  if (stopped_) co_return outcome;
  co_return conclude(std::move(channel), greeting, to);
}

DialOutcome PeerAdmission::conclude(std::unique_ptr<WebSocket> channel, const Greeting& greeting,
                                    const tcp::endpoint& to) {
  using Kind = DialOutcome::Kind;
  DialOutcome outcome;
  outcome.peer = greeting.peer.id;
  switch (greeting.verdict) {
    case Verdict::kAdmitted:
      outcome.kind = host_.begin_link(std::move(channel), greeting.peer) ? Kind::kLinked : Kind::kDuplicate;
      break;
    case Verdict::kDuplicate:
      outcome.kind = Kind::kDuplicate;
      break;
    case Verdict::kSameNode:
      outcome.kind = Kind::kSameNode;
      break;
    default:
      outcome.kind = Kind::kRefused;
      outcome.problem = refusal_text(greeting.verdict, local_->self, greeting.peer, true);
      note_refusal(to_text(to), greeting.verdict, greeting.peer, true);
  }
  return outcome;
}

asio::awaitable<PathDial> PeerAdmission::dial_path(tcp::endpoint to, std::shared_ptr<PeerLink> link) {
  const auto self = shared_from_this();
  const std::string target = kPathPrefix + link->session();
  PathDial outcome;
  std::shared_ptr<WebSocket> channel;
  Greeting greeting;
  try {
    channel = make_channel(tcp::socket(loop_.context()), *tls_);
    SocketDeadline deadline(socket_of(*channel), kConnectDeadline);
    co_await socket_of(*channel).async_connect(to, asio::use_awaitable);
    tune_socket(socket_of(*channel));
    const auto is_peer = [&link](const NodeId& proven) { return proven == link->peer().id; };
    auto greeting_peer = greet(*channel, *local_, is_peer, target.c_str());
    greeting = co_await std::move(greeting_peer);
  } catch (const boost::system::system_error& error) {
    outcome.problem = error.code().message();
    outcome.nobody_listens = error.code() == asio::error::connection_refused;
  } catch (const std::exception& error) {
    outcome.problem = error.what();
  }
  if (!outcome.problem.empty() || stopped_) co_return outcome;
  if (greeting.peer.id != link->peer().id) {
    outcome.problem = "another node answers there";
  } else if (greeting.verdict != Verdict::kAdmitted) {
    outcome.problem = refusal_text(greeting.verdict, local_->self, greeting.peer, true);
    outcome.link_is_gone = greeting.verdict == Verdict::kNoLink;
  } else {
    outcome.channel = std::move(channel);
  }
  co_return outcome;
}

// ---- refusals

bool PeerAdmission::would_admit(const Beacon& beacon, const std::string& address) {
  const Verdict verdict = judge_beacon(beacon, local_->self, local_->key);
  if (verdict == Verdict::kAdmitted) return true;
  boost::system::error_code ignored;
  const auto endpoint = to_text(tcp::endpoint(asio::ip::make_address(address, ignored), beacon.peer_port));
  note_refusal(endpoint, verdict, introduction_of(beacon), false);
  return false;
}

void PeerAdmission::note_refusal(const std::string& address, Verdict verdict, const Introduction& peer,
                                 bool we_dialled) {
  const std::string reason = refusal_text(verdict, local_->self, peer, we_dialled);
  if (refusals_.add({address, peer.name, reason}, peer.id, loop_.now())) {
    log_warning("net", "no link with {} at {}: {}", peer.name.empty() ? peer.id.short_hex() : peer.name, address,
                reason);
  }
}

}  // namespace exo::net
