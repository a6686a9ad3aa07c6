#include "ring/group_links.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "net/running_time.h"

namespace exo::ring {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr size_t kHeaderBytes = 16;
constexpr size_t kRecordBytes = 16 << 10;  // of TLS: what a message begins with goes out as one
constexpr size_t kSkipBytes = 64 << 10;
constexpr int kPollMs = 100;  // also how soon a deadline is noticed

template <typename T>
void put(std::byte* to, T value) {
  for (size_t i = 0; i < sizeof value; ++i) to[i] = static_cast<std::byte>(value >> (8 * i));
}

template <typename T>
T get(const std::byte* from) {
  T value = 0;
  for (size_t i = 0; i < sizeof value; ++i) value |= static_cast<T>(from[i]) << (8 * i);
  return value;
}

}  // namespace

GroupLinks::GroupLinks(std::unique_ptr<net::GroupPort> port, const std::vector<NodeId>& members, int32_t own,
                       GroupLinksOptions options)
    : options_(options), port_(std::move(port)), own_(static_cast<size_t>(own)), peers_(members.size()) {
  for (size_t i = 0; i < members.size(); ++i) {
    peers_[i].node = members[i];
    peers_[i].dials = own_ < i;
  }
  wake_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

GroupLinks::~GroupLinks() {
  if (wake_ >= 0) ::close(wake_);
}

// ---- steps

Status GroupLinks::begin_step(MicroBatchId step) {
  uint64_t drained = 0;
  [[maybe_unused]] const auto ignored = ::read(wake_, &drained, sizeof drained);
  step_ = step.value;
  exchange_ = 0;
  EXO_CHECK_OK(check_interrupted());
  for (size_t i = 0; i < peers_.size(); ++i) {
    if (i != own_) EXO_CHECK_OK(connect(peers_[i]));
  }
  return {};
}

Status GroupLinks::connect(Peer& peer) {
  const bool renewed = !peer.dials && port_->has_arrived(peer.node);  // the other end gave the old one up
  if (peer.stream && !renewed) return {};
  drop(peer);
  auto stream = peer.dials ? port_->connect(peer.node, options_.connect_deadline)
                           : port_->accept(peer.node, options_.connect_deadline);
  if (!stream) return fail(ErrorCode::kUnavailable, "{}", stream.error().message);
  peer.stream = std::move(*stream);
  return {};
}

void GroupLinks::drop(Peer& peer) {
  peer.stream = nullptr;
  peer.to_write = 0;
  peer.waiting = false;
  peer.incoming = {};
}

void GroupLinks::abandon_step() {
  drop_unfinished();
  exchange_ = 0;
  encode(kAbandoned);
  for (size_t i = 0; i < peers_.size(); ++i) {
    if (i == own_ || !peers_[i].stream) continue;
    peers_[i].waiting = false;
    peers_[i].to_write = message_.size();
    // A few bytes into an empty buffer of the system; where they do not fit, the stream's end says the same.
    if (!write(peers_[i]) || peers_[i].to_write > 0) drop(peers_[i]);
  }
}

void GroupLinks::interrupt(MicroBatchId newest) {
  uint64_t through = interrupted_through_;
  while (through < newest.value && !interrupted_through_.compare_exchange_weak(through, newest.value)) {
  }
  const uint64_t one = 1;
  [[maybe_unused]] const auto ignored = ::write(wake_, &one, sizeof one);
}

void GroupLinks::cancel() {
  cancelled_ = true;
  interrupt({});
  port_->cancel();
}

Status GroupLinks::check_interrupted() const {
  if (cancelled_) return fail(ErrorCode::kUnavailable, "the group has ended");
  if (step_ <= interrupted_through_) return fail(ErrorCode::kUnavailable, "a member of the group was lost");
  return {};
}

// ---- one exchange

Status GroupLinks::exchange(std::span<const std::byte> own, std::span<const std::span<std::byte>> parts,
                            Receivers receivers) {
  if (parts.size() != peers_.size() || own.size() >= kAbandoned) {
    return fail(ErrorCode::kInternal, "an exchange of {} parts in a group of {}", parts.size(), peers_.size());
  }
  ++exchange_;
  encode(static_cast<uint32_t>(own.size()));
  const size_t n_with_header = std::min(own.size(), kRecordBytes - kHeaderBytes);
  message_.insert(message_.end(), own.begin(), own.begin() + static_cast<std::ptrdiff_t>(n_with_header));
  rest_ = own.subspan(n_with_header);
  const bool all = receivers == Receivers::kAll;
  for (size_t i = 0; i < peers_.size(); ++i) {
    if (i == own_) continue;
    peers_[i].to_write = all || i == 0 ? message_.size() + rest_.size() : 0;
    peers_[i].waiting = all || own_ == 0;
    peers_[i].part = parts[i];
  }
  const Status moved = move_all();
  if (!moved) drop_unfinished();
  return moved;
}

void GroupLinks::encode(uint32_t size) {
  message_.resize(kHeaderBytes);
  rest_ = {};
  put(message_.data(), step_);
  put(message_.data() + 8, exchange_);
  put(message_.data() + 12, size);
}

bool GroupLinks::is_done() const {
  return std::ranges::all_of(peers_, [](const Peer& peer) { return peer.to_write == 0 && !peer.waiting; });
}

Status GroupLinks::move_all() {
  auto last_move = SteadyClock::now();
  net::RunningTime time(last_move.time_since_epoch());
  const auto begin = time.look(last_move.time_since_epoch());
  while (!is_done()) {
    bool moved = false;
    for (Peer& peer : peers_) {
      if (peer.to_write > 0) {
        EXO_TRY(const bool wrote, write(peer));
        moved = moved || wrote;
      }
      if (peer.waiting) {
        EXO_TRY(const bool has_read, read(peer));
        moved = moved || has_read;
      }
    }
    EXO_CHECK_OK(check_interrupted());
    const auto now = SteadyClock::now();
    if (time.look(now.time_since_epoch()) - begin > options_.exchange_deadline) {
      return fail(ErrorCode::kUnavailable, "a member of the group did not answer in time");
    }
    if (moved) {
      last_move = now;
    } else if (now - last_move > options_.spin) {
      sleep();
    }
  }
  return {};
}

void GroupLinks::sleep() {
  std::vector<pollfd> waits = {{.fd = wake_, .events = POLLIN, .revents = 0}};
  for (const Peer& peer : peers_) {
    if (!peer.waiting && peer.to_write == 0) continue;
    const short events = static_cast<short>((peer.waiting ? POLLIN : 0) | (peer.to_write > 0 ? POLLOUT : 0));
    waits.push_back({.fd = peer.stream->descriptor(), .events = events, .revents = 0});
  }
  ::poll(waits.data(), waits.size(), kPollMs);
}

Result<bool> GroupLinks::write(Peer& peer) {
  if (!peer.stream) return fail(ErrorCode::kUnavailable, "no stream to member {}", peer.node.short_hex());
  const size_t before = peer.to_write;
  for (size_t taken = 1; taken > 0 && peer.to_write > 0; peer.to_write -= taken) {
    const bool in_rest = peer.to_write <= rest_.size();
    const auto written = peer.stream->write(in_rest ? rest_.last(peer.to_write)
                                                    : std::span(message_).last(peer.to_write - rest_.size()));
    if (!written) {
      drop(peer);
      return std::unexpected(written.error());
    }
    taken = *written;
  }
  return peer.to_write < before;
}

Result<bool> GroupLinks::read(Peer& peer) {
  if (!peer.stream) return fail(ErrorCode::kUnavailable, "no stream to member {}", peer.node.short_hex());
  const bool had_header = peer.incoming.n_header_bytes == kHeaderBytes;
  auto moved = had_header ? Result<bool>(true) : read_header(peer);
  if (moved && peer.incoming.n_header_bytes == kHeaderBytes) {
    const bool skips = peer.incoming.step < step_;
    if (!skips) EXO_CHECK_OK(check_message(peer));
    const auto body = read_body(peer, skips);
    moved = body ? Result<bool>(*body || !had_header) : body;
  }
  if (!moved) drop(peer);
  return moved;
}

Result<bool> GroupLinks::read_header(Peer& peer) {
  Incoming& in = peer.incoming;
  EXO_TRY(const size_t n, peer.stream->read(std::span(in.header_bytes).subspan(in.n_header_bytes)));
  in.n_header_bytes += n;
  if (in.n_header_bytes < kHeaderBytes) return n > 0;
  in.step = get<uint64_t>(in.header_bytes.data());
  in.exchange = get<uint32_t>(in.header_bytes.data() + 8);
  in.size = get<uint32_t>(in.header_bytes.data() + 12);
  in.n_body_bytes = 0;
  return true;
}

// Of a message that is not of an older step. Where it tells of a failure it stays: what is read of this step or a
// later one decides about the next call too.
Status GroupLinks::check_message(const Peer& peer) const {
  const Incoming& in = peer.incoming;
  if (in.step == step_ && in.exchange == exchange_ && in.size == peer.part.size()) return {};
  const std::string name = peer.node.short_hex();
  if (in.step > step_) return fail(ErrorCode::kUnavailable, "member {} has gone on to step {}", name, in.step);
  if (in.size == kAbandoned) return fail(ErrorCode::kUnavailable, "member {} could not compute the step", name);
  return fail(ErrorCode::kInternal, "member {} computes another step than this one", name);
}

Result<bool> GroupLinks::read_body(Peer& peer, bool skips) {
  Incoming& in = peer.incoming;
  const uint64_t size = in.size == kAbandoned ? 0 : in.size;
  const auto left = size - in.n_body_bytes;
  std::span<std::byte> to = peer.part.subspan(skips ? 0 : in.n_body_bytes);
  if (skips) {
    skipped_.resize(kSkipBytes);
    to = std::span(skipped_).first(std::min<uint64_t>(left, kSkipBytes));
  }
  size_t n = 0;
  if (!to.empty()) {
    EXO_TRY(n, peer.stream->read(to));
  }
  in.n_body_bytes += n;
  if (in.n_body_bytes == size) {
    in.n_header_bytes = 0;
    if (!skips) peer.waiting = false;
    return true;
  }
  return n > 0;
}

// After an error. A message that has been sent or taken in halfway cannot be taken back.
void GroupLinks::drop_unfinished() {
  for (Peer& peer : peers_) {
    const bool half_sent = peer.to_write > 0 && peer.to_write < message_.size() + rest_.size();
    const bool half_read = peer.waiting && peer.incoming.n_header_bytes == kHeaderBytes &&
                           peer.incoming.step == step_ && peer.incoming.n_body_bytes > 0;
    if (half_sent || half_read) drop(peer);
    peer.to_write = 0;
    peer.waiting = false;
  }
}

}  // namespace exo::ring
