#include "net/dialer.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <map>
#include <tuple>

#include "base/log.h"

namespace exo::net {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr size_t kMaxTargets = 4096;
constexpr size_t kMaxAddressesPerTarget = 16;
constexpr Duration kForgetAfter = seconds(60);               // not seen and not linked
constexpr Duration kCourtesy = milliseconds(250);            // the larger id waits: one dial is enough
constexpr Duration kLeastBetweenRounds = milliseconds(100);  // whatever beacons and peers do
constexpr Duration kRetryDuplicate = milliseconds(150);
constexpr Duration kRetryRefused = seconds(5);
constexpr Duration kFirstRetry = milliseconds(200), kLastRetry = seconds(8);

struct Address {
  tcp::endpoint endpoint;
  InterfaceKind medium = InterfaceKind::kUnknown;
  TimePoint seen;
  int failures = 0;
  auto rank() const { return std::tuple(failures > 0, medium, endpoint.address().is_v6(), failures); }
};

struct Target {
  explicit Target(asio::io_context& context) : wake(context) {}
  std::optional<NodeId> peer;  // of a seed: who answered there last
  bool is_seed = false;
  std::string host, port;  // of a seed
  SeedState state;         // of a seed
  std::vector<Address> addresses;
  uint64_t incarnation = 0;
  TimePoint seen, last_round;
  int failures = 0;  // rounds through all addresses
  asio::steady_timer wake;
};
using TargetPtr = std::shared_ptr<Target>;

Duration backoff(int failures) {
  return std::min<Duration>(kLastRetry, kFirstRetry * (int64_t{1} << std::min(failures, 16)));
}

}  // namespace

Result<std::pair<std::string, std::string>> split_seed(const std::string& seed) {
  std::string host = seed, port = std::to_string(kDefaultPeerPort);
  if (seed.starts_with('[')) {
    const size_t close = seed.find(']');
    if (close == std::string::npos) return fail(ErrorCode::kInvalidArgument, "{}: ] is missing", seed);
    host = seed.substr(1, close - 1);
    if (close + 1 < seed.size()) {
      if (seed[close + 1] != ':') return fail(ErrorCode::kInvalidArgument, "{}: a port follows a colon", seed);
      port = seed.substr(close + 2);
    }
  } else if (std::count(seed.begin(), seed.end(), ':') == 1) {
    host = seed.substr(0, seed.find(':'));
    port = seed.substr(seed.find(':') + 1);
  }
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number == 0) {
    return fail(ErrorCode::kInvalidArgument, "{}: {} is not a port", seed, port);
  }
  if (host.empty()) return fail(ErrorCode::kInvalidArgument, "{}: no host", seed);
  return std::pair(host, port);
}

struct Dialer::Impl : std::enable_shared_from_this<Dialer::Impl> {
  EventLoop& loop;
  const NodeId self;
  DialHost& host;
  std::map<NodeId, TargetPtr> found;
  std::vector<TargetPtr> seeds;
  bool stopped = false;

  Impl(EventLoop& l, NodeId id, DialHost& h) : loop(l), self(id), host(h) {}

  bool linked(const Target& target) const { return target.peer && host.has_link(*target.peer); }

  // Until `wake` is cancelled or time is up.
  asio::awaitable<void> sleep(TargetPtr target, Duration duration) {
    boost::system::error_code ignored;
    target->wake.expires_after(duration);
    co_await target->wake.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }

  asio::awaitable<void> pursue(TargetPtr target) {
    const auto alive = shared_from_this();
    while (!stopped) {
      if (linked(*target)) {
        target->failures = 0;
        target->state.phase = SeedState::Phase::kLinked;
        target->state.problem.clear();
        co_await sleep(target, seconds(3600));
        continue;
      }
      if (!target->is_seed && loop.now() - target->seen > kForgetAfter) {
        found.erase(*target->peer);
        co_return;
      }
      if (target->peer && self > *target->peer) {
        co_await sleep(target, kCourtesy);
        if (stopped || linked(*target)) continue;
      }
      if (loop.now() - target->last_round < kLeastBetweenRounds) {
        co_await sleep(target, kLeastBetweenRounds);
        continue;
      }
      target->last_round = loop.now();
      if (target->is_seed) co_await resolve(target);
      if (stopped) co_return;
      const DialOutcome outcome = co_await try_addresses(target);
      if (stopped) co_return;
      const Duration pause = note(*target, outcome);
      if (pause > Duration::zero()) co_await sleep(target, pause);
    }
  }

  asio::awaitable<void> resolve(TargetPtr target) {
    tcp::resolver resolver(loop.context());
    boost::system::error_code error;
    const auto results = co_await resolver.async_resolve(target->host, target->port,
                                                         asio::redirect_error(asio::use_awaitable, error));
    target->addresses.clear();
    if (error) target->state.problem = fmt::format("cannot resolve {}: {}", target->host, error.message());
    for (const auto& result : results) target->addresses.push_back({result.endpoint(), {}, loop.now(), 0});
    if (target->addresses.size() > kMaxAddressesPerTarget) target->addresses.resize(kMaxAddressesPerTarget);
  }

  asio::awaitable<DialOutcome> try_addresses(TargetPtr target) {
    std::stable_sort(target->addresses.begin(), target->addresses.end(),
                     [](const Address& a, const Address& b) { return a.rank() < b.rank(); });
    const std::vector<Address> addresses = target->addresses;
    DialOutcome outcome;
    outcome.problem = target->state.problem;  // in case nothing could be resolved
    for (const Address& address : addresses) {
      const std::optional<NodeId> expected = target->is_seed ? std::nullopt : target->peer;
      outcome = co_await host.dial(address.endpoint, expected);
      const bool failed = outcome.kind == DialOutcome::Kind::kFailed;
      for (Address& a : target->addresses) {
        if (a.endpoint == address.endpoint) a.failures = failed ? a.failures + 1 : 0;
      }
      if (stopped || !failed || (!target->is_seed && linked(*target))) break;
    }
    co_return outcome;
  }

  // Takes the outcome down and says how long to wait.
  Duration note(Target& target, const DialOutcome& outcome) {
    using Kind = DialOutcome::Kind;
    if (target.is_seed && outcome.peer) target.state.peer = target.peer = outcome.peer;
    const auto set = [&](SeedState::Phase phase, const std::string& problem) {
      if (target.is_seed && (target.state.phase != phase || target.state.problem != problem) && !problem.empty()) {
        log_warning("net", "peer {}: {}", target.state.seed, problem);
      }
      target.state.phase = phase;
      target.state.problem = problem;
    };
    switch (outcome.kind) {
      case Kind::kLinked:
        target.failures = 0;
        return Duration::zero();
      case Kind::kDuplicate:  // a link is there or on its way
        return kRetryDuplicate;
      case Kind::kSameNode:
        set(SeedState::Phase::kSelf, "");
        return seconds(60);
      case Kind::kRefused:
        set(SeedState::Phase::kRefused, outcome.problem);
        return kRetryRefused;
      case Kind::kFailed:
        set(SeedState::Phase::kUnreachable, outcome.problem);
        return backoff(target.failures++);
    }
    return kLastRetry;
  }

  void spawn(TargetPtr target) { asio::co_spawn(loop.context(), pursue(std::move(target)), asio::detached); }
};

Dialer::Dialer(EventLoop& loop, NodeId self, DialHost& host) : impl_(std::make_shared<Impl>(loop, self, host)) {}
Dialer::~Dialer() { stop(); }

void Dialer::add_seed(const std::string& seed) {
  auto target = std::make_shared<Target>(impl_->loop.context());
  target->is_seed = true;
  target->state.seed = seed;
  impl_->seeds.push_back(target);
  const auto parts = split_seed(seed);
  if (!parts) {
    target->state.phase = SeedState::Phase::kUnreachable;
    target->state.problem = parts.error().message;
    log_warning("net", "peer {}", parts.error().message);
    return;
  }
  std::tie(target->host, target->port) = *parts;
  impl_->spawn(std::move(target));
}

void Dialer::saw(const NodeId& peer, const std::string& address, uint16_t port, InterfaceKind medium,
                 uint64_t incarnation) {
  boost::system::error_code error;
  const auto ip = asio::ip::make_address(address, error);
  if (error || peer == impl_->self || impl_->stopped) return;
  const TimePoint now = impl_->loop.now();
  auto entry = impl_->found.find(peer);
  const bool is_new = entry == impl_->found.end();
  if (is_new) {
    if (impl_->found.size() >= kMaxTargets) return;
    entry = impl_->found.emplace(peer, std::make_shared<Target>(impl_->loop.context())).first;
    entry->second->peer = peer;
  }
  Target& target = *entry->second;
  target.seen = now;
  bool news = incarnation != 0 && incarnation != target.incarnation;
  if (news) {
    target.failures = 0;
    target.addresses.clear();
    target.incarnation = incarnation;
  }
  const tcp::endpoint endpoint(ip, port);
  auto known = std::find_if(target.addresses.begin(), target.addresses.end(),
                            [&](const Address& a) { return a.endpoint == endpoint; });
  if (known == target.addresses.end()) {
    std::erase_if(target.addresses, [&](const Address& a) { return now - a.seen > kForgetAfter; });
    if (target.addresses.size() >= kMaxAddressesPerTarget) return;
    target.addresses.push_back({endpoint, medium, now, 0});
    news = true;
  } else {
    known->seen = now;
    known->medium = std::min(known->medium, medium);
  }
  if (is_new) {
    impl_->spawn(entry->second);
  } else if (news && !impl_->linked(target)) {
    target.wake.cancel();
  }
}

void Dialer::link_changed(const NodeId& peer) {
  if (const auto entry = impl_->found.find(peer); entry != impl_->found.end()) {
    entry->second->seen = impl_->loop.now();
    entry->second->wake.cancel();
  }
  for (const TargetPtr& seed : impl_->seeds) {
    if (seed->peer == peer) {
      seed->state.phase = SeedState::Phase::kTrying;
      seed->wake.cancel();
    }
  }
}

std::vector<SeedState> Dialer::seed_states() const {
  std::vector<SeedState> states;
  for (const TargetPtr& seed : impl_->seeds) {
    states.push_back(seed->state);
    if (impl_->linked(*seed)) states.back().phase = SeedState::Phase::kLinked;
  }
  return states;
}

std::vector<tcp::endpoint> Dialer::endpoints(const NodeId& peer) const {
  std::vector<tcp::endpoint> result;
  const auto entry = impl_->found.find(peer);
  if (entry == impl_->found.end()) return result;
  for (const Address& address : entry->second->addresses) result.push_back(address.endpoint);
  return result;
}

void Dialer::stop() {
  impl_->stopped = true;
  for (auto& [peer, target] : impl_->found) target->wake.cancel();
  for (const TargetPtr& seed : impl_->seeds) seed->wake.cancel();
}

}  // namespace exo::net
