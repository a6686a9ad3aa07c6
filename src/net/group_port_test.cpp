#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

#include "net/group_stream.h"
#include "net/test_node.h"

namespace exo::net {
namespace {

using namespace std::chrono_literals;

Status write_all(GroupStream& stream, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    EXO_TRY(const size_t n, stream.write(bytes));
    bytes = bytes.subspan(n);
    if (n == 0) std::this_thread::yield();
  }
  return {};
}

Result<std::vector<std::byte>> read_all(GroupStream& stream, size_t size) {
  std::vector<std::byte> bytes(size);
  for (size_t done = 0; done < size;) {
    EXO_TRY(const size_t n, stream.read(std::span(bytes).subspan(done)));
    done += n;
    if (n > 0) continue;
    pollfd wait{.fd = stream.descriptor(), .events = POLLIN, .revents = 0};
    ::poll(&wait, 1, 100);
  }
  return bytes;
}

class Groups : public testing::Test {
 protected:
  Groups()
      : a("a", [](NetworkOptions& o) { o.secret = "s"; }),
        b("b", [&](NetworkOptions& o) { o.secret = "s", o.seeds = {a.address()}; }) {
    EXPECT_TRUE(b.wait_for_links(1));
  }
  std::unique_ptr<GroupPort> open(TestNode& node, TestNode& other) {
    return node.network.open_group("f.1-0", {node.id(), other.id()}).value();
  }

  TestNode a, b;
};

TEST_F(Groups, BytesGoBothWays) {
  const auto port_a = open(a, b);
  std::unique_ptr<GroupPort> port_b;
  Result<std::unique_ptr<GroupStream>> accepted, connected;
  std::thread late([&] {
    std::this_thread::sleep_for(50ms);  // the dialer finds no port at first
    port_b = open(b, a);
    accepted = port_b->accept(a.id(), 5s);
  });
  connected = port_a->connect(b.id(), 5s);
  late.join();
  ASSERT_TRUE(connected.has_value()) << connected.error().message;
  ASSERT_TRUE(accepted.has_value()) << accepted.error().message;
  std::vector<std::byte> much(3 << 20);
  for (size_t i = 0; i < much.size(); ++i) much[i] = static_cast<std::byte>(i * 31 + i / 255);
  for (const bool dialer_writes : {true, false}) {
    GroupStream& from = dialer_writes ? **connected : **accepted;
    GroupStream& to = dialer_writes ? **accepted : **connected;
    Status written;
    std::thread writer([&] { written = write_all(from, much); });
    const auto got = read_all(to, much.size());
    writer.join();
    ASSERT_TRUE(written.has_value() && got.has_value());
    EXPECT_EQ(*got, much);
  }
  connected->reset();
  EXPECT_FALSE(read_all(**accepted, 1).has_value()) << "the other end has gone";
}

TEST_F(Groups, OnlyMembersOfTheSameGroupComeIn) {
  EXPECT_EQ(a.network.open_group("../x", {}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(a.network.open_group("", {}).error().code, ErrorCode::kInvalidArgument);
  const auto port_a = open(a, b);
  EXPECT_EQ(port_a->connect(b.id(), 60ms).error().code, ErrorCode::kDeadlineExceeded) << "b has no port";
  const auto without_a = b.network.open_group("f.1-0", {b.id()}).value();
  EXPECT_EQ(port_a->connect(b.id(), 60ms).error().code, ErrorCode::kDeadlineExceeded) << "a is no member for b";
  EXPECT_FALSE(without_a->has_arrived(a.id()));
  EXPECT_EQ(port_a->connect(NodeId{}, 10ms).error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(port_a->accept(b.id(), 10ms).error().code, ErrorCode::kDeadlineExceeded);
}

TEST_F(Groups, CancelEndsWaits) {
  const auto port = open(a, b);
  std::thread canceller([&] {
    std::this_thread::sleep_for(30ms);
    port->cancel();
  });
  EXPECT_EQ(port->accept(b.id(), 30s).error().code, ErrorCode::kCancelled);
  EXPECT_EQ(port->connect(b.id(), 30s).error().code, ErrorCode::kCancelled);
  canceller.join();
}

}  // namespace
}  // namespace exo::net
