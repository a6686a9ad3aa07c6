#include "wire/codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <random>

#include "wire/limits.h"

namespace exo::wire {
namespace {

NodeId node(uint8_t seed) {
  NodeId id;
  for (size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<uint8_t>(seed * 7 + i);
  return id;
}

LayerRange layers(int32_t begin, int32_t end) { return {LayerIndex(begin), LayerIndex(end)}; }

// Every field differs from its default, so that one that the codec forgets is noticed.
SamplerSettings full_sampler() {
  return {.temperature = 0.25f,
          .top_k = 7,
          .top_p = 0.5f,
          .min_p = 0.125f,
          .repetition_penalty = 1.5f,
          .presence_penalty = -0.5f,
          .frequency_penalty = 0.75f,
          .penalty_window = 11,
          .logit_bias = {{TokenId(3), -100.f}, {TokenId(9), 5.f}},
          .seed = 0xFFFFFFFFFFFFFFFEull,
          .top_log_probabilities = 4};
}

NodeFacts full_node(uint8_t seed) {
  NodeFacts facts;
  facts.id = node(seed);
  facts.incarnation = 0x123456789ABCDEFull;
  facts.sequence = 42;
  facts.name = "kitchen mac";
  facts.software_version = "0.1.0";
  facts.peer_port = 52416;
  facts.api_port = 52415;
  facts.addresses = {"192.168.1.7", "", "fe80::1%eth0"};
  facts.device = {"Linux",    "x86_64",   "AMD EPYC", 8,
                  1ull << 40, 1ull << 39, 5.5e10,     1e12,
                  3e11,       2e9,        1e-4,       {{"Q4_K", 4e10, 9e11, 3e11}, {"F16", 5e10, 2e11, 1e11}},
                  1.25,       0.75};
  ModelFacts model{"exo-demo",
                   std::string(64, 'a'),
                   "llama",
                   "Q8_0",
                   3,
                   64,
                   512,
                   256,
                   1000,
                   {1, 2, 1ull << 40},
                   7,
                   8,
                   {4, 5, 6},
                   {0, 1ull << 33, 9},
                   {1, 1, 9},
                   8,
                   2,
                   128,
                   4,
                   true,
                   {{"Q8_0", 5, 4, 0}, {"F32", 1, 2, 1ull << 40}},
                   200,
                   true};
  facts.models = {{model, false, std::string(64, 'd')}};
  facts.stages = {{std::string(64, 'a'), {9, node(2)}, layers(1, 3), StageState::kFailed, 5, 6, "disk is full"}};
  facts.links = {{node(3), "eth0", 350, 1.1e8}};
  facts.tokens_per_s = 12.5;
  facts.leaving = true;
  facts.stage_times = {{std::string(64, 'a'), layers(1, 3), 3.5, 0.25}};
  facts.withdrawal = "battery at 8 %";
  return facts;
}

InstanceRecord full_instance() {
  return {
      std::string(64, 'b'),
      "exo-demo",
      {3, node(4)},
      "manual",
      {{node(1), layers(0, 2), 71, {}}, {node(2), layers(2, 3), 72, {{node(2), 72, 40000}, {node(3), 73, 25536}}}},
      4096,
      8,
      "too big",
      true,
      "throughput",
      PlannedRing{{2, node(5)}, {{node(3), layers(0, 3), 73, {}}}, 2048, 4},
      {node(6), std::string(64, 'e')}};
}

std::vector<SampledToken> full_tokens() {
  return {{TokenId(5), -0.5f, {{TokenId(5), -0.5f}, {TokenId(6), -INFINITY}}}, {TokenId(8), -2.f, {}}};
}

std::vector<Message> samples() {
  const RequestId request{0x1111, 0x2222};
  const Epoch epoch{77, node(9)};
  const std::string model(64, 'c');
  StepSequence opened{SlotId(2),
                      Position(17),
                      3,
                      true,
                      1,
                      {BlockId(4), BlockId(0xFFFFFFFF)},
                      SlotOpening{full_sampler(), {TokenId(1), TokenId(2)}, 2},
                      {},
                      {0x3333, 0x4444}};
  StepSequence plain{SlotId(5), Position(1), 1, false, 0, {}, std::nullopt, {}, {}};
  StepSequence guessed{SlotId(5), Position(1), 3, true, 0, {}, std::nullopt, {TokenId(7), TokenId(0)}, {}};
  return {
      Ping{1ull << 63, 5000},
      Pong{77},
      Gossip{{full_node(1), NodeFacts{}}, {full_instance(), InstanceRecord{}}},
      Gossip{},
      Goodbye{"shutting down"},
      LeaveRequest{"asked for by kitchen mac"},
      SubmitRequest{request, model, epoch, {TokenId(1), TokenId(-1)}, 2, 100, {TokenId(2)}, full_sampler()},
      CancelRequest{request},
      RequestUpdate{request, epoch, 12, full_tokens(), FinishReason::kError, 3, 4, 5, ErrorCode::kUnavailable,
                    "gone"},
      Step{model,
           epoch,
           MicroBatchId(6),
           {opened, plain},
           {SlotId(1), SlotId(9)},
           {TokenId(3), TokenId(4)},
           {},
           {7, 8}},
      Step{model, epoch, MicroBatchId(6), {plain, guessed}, {}, {}, {1.5f, -0.f, 3e38f}, {}},
      StepResult{model, epoch, MicroBatchId(1ull << 40), full_tokens(), {1, 1}, {5, UINT32_MAX}},
      StepFailed{model, epoch, MicroBatchId(2), ErrorCode::kResourceExhausted, "no block left"},
      GossipDigest{{{node(1), 2, 3}}, {{model, epoch}}},
      TraceQuery{11, request, true},
      TraceReply{12,
                 -5,
                 {{TraceEventKind::kFinished, 1ll << 60, -7, epoch, node(3)}},
                 {{epoch, MicroBatchId(8), -1, 9, 10, 11, 12, 13, 14, 15, true}},
                 {{request, model, RequestPhase::kResuming, 1, 2, 3, 4, 5, 6.5, 7.5}}},
      CacheQuery{model, epoch, 5, 64, 32},
      CacheOffer{model,
                 epoch,
                 5,
                 {BlockId(7), BlockId(2)},
                 {-1, 0},
                 {TokenId(1), TokenId(2), TokenId(3), TokenId(4)},
                 true},
      CacheRelease{model, epoch, 5, 16, true},
      CacheReleased{model, epoch, 5, 16, true},
      CacheFill{model, epoch, 1ull << 33, MicroBatchId(17), {BlockId(7), BlockId(2)}, {BlockId(0), BlockId(1)}},
      CacheFilled{model, epoch, 1ull << 33, 1ull << 40, "the layers are not here"},
      CacheRead{model, epoch, 9, layers(1, 3), {BlockId(7), BlockId(2)}, "F16", 32},
      CachePiece{model, epoch, 9, {std::byte{1}, std::byte{0xFF}, std::byte{3}}, {}},
      CachePiece{model, epoch, 9, {}, "block 7 was never computed here"},
  };
}

std::vector<std::byte> frame_of(const Message& message) {
  auto frame = encode(message);
  EXPECT_TRUE(frame) << frame.error().message;
  return frame ? *frame : std::vector<std::byte>{};
}

TEST(Codec, EveryMessageComesBackAsItWas) {
  std::vector<bool> seen(std::variant_size_v<Message>);
  for (const Message& message : samples()) {
    seen[message.index()] = true;
    const auto back = decode(frame_of(message));
    ASSERT_TRUE(back) << "message " << message.index() << ": " << back.error().message;
    EXPECT_TRUE(*back == message) << "message " << message.index();
  }
  for (size_t i = 0; i < seen.size(); ++i) EXPECT_TRUE(seen[i]) << "no sample of message " << i;
}

TEST(ComputeTime, AddsUpWithoutOverflow) {
  ComputeTime time;
  time.add(std::chrono::milliseconds(3));
  time.add(std::chrono::milliseconds(2));
  time.add(std::chrono::nanoseconds(1));
  EXPECT_EQ(time, (ComputeTime{3000, 5001}));
  time.add(std::chrono::hours(1));
  time.add(std::chrono::hours(1));
  EXPECT_EQ(time, (ComputeTime{3'600'000'000u, UINT32_MAX}));
}

TEST(Codec, ActivationsAreTheLastBytesOfTheFrame) {
  Step step;
  step.activations = {1.f, 2.f};
  const auto frame = frame_of(step);
  float last = 0;
  std::memcpy(&last, frame.data() + frame.size() - sizeof last, sizeof last);
  EXPECT_EQ(last, 2.f);
  uint32_t envelope = 0;
  std::memcpy(&envelope, frame.data(), sizeof envelope);
  EXPECT_EQ(frame.size(), 4 + envelope + 8);
}

TEST(Codec, AnUnalignedFrameIsRead) {
  for (const Message& message : samples()) {
    const auto frame = frame_of(message);
    std::vector<std::byte> shifted(frame.size() + 8);
    for (size_t shift = 1; shift < 8; ++shift) {
      std::memcpy(shifted.data() + shift, frame.data(), frame.size());
      const auto back = decode(std::span(shifted).subspan(shift, frame.size()));
      ASSERT_TRUE(back);
      EXPECT_TRUE(*back == message);
    }
  }
}

TEST(Codec, EveryTruncationIsCorrupt) {
  for (const Message& message : samples()) {
    const auto frame = frame_of(message);
    for (size_t size = 0; size < frame.size(); ++size) {
      // A copy of exactly that size, so that the sanitizers see a read beyond it.
      const std::vector<std::byte> cut(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(size));
      const auto back = decode(cut);
      ASSERT_FALSE(back) << "message " << message.index() << " cut to " << size;
      EXPECT_EQ(back.error().code, ErrorCode::kCorrupt);
    }
    auto longer = frame;
    longer.push_back(std::byte{0});
    EXPECT_FALSE(decode(longer)) << "message " << message.index() << " with a byte too many";
  }
}

TEST(Codec, MutatedFramesAreReadOrRefused) {
  std::mt19937_64 random(1);
  int read = 0, refused = 0;
  for (const Message& message : samples()) {
    const auto frame = frame_of(message);
    for (int round = 0; round < 2000; ++round) {
      auto mutated = frame;
      for (uint64_t n = 1 + random() % 4; n > 0; --n)
        mutated[random() % mutated.size()] = std::byte(random() & 0xFF);
      const auto back = decode(mutated);
      back ? ++read : ++refused;
      if (back) {
        EXPECT_TRUE(encode(*back)) << "what decode takes, encode sends";
      }
    }
  }
  EXPECT_GT(read, 0);
  EXPECT_GT(refused, 0);
}

TEST(Codec, RandomBytesAreCorrupt) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 5000; ++round) {
    std::vector<std::byte> bytes(random() % 200);
    for (auto& byte : bytes) byte = std::byte(random() & 0xFF);
    EXPECT_FALSE(decode(bytes));
  }
}

TEST(Codec, TheSenderRefusesWhatIsOverALimit) {
  const auto refused = [](const Message& message) {
    const auto frame = encode(message);
    return !frame && frame.error().code == ErrorCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused(Goodbye{std::string(kMaxTextBytes + 1, 'x')}));
  EXPECT_TRUE(encode(Goodbye{std::string(kMaxTextBytes, 'x')}));
  Step step;
  step.activations.resize(kMaxTensorBytes / 4 + 1);
  EXPECT_TRUE(refused(step));
  step.activations.clear();
  step.sequences.resize(kMaxSequences + 1);
  EXPECT_TRUE(refused(step));
  step.sequences.resize(1);
  step.sequences[0].n_tokens = -1;
  EXPECT_TRUE(refused(step));
  Gossip gossip;
  gossip.nodes.resize(1);
  gossip.nodes[0].device.memory_bandwidth_bytes_per_s = std::nan("");
  EXPECT_TRUE(refused(gossip));
  gossip.nodes[0] = full_node(1);
  gossip.nodes[0].stages[0].layers = layers(3, 1);
  EXPECT_TRUE(refused(gossip));
  SubmitRequest submit;
  submit.tokens.resize(kMaxRequestTokens + 1);
  EXPECT_TRUE(refused(submit));
  // Each list within its limit, all together not.
  gossip.nodes.assign(4000, full_node(1));
  for (auto& n : gossip.nodes) n.models[0].facts.layer_bytes.resize(kMaxLayers);
  EXPECT_TRUE(refused(gossip));
}

// A stage takes memory for what its record says: 2^31 slots would end the process.
TEST(Codec, AnInstanceCannotAskForMemoryWithoutBound) {
  const auto check = [](auto&& number, int32_t most) {
    InstanceRecord record = full_instance();
    number(record) = most;
    EXPECT_TRUE(encode(Gossip{{}, {record}}));
    number(record) = most + 1;
    EXPECT_FALSE(encode(Gossip{{}, {record}}));
    number(record) = 0x1ABC;  // nothing else in the frame looks like it
    auto frame = frame_of(Gossip{{}, {record}});
    constexpr std::array kWritten{std::byte{0xBC}, std::byte{0x1A}, std::byte{0}, std::byte{0}};
    const auto at = std::search(frame.begin(), frame.end(), kWritten.begin(), kWritten.end());
    ASSERT_NE(at, frame.end());
    EXPECT_TRUE(decode(frame));
    at[3] = std::byte{0x7F};
    EXPECT_FALSE(decode(frame));
  };
  check([](InstanceRecord& r) -> int32_t& { return r.context_tokens; }, kMaxContextTokens);
  check([](InstanceRecord& r) -> int32_t& { return r.max_sequences; }, kMaxInstanceSequences);
  check([](InstanceRecord& r) -> int32_t& { return r.previous->context_tokens; }, kMaxContextTokens);
  check([](InstanceRecord& r) -> int32_t& { return r.previous->max_sequences; }, kMaxInstanceSequences);
}

TEST(Codec, TheLargestTensorPasses) {
  Step step;
  step.activations.resize(kMaxTensorBytes / 4, 1.f);
  const auto frame = frame_of(step);
  EXPECT_LE(frame.size(), kMaxFrameBytes);
  EXPECT_TRUE(decode(frame));
}

TEST(Codec, PiecesOfCachesHaveALimit) {
  CachePiece piece;
  piece.bytes.resize(kMaxCachePieceBytes);
  EXPECT_TRUE(decode(frame_of(piece)));
  piece.bytes.push_back(std::byte{0});
  EXPECT_FALSE(encode(piece));
  // What another sender sends beyond it, and bytes after a message that has none.
  const auto longer = [](const Message& message, size_t tensor_bytes) {
    auto frame = frame_of(message);
    frame.resize(frame.size() - 3 + tensor_bytes);  // after three bytes that are there
    const std::array<std::byte, 8> was{std::byte{3}};
    const auto at = std::search(frame.begin() + 4, frame.end(), was.begin(), was.end());
    std::memcpy(&*at, &tensor_bytes, sizeof tensor_bytes);
    return frame;
  };
  const CachePiece small{"f", {}, 0x7777, {3, std::byte{9}}, {}};
  EXPECT_TRUE(decode(longer(small, kMaxCachePieceBytes)));
  EXPECT_FALSE(decode(longer(small, kMaxCachePieceBytes + 1)));
  CacheOffer offer;
  offer.blocks.resize(kMaxOfferPartBlocks + 1);
  EXPECT_FALSE(encode(offer));
  EXPECT_FALSE(encode(CacheQuery{"f", {}, 1, -1, 32}));
}

// A valid envelope whose references all point at one large object: small on the wire, huge once unfolded.
TEST(Codec, SharedObjectsCannotUnfoldWithoutBound) {
  Gossip gossip;
  for (int i = 0; i < 3000; ++i) {
    gossip.nodes.push_back(NodeFacts{});
    gossip.nodes.back().id = node(1);
  }
  gossip.nodes[0].models.resize(1);
  gossip.nodes[0].models[0].facts.layer_bytes.resize(kMaxLayers, 0x5A5A5A5A);
  auto frame = frame_of(gossip);
  // Find the vector of node references (3000 entries) and let each reference the first node.
  uint32_t at = 0;
  for (size_t i = 4; i + 4 + 3000 * 4 <= frame.size(); i += 4) {
    uint32_t n = 0;
    std::memcpy(&n, frame.data() + i, 4);
    if (n == 3000) at = static_cast<uint32_t>(i);
  }
  ASSERT_NE(at, 0u);
  uint32_t first = 0;
  std::memcpy(&first, frame.data() + at + 4, 4);
  const uint32_t target = at + 4 + first;
  for (uint32_t i = 0; i < 3000; ++i) {
    const uint32_t slot = at + 4 + 4 * i, offset = target - slot;
    std::memcpy(frame.data() + slot, &offset, 4);
  }
  const auto back = decode(frame);
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().code, ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace exo::wire
