#include "ring/group_links.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

namespace exo::ring {
namespace {

using namespace std::chrono_literals;
using Receivers = model::GroupExchange::Receivers;

class SocketStream final : public net::GroupStream {
 public:
  explicit SocketStream(int descriptor) : descriptor_(descriptor) { ::fcntl(descriptor, F_SETFL, O_NONBLOCK); }
  ~SocketStream() override { ::close(descriptor_); }
  Result<size_t> read(std::span<std::byte> to) override {
    return outcome(::recv(descriptor_, to.data(), std::min<size_t>(to.size(), 1000), 0));
  }
  Result<size_t> write(std::span<const std::byte> from) override {
    return outcome(::send(descriptor_, from.data(), from.size(), MSG_NOSIGNAL));
  }
  int descriptor() const override { return descriptor_; }

 private:
  static Result<size_t> outcome(ssize_t n) {
    if (n > 0) return static_cast<size_t>(n);
    if (n < 0 && errno == EAGAIN) return size_t{0};
    return fail(ErrorCode::kUnavailable, "the end of the stream");
  }
  const int descriptor_;
};

NodeId node(int i) {
  NodeId id{};
  id.bytes[0] = static_cast<uint8_t>(i + 1);
  return id;
}

// Pairs of sockets between the members of one test.
struct Switchboard {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::pair<NodeId, NodeId>, std::unique_ptr<net::GroupStream>> waiting;  // by (dialer, acceptor)
};

class SocketPort final : public net::GroupPort {
 public:
  SocketPort(Switchboard& board, NodeId self) : board_(board), self_(self) {}
  Result<std::unique_ptr<net::GroupStream>> connect(const NodeId& peer, net::Duration) override {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return fail(ErrorCode::kUnavailable, "no socket");
    const std::lock_guard lock(board_.mutex);
    board_.waiting[{self_, peer}] = std::make_unique<SocketStream>(ends[1]);
    board_.changed.notify_all();
    return std::make_unique<SocketStream>(ends[0]);
  }
  Result<std::unique_ptr<net::GroupStream>> accept(const NodeId& peer, net::Duration deadline) override {
    std::unique_lock lock(board_.mutex);
    if (!board_.changed.wait_for(lock, deadline, [&] { return board_.waiting.contains({peer, self_}); }))
      return fail(ErrorCode::kDeadlineExceeded, "nobody came");
    return std::move(board_.waiting.extract({peer, self_}).mapped());
  }
  bool has_arrived(const NodeId& peer) const override {
    const std::lock_guard lock(board_.mutex);
    return board_.waiting.contains({peer, self_});
  }
  void cancel() override {}

 private:
  Switchboard& board_;
  const NodeId self_;
};

class Group {
 public:
  explicit Group(int n) {
    std::vector<NodeId> nodes;
    for (int i = 0; i < n; ++i) nodes.push_back(node(i));
    const GroupLinksOptions options{.connect_deadline = 500ms, .exchange_deadline = 5s};
    for (int i = 0; i < n; ++i)
      members.push_back(
          std::make_unique<GroupLinks>(std::make_unique<SocketPort>(board, node(i)), nodes, i, options));
  }
  // Runs task(member, its links) on a thread for each.
  void run(const std::function<void(int, GroupLinks&)>& task) {
    std::vector<std::thread> threads;
    for (int i = 0; i < static_cast<int>(members.size()); ++i)
      threads.emplace_back([&, i] { task(i, *members[static_cast<size_t>(i)]); });
    for (auto& thread : threads) thread.join();
  }

  Switchboard board;
  std::vector<std::unique_ptr<GroupLinks>> members;
};

size_t size_of(int member, int exchange) { return static_cast<size_t>(member * 70'001 + exchange * 13 + 1); }
std::byte value_of(int member, int exchange, size_t i) {
  return static_cast<std::byte>(member * 91 + exchange * 7 + static_cast<int>(i % 251));
}

// One exchange of differently long parts, checked.
Status run_exchange(int own, GroupLinks& links, int n_members, int exchange, Receivers receivers) {
  std::vector<std::vector<std::byte>> buffers(static_cast<size_t>(n_members));
  std::vector<std::span<std::byte>> parts;
  const bool receives = receivers == Receivers::kAll || own == 0;
  std::vector<std::byte> mine(size_of(own, exchange));
  for (size_t i = 0; i < mine.size(); ++i) mine[i] = value_of(own, exchange, i);
  for (int m = 0; m < n_members; ++m) {
    auto& buffer = buffers[static_cast<size_t>(m)];
    buffer.resize(receives && m != own ? size_of(m, exchange) : 0);
    parts.emplace_back(buffer);
  }
  EXO_CHECK_OK(links.exchange(mine, parts, receivers));
  for (int m = 0; m < n_members; ++m) {
    const auto& buffer = buffers[static_cast<size_t>(m)];
    for (size_t i = 0; i < buffer.size(); ++i)
      if (buffer[i] != value_of(m, exchange, i)) return fail(ErrorCode::kCorrupt, "member {}, byte {}", m, i);
  }
  return {};
}

TEST(GroupLinks, EveryMemberGetsEveryPart) {
  for (const int n : {2, 3, 4}) {
    Group group(n);
    group.run([&](int own, GroupLinks& links) {
      for (uint64_t step = 1; step <= 3; ++step) {
        ASSERT_TRUE(links.begin_step(MicroBatchId(step)).has_value());
        for (int exchange = 0; exchange < 20; ++exchange) {
          const auto receivers = exchange % 5 == 4 ? Receivers::kLeader : Receivers::kAll;
          const auto done = run_exchange(own, links, n, exchange, receivers);
          ASSERT_TRUE(done.has_value()) << done.error().message;
        }
      }
    });
  }
}

TEST(GroupLinks, AStepThatOneMemberGivesUpFailsEverywhereAndTheNextOneWorks) {
  Group group(3);
  group.run([&](int own, GroupLinks& links) {
    for (uint64_t step = 1; step <= 6; ++step) {
      const bool fails_here = step % 2 == 0 && own == static_cast<int>(step / 2) - 1;
      const auto begun = links.begin_step(MicroBatchId(step));
      Status done = begun;
      for (int exchange = 0; done && exchange < 5; ++exchange) {
        if (fails_here && exchange == 3) break;
        done = run_exchange(own, links, 3, exchange, Receivers::kAll);
      }
      if (fails_here || !done) links.abandon_step();
      if (step % 2 == 0 && !fails_here) {
        EXPECT_FALSE(done.has_value());
      }
      if (step == 1) {
        EXPECT_TRUE(done.has_value()) << done.error().message;
      }
    }
    // Streams that a failed step broke are made anew; after a few steps all is well.
    Status done;
    for (uint64_t step = 7; step <= 12; ++step) {
      done = links.begin_step(MicroBatchId(step));
      if (done) done = run_exchange(own, links, 3, 1, Receivers::kAll);
      if (!done) links.abandon_step();
    }
    EXPECT_TRUE(done.has_value()) << done.error().message;
  });
}

TEST(GroupLinks, AMemberThatHasGoneOnIsNotWaitedFor) {
  Group group(2);
  group.run([&](int own, GroupLinks& links) {
    ASSERT_TRUE(links.begin_step(MicroBatchId(1)).has_value());
    ASSERT_TRUE(run_exchange(own, links, 2, 0, Receivers::kAll).has_value());
    if (own == 0) {  // the other never hears of step 2
      ASSERT_TRUE(links.begin_step(MicroBatchId(2)).has_value());
      const auto lost = run_exchange(own, links, 2, 0, Receivers::kAll);
      ASSERT_FALSE(lost.has_value());
      EXPECT_EQ(lost.error().code, ErrorCode::kUnavailable);
      links.abandon_step();
    }
    ASSERT_TRUE(links.begin_step(MicroBatchId(3)).has_value());
    const auto next = run_exchange(own, links, 2, 0, Receivers::kAll);
    EXPECT_TRUE(next.has_value()) << next.error().message;
  });
}

TEST(GroupLinks, InterruptAndCancelEndWaits) {
  Group group(2);
  Status first, second, third;
  std::thread waiting([&] {
    auto& links = *group.members[0];
    ASSERT_TRUE(links.begin_step(MicroBatchId(1)).has_value());
    first = run_exchange(0, links, 2, 0, Receivers::kAll);
    second = links.begin_step(MicroBatchId(2));
    ASSERT_TRUE(links.begin_step(MicroBatchId(3)).has_value());
    third = run_exchange(0, links, 2, 0, Receivers::kAll);
  });
  std::this_thread::sleep_for(50ms);
  group.members[0]->interrupt(MicroBatchId(2));
  std::this_thread::sleep_for(50ms);
  group.members[0]->cancel();
  waiting.join();
  EXPECT_FALSE(first.has_value());
  EXPECT_FALSE(second.has_value()) << "a queued step may be lost as well";
  EXPECT_FALSE(third.has_value());
  EXPECT_FALSE(group.members[0]->begin_step(MicroBatchId(4)).has_value());
}

TEST(GroupLinks, AMemberThatDiesEndsTheStep) {
  Group group(2);
  group.run([&](int own, GroupLinks& links) {
    ASSERT_TRUE(links.begin_step(MicroBatchId(1)).has_value());
    ASSERT_TRUE(run_exchange(own, links, 2, 0, Receivers::kAll).has_value());
    if (own == 1) return group.members[1].reset();
    EXPECT_FALSE(run_exchange(own, links, 2, 1, Receivers::kAll).has_value());
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_FALSE(run_exchange(own, links, 2, 2, Receivers::kAll).has_value());
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s);
  });
}

}  // namespace
}  // namespace exo::ring
