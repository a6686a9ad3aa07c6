// The parts of net/ without sockets: identity, beacons, handshake frames and judgement, file layouts, refusals.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "net/beacon.h"
#include "net/byte_fields.h"
#include "net/crypto.h"
#include "net/dialer.h"
#include "net/file_transfer.h"
#include "net/hello.h"
#include "net/identity.h"
#include "net/interfaces.h"
#include "net/peer_acceptor.h"
#include "net/refusal_log.h"

namespace exo::net {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;
using testing::HasSubstr;

class TempDir {
 public:
  TempDir() {
    std::array<uint8_t, 8> random;
    random_bytes(random);
    path_ = fs::temp_directory_path() / ("exo-net-test-" + to_hex(random));
  }
  ~TempDir() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

TEST(Crypto, KnownAnswers) {
  const std::string_view text = "abc";
  EXPECT_EQ(to_hex(sha256(std::as_bytes(std::span(text)))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const std::array<uint8_t, 4> key = {'J', 'e', 'f', 'e'};  // RFC 4231, test case 2
  EXPECT_EQ(to_hex(hmac_sha256(key, "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

// ---- identity

TEST(Identity, IsMadeOnceAndKept) {
  TempDir dir;
  const auto first = Identity::load_or_create(dir.path());
  ASSERT_TRUE(first.has_value()) << first.error().message;
  struct stat info {};
  ASSERT_EQ(::stat((dir.path() / "identity.pem").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(Identity::load_or_create(dir.path())->id(), first->id());
  EXPECT_NE(Identity::generate()->id(), first->id());
  EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), {}), 1) << "no temporary file stays";
}

TEST(Identity, NodesStartedAtOnceOnOneFolderAgree) {
  TempDir dir;
  std::vector<NodeId> ids(8);
  std::vector<std::thread> threads;
  for (NodeId& id : ids) threads.emplace_back([&] { id = Identity::load_or_create(dir.path())->id(); });
  for (std::thread& thread : threads) thread.join();
  for (const NodeId& id : ids) EXPECT_EQ(id, ids[0]);
}

TEST(Identity, ADamagedFileIsAnErrorAndIsNotReplaced) {
  TempDir dir;
  fs::create_directories(dir.path());
  const fs::path file = dir.path() / "identity.pem";
  std::ofstream(file) << "-----BEGIN PRIVATE KEY-----\nnonsense\n";
  const auto identity = Identity::load_or_create(dir.path());
  ASSERT_FALSE(identity.has_value());
  EXPECT_EQ(identity.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(identity.error().message, HasSubstr("identity.pem"));
  EXPECT_GT(fs::file_size(file), 0u);
}

TEST(Identity, ModeOfAReadableFileIsRepaired) {
  TempDir dir;
  const auto first = Identity::load_or_create(dir.path());
  fs::permissions(dir.path() / "identity.pem", fs::perms(0644));
  EXPECT_EQ(Identity::load_or_create(dir.path())->id(), first->id());
  EXPECT_EQ(fs::status(dir.path() / "identity.pem").permissions(), fs::perms(0600));
}

// ---- beacons

Beacon sample_beacon() {
  Beacon beacon;
  for (size_t i = 0; i < 32; ++i) beacon.id.bytes[i] = static_cast<uint8_t>(i);
  beacon.incarnation = 0x1122334455667788;
  beacon.protocol_version = 1;
  beacon.peer_port = 52416;
  beacon.wants_answer = true;
  beacon.has_secret = true;
  beacon.tag = {1, 2, 3, 4, 5, 6, 7, 8};
  beacon.medium = InterfaceKind::kWifi;
  beacon.name = "Grüße";
  beacon.software_version = "0.1.0";
  return beacon;
}

TEST(Beacon, RoundTripAndSize) {
  const auto bytes = encode_beacon(sample_beacon());
  EXPECT_EQ(bytes.size(), 4u + 1 + 1 + 2 + 4 + 8 + 32 + 8 + 1 + 1 + 7 + 1 + 5);
  EXPECT_EQ(decode_beacon(bytes).value(), sample_beacon());
}

TEST(Beacon, EveryCutAndEveryFlippedBitIsAValueOrAnError) {
  const auto bytes = encode_beacon(sample_beacon());
  for (size_t n = 0; n < bytes.size(); ++n) EXPECT_FALSE(decode_beacon(std::span(bytes).first(n))) << n;
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    auto bad = bytes;
    bad[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
    const auto decoded = decode_beacon(bad);
    if (bit < 40) {
      EXPECT_FALSE(decoded.has_value()) << "magic and layout";
    }
  }
  std::srand(1);
  for (int i = 0; i < 2000; ++i) {
    std::vector<std::byte> noise(static_cast<size_t>(std::rand()) % 200);
    for (auto& b : noise) b = static_cast<std::byte>(std::rand());
    EXPECT_FALSE(decode_beacon(noise).has_value());
  }
}

TEST(Beacon, LaterLayoutsLongerTailsAndLargeOnes) {
  auto bytes = encode_beacon(sample_beacon());
  bytes.push_back(std::byte{1});
  EXPECT_TRUE(decode_beacon(bytes).has_value()) << "fields may be added at the end";
  bytes[4] = std::byte{2};
  EXPECT_EQ(decode_beacon(bytes).error().code, ErrorCode::kUnsupported);
  bytes[4] = std::byte{1};
  bytes.resize(kMaxBeaconBytes + 1);
  EXPECT_FALSE(decode_beacon(bytes).has_value());
}

// ---- handshake

struct Pair {
  Introduction dialer, acceptor;
  ClusterKey dialer_key, acceptor_key;
  Digest channel{};
};

// Each secret is derived once: that is slow on purpose.
const ClusterKey& key_of(const std::string& secret) {
  static std::map<std::string, ClusterKey> keys;
  const auto [entry, is_new] = keys.try_emplace(secret);
  if (is_new) entry->second = ClusterKey::from_secret(secret);
  return entry->second;
}

Pair make_pair(const std::string& dialer_secret, const std::string& acceptor_secret) {
  Pair pair;
  pair.dialer.id.bytes[0] = 1;
  pair.acceptor.id.bytes[0] = 2;
  pair.dialer_key = key_of(dialer_secret);
  pair.acceptor_key = key_of(acceptor_secret);
  for (auto* side : {&pair.dialer, &pair.acceptor}) {
    side->peer_port = 1;
    side->software_version = "0.1.0";
  }
  pair.dialer.has_secret = pair.dialer_key.has_secret();
  pair.acceptor.has_secret = pair.acceptor_key.has_secret();
  pair.channel.fill(7);
  const NodeId &d = pair.dialer.id, &a = pair.acceptor.id;
  pair.dialer.proof = pair.dialer_key.proof(ProofRole::kLinkDialer, pair.channel, d, a);
  pair.acceptor.proof = pair.acceptor_key.proof(ProofRole::kLinkAcceptor, pair.channel, d, a);
  return pair;
}

Verdict judge(const Pair& p) { return judge(p.dialer, p.dialer.id, p.acceptor, p.acceptor_key, p.channel); }
Verdict judge_acceptor(const Pair& p) {
  return judge_acceptor(p.acceptor, p.acceptor.id, p.dialer, p.dialer_key, p.channel);
}

TEST(Hello, SecretsDecide) {
  EXPECT_EQ(judge(make_pair("", "")), Verdict::kAdmitted);
  const Pair same = make_pair("x", "x");
  EXPECT_EQ(judge(same), Verdict::kAdmitted);
  EXPECT_EQ(judge_acceptor(same), Verdict::kAdmitted);
  EXPECT_EQ(judge(make_pair("x", "y")), Verdict::kSecretDiffers);
  EXPECT_EQ(judge_acceptor(make_pair("x", "y")), Verdict::kSecretDiffers);
  EXPECT_EQ(judge(make_pair("", "y")), Verdict::kSecretMissing);
  EXPECT_EQ(judge(make_pair("x", "")), Verdict::kSecretUnexpected);
  EXPECT_EQ(ClusterKey::from_secret("x").tag(), same.dialer_key.tag());
  EXPECT_NE(key_of("y").tag(), same.dialer_key.tag());
}

TEST(Hello, ProofsAreBoundToChannelRoleAndIds) {
  Pair other_channel = make_pair("x", "x");
  other_channel.channel.fill(8);  // a proof recorded on, or relayed from, another channel
  EXPECT_EQ(judge(other_channel), Verdict::kSecretDiffers);
  EXPECT_EQ(judge_acceptor(other_channel), Verdict::kSecretDiffers);
  Pair echoed = make_pair("x", "x");
  echoed.acceptor.proof = echoed.dialer.proof;  // the acceptor plays the dialer's own proof back
  EXPECT_EQ(judge_acceptor(echoed), Verdict::kSecretDiffers);
  Pair borrowed = make_pair("x", "x");
  borrowed.dialer.id.bytes[1] = 9;
  EXPECT_EQ(judge(borrowed), Verdict::kSecretDiffers);
  const Pair p = make_pair("x", "x");
  EXPECT_EQ(judge(p.dialer, p.acceptor.id, p.acceptor, p.acceptor_key, p.channel), Verdict::kMalformed)
      << "an id that TLS did not prove";
}

TEST(Hello, VersionsDecideBeforeSecrets) {
  Pair pair = make_pair("x", "y");
  pair.dialer.software_version = "0.2.0";
  EXPECT_EQ(judge(pair), Verdict::kVersionDiffers);
  EXPECT_EQ(refusal_text(Verdict::kVersionDiffers, pair.acceptor, pair.dialer, false),
            "it runs version 0.2.0, we run 0.1.0");
  pair = make_pair("", "");
  pair.dialer.protocol_version = 9;
  EXPECT_EQ(judge(pair), Verdict::kVersionDiffers);
  EXPECT_EQ(refusal_text(Verdict::kVersionDiffers, pair.acceptor, pair.dialer, false),
            fmt::format("it speaks protocol 9, we speak {}", wire::kProtocolVersion));
}

TEST(Hello, FramesRoundTripAndSurviveDamage) {
  Introduction self = make_pair("x", "x").dialer;
  self.name = "kitchen";
  self.incarnation = 42;
  const auto hello = encode_hello(self);
  EXPECT_EQ(decode_hello(hello).value(), self);
  const auto reply = encode_reply({Verdict::kSecretDiffers, self});
  EXPECT_EQ(decode_reply(reply)->verdict, Verdict::kSecretDiffers);
  EXPECT_EQ(decode_reply(reply)->self, self);
  for (size_t n = 0; n < hello.size(); ++n) EXPECT_FALSE(decode_hello(std::span(hello).first(n)));
  for (size_t n = 0; n < reply.size(); ++n) EXPECT_FALSE(decode_reply(std::span(reply).first(n)));
  EXPECT_FALSE(decode_hello(reply));
  EXPECT_FALSE(decode_hello(std::vector<std::byte>(kMaxHelloBytes + 1)));
}

// ---- small things

TEST(FileLayout, TextRoundTripAndHostileTexts) {
  FileLayout layout{{{1000, 100}, {500, 500}}, {}};
  EXPECT_EQ(parse_layout(format_layout(layout)).value(), layout);
  layout.sample = std::string(64, 'a');
  EXPECT_EQ(parse_layout(format_layout(layout)).value(), layout);
  EXPECT_EQ(layout.part_begin(1), 1000u);
  EXPECT_EQ(layout.total_bytes(), 1500u);
  for (const char* bad :
       {"", "\n", "1", "1 ", "1 1", "1 2\n", "1 0\n", "-1 1\n", "x 1\n", "1 1\n1", "99999999999999999999 1\n",
        "4611686018427387904 1\n1 1\n", "1  1\n", "sample \n", "1 1\nsample 12\n", "1 1\nsample "}) {
    EXPECT_FALSE(parse_layout(bad).has_value()) << bad;
  }
  std::string many;
  for (size_t i = 0; i <= kMaxFileParts; ++i) many += "1 1\n";
  EXPECT_FALSE(parse_layout(many).has_value());
}

TEST(Seeds, AreSplit) {
  const auto split = [](const char* seed) { return split_seed(seed).value(); };
  using HostPort = std::pair<std::string, std::string>;
  EXPECT_EQ(split("pc:1"), HostPort("pc", "1"));
  EXPECT_EQ(split("pc"), HostPort("pc", "52416"));
  EXPECT_EQ(split("[fe80::1%eth0]:9"), HostPort("fe80::1%eth0", "9"));
  EXPECT_EQ(split("[::1]"), HostPort("::1", "52416"));
  EXPECT_EQ(split("::1"), HostPort("::1", "52416"));
  for (const char* bad : {"", ":1", "pc:", "pc:0", "pc:65536", "pc:x", "[::1", "[::1]1"}) {
    EXPECT_FALSE(split_seed(bad).has_value()) << bad;
  }
}

TEST(Refusals, RepetitionsAreNoNewsAndAdmissionSettlesThem) {
  RefusalLog log;
  TimePoint now{};
  NodeId peer;
  peer.bytes[0] = 1;
  EXPECT_TRUE(log.add({"10.0.0.1:5000", "b", "why"}, peer, now));
  EXPECT_FALSE(log.add({"10.0.0.1:5001", "b", "why"}, peer, now + seconds(1)));
  EXPECT_TRUE(log.add({"10.0.0.1:5001", "b", "another reason"}, peer, now + seconds(2)));
  ASSERT_EQ(log.recent(now + seconds(3)).size(), 2u);
  EXPECT_EQ(log.recent(now + seconds(3))[0].reason, "another reason");
  EXPECT_TRUE(log.recent(now + seconds(1000)).empty());
  log.admitted(peer);
  EXPECT_TRUE(log.recent(now + seconds(3)).empty());
  for (int i = 0; i < 1000; ++i) log.add({fmt::format("10.0.{}.{}:1", i / 250, i % 250), "", "why"}, {}, now);
  EXPECT_LE(log.recent(now).size(), 64u);
}

TEST(LogLimiter, LetsABurstThroughAndCountsTheRest) {
  LogLimiter limiter(2, seconds(1));
  TimePoint now = TimePoint{} + seconds(100);
  EXPECT_TRUE(limiter.allow(now));
  EXPECT_TRUE(limiter.allow(now));
  EXPECT_FALSE(limiter.allow(now));
  EXPECT_FALSE(limiter.allow(now));
  EXPECT_TRUE(limiter.allow(now + seconds(2)));
  EXPECT_EQ(limiter.held_back(), 2);
}

TEST(Interfaces, LoopbackOnlyWhenNamed) {
  const std::vector<std::string> lo = {"lo"}, none = {"no-such-interface"};
  for (const Interface& i : usable_interfaces({})) EXPECT_NE(i.kind, InterfaceKind::kLoopback) << i.name;
  EXPECT_TRUE(usable_interfaces(none).empty());
  const auto found = usable_interfaces(lo);
  if (found.empty()) GTEST_SKIP() << "no interface called lo";
  EXPECT_EQ(found[0].kind, InterfaceKind::kLoopback);
  const auto* mine = find_by_address(found, "127.0.0.1");
  ASSERT_NE(mine, nullptr);
  EXPECT_EQ(mine->addresses[0].broadcast, "127.255.255.255");
  EXPECT_EQ(dialable_addresses(found)[0], "127.0.0.1");
}

}  // namespace
}  // namespace exo::net
