#pragma once
// The rogue peer's own model: what it offers, places on the node that it talks to, and serves. It runs; damaged
// ones have something else in their headers, and a fingerprint that fits that.

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/check.h"
#include "formats/gguf.h"
#include "model/tiny_model.h"
#include "net/crypto.h"
#include "store/content_manifest.h"
#include "store/fingerprint.h"
#include "wire/messages.h"

namespace exo::rogue {

// Choices that follow from a seed.
class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}
  uint64_t below(uint64_t n) { return n == 0 ? 0 : random_() % n; }
  bool once_in(uint64_t n) { return below(n) == 0; }
  template <typename T>
  const T& pick(const std::vector<T>& list) {
    return list[below(list.size())];
  }
  std::vector<std::byte> noise(size_t size) {
    std::vector<std::byte> bytes(size);
    for (auto& byte : bytes) byte = static_cast<std::byte>(random_());
    return bytes;
  }
  std::string text(size_t most) {
    std::string out(below(most), ' ');
    for (char& c : out) c = static_cast<char>(random_());
    return out;
  }

 protected:
  std::mt19937_64 random_;
};

struct RogueModel {
  static constexpr int32_t kLayers = 4, kWidth = 32, kVocabulary = 20'000, kContext = 256;

  std::vector<std::byte> bytes;
  std::string fingerprint, layout, root;
  std::vector<net::Digest> hashes;  // of its pieces
  std::vector<std::byte> manifest;

  // n_flips: damaged places in the header.
  static RogueModel make(Dice& dice, int n_flips) {
    model::TinyModel tiny;
    tiny.tensor("token_embd.weight").shape = {kWidth, kVocabulary};  // so that it has several pieces
    tiny.tensor("output.weight").shape = {kWidth, kVocabulary};
    RogueModel made;
    made.bytes = tiny.bytes();
    const uint64_t header_bytes = formats::GgufFile::parse(made.bytes)->data_offset();
    constexpr size_t kMagic = 8;
    for (int i = 0; i < n_flips; ++i)
      made.bytes[kMagic + dice.below(header_bytes - kMagic)] = static_cast<std::byte>(dice.below(256));
    const auto source = store::memory_source(made.bytes, header_bytes);
    made.fingerprint = store::fingerprint_of(*source, source->layout()).value();
    made.layout = net::format_layout(source->layout());
    for (uint64_t piece = 0; piece < store::piece_count(made.bytes.size()); ++piece) {
      const auto range = store::piece_range(piece, made.bytes.size());
      made.hashes.push_back(net::sha256(std::span(made.bytes).subspan(range.begin, range.size())));
    }
    const store::ContentManifest list(made.bytes.size(), made.hashes);
    made.manifest = list.bytes();
    made.root = list.root();
    return made;
  }

  wire::ModelFacts facts() const {
    wire::ModelFacts facts;
    facts.name = "rogue";
    facts.fingerprint = fingerprint;
    facts.architecture = "llama";
    facts.n_layers = kLayers;
    facts.d_model = kWidth;
    facts.n_vocab = kVocabulary;
    facts.context_length = kContext;
    facts.file_bytes = bytes.size();
    facts.layer_bytes.assign(kLayers, 40'000);
    facts.kv_bytes_per_position.assign(kLayers, 64);
    facts.embedding_bytes = facts.head_bytes = uint64_t{kWidth} * kVocabulary * 4;
    facts.tensor_parallel_parts = 2;
    return facts;
  }
};

// How the model lies over the rogue peer and the node: stages in ring order, or members of one stage.
enum class Layout { kGroupLed, kGroupJoined, kRingFirst, kRingLast, kNodeAlone };
constexpr int kLayouts = 5;

// A record that places the model: believed, as members are, though some of its numbers are at the edges.
inline wire::InstanceRecord place(Dice& dice, const RogueModel& model, Layout layout, const NodeId& self,
                                  const NodeId& node, uint64_t counter, bool tame) {
  using wire::StageMember;
  constexpr uint32_t kHalf = StageMember::kWholeShare / 2;
  const auto layers = [](int32_t begin, int32_t end) { return LayerRange{LayerIndex(begin), LayerIndex(end)}; };
  wire::InstanceRecord record;
  record.fingerprint = model.fingerprint;
  record.model_name = "rogue";
  record.epoch = {counter, self};
  record.strategy = "manual";
  record.context_tokens = RogueModel::kContext;
  record.max_sequences = 4;
  record.content = {self, dice.once_in(2) ? model.root : ""};
  const auto group = [&](const NodeId& leader, const NodeId& member) {
    record.stages = {{leader, layers(0, 4), 0, {{leader, 0, kHalf}, {member, 0, kHalf}}}};
  };
  switch (layout) {
    case Layout::kGroupLed:
      group(self, node);
      break;
    case Layout::kGroupJoined:
      group(node, self);
      break;
    case Layout::kRingFirst:
      record.stages = {{self, layers(0, 2), 0, {}}, {node, layers(2, 4), 0, {}}};
      break;
    case Layout::kRingLast:
      record.stages = {{node, layers(0, 2), 0, {}}, {self, layers(2, 4), 0, {}}};
      break;
    case Layout::kNodeAlone:
      record.stages = {{node, layers(0, 4), 0, {}}};
  }
  if (tame) return record;
  auto& stage = record.stages[dice.below(record.stages.size())];
  switch (dice.below(8)) {
    case 0:
      record.context_tokens = static_cast<int32_t>(dice.once_in(2) ? dice.below(40) : 1 << 24);
      break;
    case 1:
      record.max_sequences = dice.once_in(2) ? 0 : 8192;
      break;
    case 2:
      stage.layers = layers(static_cast<int32_t>(dice.below(6)), static_cast<int32_t>(6 + dice.below(60)));
      break;
    case 3:
      stage.members.push_back({node, 0, static_cast<uint32_t>(dice.below(1 << 17))});
      break;
    case 4:
      stage.members = {{node, 0, kHalf}, {node, 0, kHalf}};
      break;
    case 5:
      record.previous = wire::PlannedRing{record.epoch, record.stages, 512, 2};
      break;
    case 6:
      record.content.root = dice.once_in(2) ? std::string(64, 'a') : dice.text(64);
      break;
    default:
      record.stages.assign(1 + dice.below(20), stage);
  }
  return record;
}

// Steps as the stage before the node's, or its group's leader, sends them.
class StepMaker {
 public:
  wire::Step next(Dice& dice, const wire::InstanceRecord& record, bool with_tokens) {
    wire::Step step{
        .fingerprint = record.fingerprint, .epoch = record.epoch, .micro_batch = MicroBatchId(++number_)};
    wire::StepSequence sequence{.slot = SlotId(static_cast<int32_t>(dice.below(2))), .first = Position(0)};
    sequence.n_tokens = static_cast<int32_t>(1 + dice.below(6));
    sequence.wants_logits = true;
    sequence.blocks = {BlockId(static_cast<uint32_t>(sequence.slot.value))};
    sequence.opening = wire::SlotOpening{{}, {}, 1};
    sequence.draft.assign(dice.below(static_cast<uint64_t>(sequence.n_tokens)), TokenId(7));
    step.closed_slots = {sequence.slot};
    const auto rows = static_cast<size_t>(sequence.n_tokens);
    if (with_tokens) {
      step.tokens.assign(rows, TokenId(static_cast<int32_t>(dice.below(RogueModel::kVocabulary))));
    } else {
      step.activations.assign(rows * RogueModel::kWidth, dice.once_in(3) ? 1e38f : 0.25f);
      if (dice.once_in(3)) step.activations[0] = std::nanf("");
    }
    if (newest_ && dice.once_in(3)) go_ahead(step, sequence, *newest_);
    newest_ = sequence;
    if (dice.once_in(3)) bend(dice, step, sequence);
    step.sequences.push_back(std::move(sequence));
    return step;
  }

 private:
  // Behind the step before, as if that one's answer were known.
  static void go_ahead(wire::Step& step, wire::StepSequence& sequence, const wire::StepSequence& before) {
    sequence.slot = before.slot;
    sequence.blocks = before.blocks;
    sequence.first = Position(before.first.value + before.n_tokens);
    sequence.draft.assign(static_cast<size_t>(sequence.n_tokens), TokenId(7));
    sequence.opening.reset();
    step.closed_slots.clear();
  }
  static void bend(Dice& dice, wire::Step& step, wire::StepSequence& sequence) {
    const auto some = static_cast<int32_t>(dice.below(400));
    switch (dice.below(8)) {
      case 0:
        sequence.first = Position(some);
        break;
      case 1:
        sequence.n_tokens = some;
        break;
      case 2:
        sequence.blocks.assign(dice.below(20), BlockId(static_cast<uint32_t>(some)));
        break;
      case 3:
        sequence.draft.assign(dice.below(20), TokenId(some * 100));
        break;
      case 4:
        sequence.first_block = some;
        break;
      case 5:
        sequence.opening.reset();
        break;
      case 6:
        step.tokens.assign(dice.below(10), TokenId(-some));
        break;
      default:
        step.activations.resize(static_cast<size_t>(some));
    }
  }
  uint64_t number_ = 0;
  std::optional<wire::StepSequence> newest_;
};

}  // namespace exo::rogue
