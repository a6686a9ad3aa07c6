#include "model/stage.h"

#include <algorithm>
#include <limits>

#include "model/blocks.h"
#include "model/hyperparameters.h"
#include "model/kv_cache.h"
#include "model/load.h"
#include "model/recurrent_state.h"
#include "model/step.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace exo::model {
namespace {

constexpr int32_t kMaxBatchRows = 1 << 16;
// With fewer rows the two exchanges that a cut residual stream costs a block take longer than what it saves.
constexpr int32_t kFewestCutRows = 32;

class TransformerStage final : public Stage {
 public:
  struct Parts {
    std::shared_ptr<const formats::GgufFile> file;
    ModelInfo info;
    Hyperparameters model;
    StageConfig config;
    StageWeights weights;
    KvCache cache;
    RecurrentState state;
    Workspace workspace;
  };

  TransformerStage(Parts parts, ops::Ops& ops)
      : parts_(std::move(parts)), ops_(ops), group_(ops, parts_.config.share), rope_(parts_.model.rope) {
    rope_.frequency_factors = parts_.weights.rope_factors;
    for (const auto& layer : parts_.weights.layers) {
      can_cut_hidden_ = can_cut_hidden_ && can_cut_hidden(group_, parts_.model, layer);
    }
    limits_ = {.takes_tokens = is_first(),
               .d_model = parts_.model.d_model,
               .n_vocab = parts_.model.n_vocab,
               .max_rows = parts_.config.max_batch_rows,
               .n_blocks = parts_.config.n_blocks,
               .block_positions = parts_.config.block_positions,
               .max_positions = parts_.weights.position_embedding.rows};
  }

  Result<std::span<const float>> forward(const StepInput& input) override {
    EXO_CHECK_OK(step_.prepare(input, limits_));
    EXO_CHECK_OK(parts_.state.check(input.sequences));
    EXO_CHECK_OK(run(input));
    return is_last() ? logits_of(step_.logit_rows()) : hidden_out();
  }

  Result<std::span<const float>> forward_all_logits(const StepInput& input) override {
    if (!is_last()) return fail(ErrorCode::kInvalidArgument, "only the last stage has logits");
    EXO_CHECK_OK(step_.prepare(input, limits_));
    EXO_CHECK_OK(parts_.state.check(input.sequences));
    EXO_CHECK_OK(run(input));
    std::vector<int32_t> rows(static_cast<size_t>(step_.n_rows()));
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int32_t>(i);
    return logits_of(rows);
  }

  uint64_t cache_block_bytes(LayerIndex layer) const override { return parts_.cache.block_bytes(own_index(layer)); }

  Status read_cache(LayerRange layers, std::span<const BlockId> blocks, std::span<std::byte> to) const override {
    EXO_CHECK_OK(check_cache_part(layers, blocks, to.size()));
    for (LayerIndex layer = layers.begin; layer < layers.end; ++layer) {
      const size_t bytes = cache_block_bytes(layer);
      for (const BlockId block : blocks) {
        parts_.cache.read_block(own_index(layer), block, ops_, to.first(bytes));
        to = to.subspan(bytes);
      }
    }
    return {};
  }

  Status write_cache(LayerRange layers, std::span<const BlockId> blocks, std::span<const std::byte> from) override {
    EXO_CHECK_OK(check_cache_part(layers, blocks, from.size()));
    for (LayerIndex layer = layers.begin; layer < layers.end; ++layer) {
      const size_t bytes = cache_block_bytes(layer);
      for (const BlockId block : blocks) {
        parts_.cache.write_block(own_index(layer), block, ops_, from.first(bytes));
        from = from.subspan(bytes);
      }
    }
    return {};
  }

  const ModelInfo& model() const override { return parts_.info; }
  const StageConfig& config() const override { return parts_.config; }
  uint64_t weight_bytes() const override { return parts_.weights.bytes; }
  uint64_t kv_bytes() const override { return parts_.cache.bytes() + parts_.state.bytes(); }

 private:
  size_t own_index(LayerIndex layer) const {
    return static_cast<size_t>(layer.value - parts_.config.layers.begin.value);
  }
  Status check_cache_part(LayerRange layers, std::span<const BlockId> blocks, size_t bytes) const {
    const auto& config = parts_.config;
    if (layers.begin < config.layers.begin || layers.end > config.layers.end || layers.empty())
      return fail(ErrorCode::kInvalidArgument, "the cache of layers {} to {} is not here", layers.begin,
                  layers.end.value - 1);
    for (const BlockId block : blocks)
      if (block.value >= static_cast<uint32_t>(config.n_blocks))
        return fail(ErrorCode::kInvalidArgument, "block {} of {}", block, config.n_blocks);
    uint64_t expected = 0;
    for (LayerIndex layer = layers.begin; layer < layers.end; ++layer) expected += cache_block_bytes(layer);
    if (bytes != expected * blocks.size())
      return fail(ErrorCode::kInvalidArgument, "{} bytes for {} blocks of {}", bytes, blocks.size(), expected);
    return {};
  }
  bool is_first() const { return parts_.config.layers.begin.value == 0; }
  bool is_last() const { return parts_.config.layers.end.value == parts_.model.n_layers(); }
  ops::Tensor hidden() const { return dense(parts_.workspace.hidden, step_.n_rows(), parts_.model.d_model); }

  // Leaves the result of the stage's last block in workspace.hidden.
  Status run(const StepInput& input) {
    group_.begin_step(input.group);
    hidden_is_cut_ = can_cut_hidden_ && step_.n_rows() >= kFewestCutRows;
    if (is_first()) {
      embed(input.tokens);
    } else {
      ops_.write(hidden(), input.activations.data());
    }
    temperatures_.clear();
    if (parts_.model.temperature.scale != 0.0f) {
      for (const Position p : step_.positions()) temperatures_.push_back(parts_.model.temperature.factor(p));
    }
    const BlockContext context{.ops = ops_,
                               .model = parts_.model,
                               .rope = rope_,
                               .workspace = parts_.workspace,
                               .group = group_,
                               .positions = step_.positions(),
                               .sequences = step_.sequences(),
                               .temperatures = temperatures_,
                               .hidden_is_cut = hidden_is_cut_};
    parts_.state.begin_step(input.sequences);
    const auto first = static_cast<size_t>(parts_.config.layers.begin.value);
    for (size_t i = 0; i < parts_.weights.layers.size(); ++i) {
      run_block(context, parts_.model.layers[first + i], parts_.weights.layers[i],
                {parts_.cache.layer(i), parts_.state.layer(i)});
      EXO_CHECK_OK(group_.status());
    }
    parts_.state.end_step(input.sequences);
    return {};
  }

  void embed(std::span<const TokenId> tokens) {
    ops_.embed(parts_.weights.token_embedding, tokens, hidden());
    if (parts_.model.embedding_scale != 1.0f) ops_.scale(hidden(), parts_.model.embedding_scale);
    if (!parts_.weights.position_embedding) return;
    position_rows_.clear();
    for (const Position position : step_.positions()) position_rows_.emplace_back(position.value);
    const auto added = dense(parts_.workspace.normed, step_.n_rows(), parts_.model.d_model);
    ops_.embed(parts_.weights.position_embedding, position_rows_, added);
    ops_.add(hidden(), added);
  }

  Result<std::span<const float>> hidden_out() {
    if (hidden_is_cut_) group_.gather(hidden(), split_rows(parts_.model.d_model));
    EXO_CHECK_OK(group_.status());
    out_.resize(static_cast<size_t>(step_.n_rows()) * static_cast<size_t>(parts_.model.d_model));
    ops_.read(hidden(), out_.data());
    return out_;
  }

  Result<std::span<const float>> logits_of(std::span<const int32_t> rows) {
    const auto& model = parts_.model;
    const auto n_rows = static_cast<int64_t>(rows.size());
    if (n_rows == 0) return std::span<const float>();
    EXO_TRY(const auto logits, logits_space(n_rows));
    const auto chosen = dense(parts_.workspace.normed, n_rows, model.d_model);
    ops_.gather_rows(hidden(), rows, chosen);
    if (hidden_is_cut_) group_.gather(chosen, split_rows(model.d_model));
    apply_norm(ops_, parts_.weights.output_norm, model.norm_epsilon, chosen, chosen);
    const RowSplit split = split_rows(model.n_vocab);
    const RowPart own = group_.share().part(split);
    const ops::Linear head{&parts_.weights.head.weight, logits.columns(own.first, own.count),
                           parts_.weights.head.bias};
    ops_.matmul(chosen, {&head, 1});
    group_.gather_at_leader(logits, split);
    EXO_CHECK_OK(group_.status());
    if (!group_.share().is_leader()) return std::span<const float>();
    if (model.logit_scale != 1.0f) ops_.scale(logits, model.logit_scale);
    if (model.final_soft_cap != 0.0f) ops_.soft_cap(logits, model.final_soft_cap);
    out_.resize(static_cast<size_t>(n_rows) * static_cast<size_t>(model.n_vocab));
    ops_.read(logits, out_.data());
    return out_;
  }

  // Grows with the number of sequences that want logits at once, which is far below the rows of a prefill.
  Result<ops::Tensor> logits_space(int64_t n_rows) {
    const int64_t cols = parts_.model.n_vocab;
    const auto bytes = static_cast<size_t>(n_rows * cols) * sizeof(float);
    if (logits_ == nullptr || logits_->bytes() < bytes) {
      logits_.reset();
      EXO_TRY(logits_, ops_.allocate(bytes));
    }
    return ops::Tensor{reinterpret_cast<float*>(logits_->data()), n_rows, cols, cols};
  }

  Parts parts_;
  ops::Ops& ops_;
  TensorGroup group_;
  bool can_cut_hidden_ = true;  // in every block
  bool hidden_is_cut_ = false;  // of this step
  ops::RopeParams rope_;
  StepLimits limits_;
  Step step_;
  std::vector<TokenId> position_rows_;
  std::vector<float> temperatures_;  // [n_rows], where the model has an attention temperature
  std::unique_ptr<ops::Buffer> logits_;
  std::vector<float> out_;
};

Status check_layers(LayerRange layers, const Hyperparameters& model) {
  const auto [begin, end] = layers;
  if (begin.value >= 0 && !layers.empty() && end.value <= model.n_layers()) return {};
  return fail(ErrorCode::kInvalidArgument, "blocks {}…{} of a model with {}", begin, end, model.n_layers());
}

Status check_config(const StageConfig& config, const Hyperparameters& model) {
  EXO_CHECK_OK(check_layers(config.layers, model));
  if (config.max_batch_rows < 1 || config.max_batch_rows > kMaxBatchRows) {
    return fail(ErrorCode::kInvalidArgument, "steps of {} rows; 1…{} are possible", config.max_batch_rows,
                kMaxBatchRows);
  }
  return {};
}

// Every member has something of every tensor, or none of its block has a part in it.
Status check_share(LayerRange layers, const TensorShare& share, const Hyperparameters& model) {
  if (share.is_whole()) return {};
  const auto check = [&](RowPart part, std::string_view what) -> Status {
    if (part.count > 0 || part.of == 0) return {};
    return fail(ErrorCode::kUnsupported, "{} {} are too few for a group of {}: member {} would have none", part.of,
                what, share.n_members(), share.member() + 1);
  };
  EXO_CHECK_OK(check(share.part(split_rows(model.d_model)), "numbers of a row"));
  EXO_CHECK_OK(check(share.part(split_rows(model.n_vocab)), "tokens of the vocabulary"));
  for (LayerIndex i = layers.begin; i < layers.end; ++i) {
    const auto& layer = model.layers[static_cast<size_t>(i.value)];
    if (layer.is_delta_net) {
      return fail(ErrorCode::kUnsupported,
                  "block {} folds its positions into one state (a delta net): devices cannot "
                  "compute it together",
                  i);
    }
    EXO_CHECK_OK(check(share.heads(layer), "attention heads"));
    EXO_CHECK_OK(check(share.part(split_rows(layer.d_ff)), "numbers of a feed-forward"));
    EXO_CHECK_OK(check(share.part(split_rows(layer.d_expert)), "numbers of an expert"));
  }
  return {};
}

bool needs_long_rope(const StageConfig& config, const Hyperparameters& model) {
  int64_t longest = config.max_sequence_positions;
  if (longest == 0) {
    longest = std::min<int64_t>(int64_t{config.n_blocks} * config.block_positions, model.context_length);
  }
  return longest > model.rope_original_context;
}

}  // namespace

Result<std::vector<TensorPiece>> stage_pieces(const formats::GgufFile& file, LayerRange layers,
                                              const TensorShare& share) {
  EXO_TRY(const auto model, read_hyperparameters(file));
  EXO_CHECK_OK(check_layers(layers, model));
  EXO_CHECK_OK(check_share(layers, share, model));
  return weight_pieces(file, model, layers, share);
}

Result<std::unique_ptr<Stage>> load_stage(std::shared_ptr<const formats::GgufFile> file, const StageConfig& config,
                                          ops::Ops& ops, const LoadProgress& progress) {
  TransformerStage::Parts parts;
  parts.config = config;
  EXO_TRY(parts.info, read_model_info(*file));
  EXO_TRY(parts.model, read_hyperparameters(*file));
  if (parts.model.architecture->is_encoder) {
    return fail(ErrorCode::kUnsupported, "a '{}' model makes embeddings, not text", parts.info.architecture);
  }
  EXO_CHECK_OK(check_config(config, parts.model));
  EXO_CHECK_OK(check_share(config.layers, config.share, parts.model));
  EXO_TRY(parts.weights,
          load_weights(*file, parts.model, config.layers, config.share,
                       {needs_long_rope(config, parts.model), config.stream_weights}, ops, progress));
  EXO_TRY(parts.cache, KvCache::allocate(parts.model, config, ops));
  EXO_TRY(parts.state, RecurrentState::allocate(parts.model, config, ops));
  EXO_TRY(parts.workspace,
          Workspace::allocate(parts.model, config.layers, config.share, config.max_batch_rows, ops));
  parts.file = std::move(file);
  return std::make_unique<TransformerStage>(std::move(parts), ops);
}

}  // namespace exo::model
