#pragma once
// A StageExecutor for tests: no weights, but a memory. Each KV entry holds a token and the hash of all tokens up to
// it; activations carry both on to the next stage, and the next token is a hash of the whole history. A wrong block
// table, a lost or repeated token, a block used twice: each breaks the chain and is counted as a violation.

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "net/clock.h"
#include "ring/slot_tables.h"
#include "ring/stage_executor.h"

namespace exo::ring::testing {

inline constexpr int32_t kHashVocabulary = 97;
inline constexpr int32_t kHashWidth = 6;  // floats per row: token, position, four times 16 bits of the hash

inline uint64_t extend_hash(uint64_t hash, TokenId token) {
  hash ^= static_cast<uint64_t>(token.value) + 0x9E3779B97F4A7C15ull + (hash << 6) + (hash >> 2);
  hash *= 0xFF51AFD7ED558CCDull;
  return hash ^ (hash >> 32);
}

// What follows a history that hashes to `hash`, for a request with this seed, at `position`. Seeds from
// kPeriodicSeed on repeat themselves, now and then with another token in between: what speculation guesses at.
inline constexpr uint64_t kPeriodicSeed = 1ull << 63;
inline TokenId next_hash_token(uint64_t hash, uint64_t seed, int32_t position) {
  if (seed >= kPeriodicSeed && position % 23 != 0)
    return TokenId(static_cast<int32_t>((seed + static_cast<uint64_t>(position % 5) * 31) % kHashVocabulary));
  uint64_t x = (hash ^ seed * 0xC2B2AE3D27D4EB4Full) + static_cast<uint64_t>(position) * 0x165667B19E3779F9ull;
  x ^= x >> 29;
  x *= 0xBF58476D1CE4E5B9ull;
  return TokenId(static_cast<int32_t>((x >> 33) % kHashVocabulary));
}

// The undisturbed answer: up to max_new tokens, short of a stop token.
inline std::vector<TokenId> oracle_answer(const std::vector<TokenId>& prompt, int32_t max_new, uint64_t seed,
                                          const std::vector<TokenId>& stop_tokens) {
  uint64_t hash = 0;
  for (const TokenId token : prompt) hash = extend_hash(hash, token);
  std::vector<TokenId> answer;
  for (int32_t i = 0; i < max_new; ++i) {
    const TokenId token = next_hash_token(hash, seed, static_cast<int32_t>(prompt.size()) + i);
    for (const TokenId stop : stop_tokens)
      if (token == stop) return answer;
    answer.push_back(token);
    hash = extend_hash(hash, token);
  }
  return answer;
}

struct HashLog {
  std::vector<std::string> violations;
  uint64_t steps = 0, rows = 0, most_rows = 0, right_guesses = 0, void_parts = 0;
  uint64_t filled_blocks = 0;  // with what came from other stages
};

class HashExecutor final : public StageExecutor {
 public:
  using Cost = std::function<net::Duration(const wire::Step&)>;  // virtual time of one step

  HashExecutor(net::Clock& clock, StageLimits limits, HashLog& log, Cost cost)
      : clock_(clock), limits_(with_width(limits)), tables_(limits_), log_(log), cost_(std::move(cost)) {
    cells_.resize(static_cast<size_t>(limits_.n_blocks) * static_cast<size_t>(limits_.block_positions));
  }

  void execute(wire::Step step, std::function<void(Result<StageOutput>)> done) override {
    const auto began = std::max(busy_until_, clock_.now());
    const auto began_at = clock_.steady_now() + (began - clock_.now());
    busy_until_ = began + cost_(step);
    auto shared = std::make_shared<wire::Step>(std::move(step));
    clock_.run_after(busy_until_ - clock_.now(),
                     [this, alive = std::weak_ptr<bool>(alive_), shared, began_at, done = std::move(done)] {
                       if (alive.expired()) return;
                       auto output = compute(*shared);
                       if (output) {
                         output->began = began_at;
                         output->ended = clock_.steady_now();
                       }
                       done(std::move(output));
                     });
  }

  // Each layer's cache has the token and the hash; what a stage reads must be there in all of its layers.
  void set_layers(LayerRange layers) { layers_ = layers; }
  std::optional<CacheLayout> cache_layout() const override {
    if (keeps_state_ || layers_.empty()) return std::nullopt;
    const uint64_t bytes = static_cast<uint64_t>(limits_.block_positions) * sizeof(Entry);
    return CacheLayout{layers_, "hash", limits_.n_blocks, limits_.block_positions,
                       std::vector<uint64_t>(static_cast<size_t>(layers_.size()), bytes)};
  }
  void read_cache(CachePart part, std::function<void(Result<std::vector<std::byte>>)> done) override {
    in_order([this, part = std::move(part), done = std::move(done)] { done(read(part)); });
  }
  void write_cache(CachePart part, std::vector<std::byte> bytes, std::function<void(Status)> done) override {
    in_order([this, part = std::move(part), bytes = std::move(bytes), done = std::move(done)] {
      done(write(part, bytes));
    });
  }
  void complete_blocks(std::vector<BlockId> blocks, std::function<void(Status)> done) override {
    in_order([this, blocks = std::move(blocks), done = std::move(done)] {
      for (const BlockId block : blocks)
        for (int32_t i = 0; i < limits_.block_positions; ++i)
          if (cell_at(block, i).layers != all_layers()) violation(fmt::format("block {} lacks a layer", block));
      tables_.note_full(blocks);
      log_.filled_blocks += blocks.size();
      done({});
    });
  }

  // From now on as a stage of a model that keeps a state: what a slot knows is the hash of its own sequence, and no
  // KV entry helps.
  void keep_state() { keeps_state_ = true; }
  bool keeps_state() const override { return keeps_state_; }

  size_t open_slots() const {
    size_t open = 0;
    for (int32_t slot = 0; slot < limits_.max_slots; ++slot) open += !tables_.block_table(SlotId(slot)).empty();
    return open;
  }

 private:
  struct Cell {
    int32_t token = -1;
    uint64_t hash = 0;
    uint64_t layers = 0;  // whose caches have these two, by bits
  };
  struct Entry {  // of a layer's cache, as bytes
    int32_t token = -1, layer = -1;
    uint64_t hash = 0;
  };

  struct State {
    int32_t next = 0;
    uint64_t hash = 0;
  };

  static StageLimits with_width(StageLimits limits) {
    limits.d_model = kHashWidth;
    limits.n_vocab = kHashVocabulary;
    return limits;
  }

  Cell& cell(SlotId slot, int32_t position) {
    return cell_at(tables_.block_table(slot)[static_cast<size_t>(position / limits_.block_positions)],
                   position % limits_.block_positions);
  }
  Cell& cell_at(BlockId block, int32_t i) {
    return cells_[size_t{block.value} * static_cast<size_t>(limits_.block_positions) + static_cast<size_t>(i)];
  }
  uint64_t all_layers() const { return (uint64_t{1} << layers_.size()) - 1; }

  // After the steps that were given before.
  void in_order(std::function<void()> work) {
    busy_until_ = std::max(busy_until_, clock_.now());
    clock_.run_after(busy_until_ - clock_.now(), [alive = std::weak_ptr<bool>(alive_), work = std::move(work)] {
      if (!alive.expired()) work();
    });
  }

  template <typename What>
  void each_entry(const CachePart& part, What what) {
    for (LayerIndex layer = part.layers.begin; layer < part.layers.end; ++layer)
      for (const BlockId block : part.blocks)
        for (int32_t i = 0; i < limits_.block_positions; ++i) what(layer, cell_at(block, i));
  }

  Result<std::vector<std::byte>> read(const CachePart& part) {
    for (const BlockId block : part.blocks)
      if (!tables_.is_full(block)) return fail(ErrorCode::kUnavailable, "block {} is not full here", block);
    std::vector<Entry> entries;
    each_entry(part, [&](LayerIndex layer, const Cell& from) {
      entries.push_back({from.token, layer.value, from.hash});
    });
    const auto bytes = std::as_bytes(std::span(entries));
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  }

  Status write(const CachePart& part, const std::vector<std::byte>& bytes) {
    size_t at = 0;
    bool sound = true;
    each_entry(part, [&](LayerIndex layer, Cell& to) {
      Entry entry;
      if (at + sizeof entry <= bytes.size()) std::memcpy(&entry, bytes.data() + at, sizeof entry);
      at += sizeof entry;
      sound = sound && entry.layer == layer.value;
      if (to.token != entry.token || to.hash != entry.hash) to = {entry.token, entry.hash, 0};
      to.layers |= uint64_t{1} << (layer.value - layers_.begin.value);
    });
    if (at != bytes.size() || !sound) return violation("a piece of another layer's cache, or of another size");
    return {};
  }

  std::unexpected<Error> violation(std::string what) {
    log_.violations.push_back(what);
    return fail(ErrorCode::kInternal, "{}", what);
  }

  Result<uint64_t> history_hash(const wire::StepSequence& sequence) {
    uint64_t hash = 0;
    if (keeps_state_) {
      const State& state = states_[sequence.slot];
      if (sequence.first.value == 0) return hash;
      if (state.next != sequence.first.value || !sequence.draft.empty())
        return violation(fmt::format("slot {}: position {} with {} guesses, after a state of {}", sequence.slot,
                                     sequence.first, sequence.draft.size(), state.next));
      return state.hash;
    }
    for (int32_t position = 0; position < sequence.first.value; ++position) {
      const Cell& known = cell(sequence.slot, position);
      hash = extend_hash(hash, TokenId(known.token));
      if (known.hash != hash || known.layers != all_layers())
        return violation(fmt::format("slot {}: the KV cache is wrong at position {} before {}", sequence.slot,
                                     position, sequence.first));
    }
    return hash;
  }

  Result<StageOutput> compute(wire::Step& step) {
    for (const auto& sequence : step.sequences)
      if (sequence.opening) seeds_[sequence.slot] = sequence.opening->sampler.seed;
    EXO_CHECK_OK(tables_.apply(step));
    ++log_.steps;
    StageOutput output;
    size_t row = 0;
    for (const auto& sequence : step.sequences) {
      EXO_TRY(uint64_t hash, history_hash(sequence));
      const auto guesses = std::span(sequence.draft).subspan(sequence.is_ahead() ? 1 : 0);
      const auto n_draft = static_cast<int32_t>(guesses.size());
      const bool samples = limits_.last_stage && sequence.wants_logits;
      bool right = samples && !tables_.is_void(sequence);  // all guesses up to this row
      if (samples) {
        output.counts.push_back(0);
        log_.void_parts += !right;
        log_.right_guesses += right && sequence.is_ahead();
      }
      for (int32_t i = 0; i < sequence.n_tokens; ++i, ++row) {
        const int32_t position = sequence.first.value + i;
        const float* in = step.activations.data() + (limits_.first_stage ? 0 : row * kHashWidth);
        const TokenId token = limits_.first_stage ? step.tokens[row] : TokenId(static_cast<int32_t>(in[0]));
        hash = extend_hash(hash, token);
        if (!limits_.first_stage) {
          uint64_t sent = 0;
          for (int part = 0; part < 4; ++part) sent |= static_cast<uint64_t>(in[2 + part]) << (16 * part);
          if (sent != hash || static_cast<int32_t>(in[1]) != position)
            return violation(fmt::format("slot {}: the stages disagree at position {}", sequence.slot, position));
        }
        cell(sequence.slot, position) = {token.value, hash, all_layers()};
        const int32_t guess = i + n_draft + 1 - sequence.n_tokens;  // that follows this row
        if (right && guess >= 0) {
          const TokenId next = next_hash_token(hash, seeds_[sequence.slot], position + 1);
          output.tokens.push_back({next, -0.5f, {}});
          ++output.counts.back();
          tables_.note_sampled(sequence.slot, Position(position + 1), next);
          right = guess < n_draft && next == guesses[static_cast<size_t>(guess)];
          log_.right_guesses += right;
        }
        if (limits_.last_stage) continue;
        output.activations.push_back(static_cast<float>(token.value));
        output.activations.push_back(static_cast<float>(position));
        for (int part = 0; part < 4; ++part)
          output.activations.push_back(static_cast<float>((hash >> (16 * part)) & 0xFFFF));
      }
      states_[sequence.slot] = {sequence.first.value + sequence.n_tokens, hash};
    }
    log_.rows += row;
    log_.most_rows = std::max<uint64_t>(log_.most_rows, row);
    return output;
  }

  net::Clock& clock_;
  const StageLimits limits_;
  SlotTables tables_;
  HashLog& log_;
  Cost cost_;
  std::vector<Cell> cells_;
  LayerRange layers_;  // empty: its cache cannot be copied
  bool keeps_state_ = false;
  std::unordered_map<SlotId, State> states_;
  std::unordered_map<SlotId, uint64_t> seeds_;
  net::TimePoint busy_until_{};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace exo::ring::testing
