#include "model/encoder.h"

#include <algorithm>
#include <cmath>

#include "model/blocks.h"
#include "model/kv_cache.h"
#include "model/recurrent_state.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace exo::model {
namespace {

// Longer texts than anybody embeds at once: bounds what a request can allocate.
constexpr int32_t kMaxTokens = 32768;
constexpr int32_t kBlockPositions = 32;

class TransformerEncoder final : public Encoder {
 public:
  TransformerEncoder(std::shared_ptr<const formats::GgufFile> file, Hyperparameters model, StageWeights weights,
                     ops::Ops& ops)
      : file_(std::move(file)), model_(std::move(model)), weights_(std::move(weights)), ops_(ops), group_(ops, {}) {
    rope_ = model_.rope;
    rope_.frequency_factors = weights_.rope_factors;
    if (model_.pooling == Pooling::kNone) model_.pooling = is_encoder() ? Pooling::kMean : Pooling::kLast;
  }

  const Hyperparameters& model() const override { return model_; }
  int32_t width() const override { return model_.d_model; }

  int32_t max_tokens() const override {
    int64_t most = model_.context_length > 0 ? model_.context_length : kMaxTokens;
    if (weights_.position_embedding) most = std::min(most, weights_.position_embedding.rows);
    return static_cast<int32_t>(std::min<int64_t>(most, kMaxTokens));
  }

  Result<std::vector<float>> embed(std::span<const TokenId> tokens) override {
    if (model_.pooling == Pooling::kRank)
      return fail(ErrorCode::kUnsupported, "'{}' ranks texts; it makes no embeddings", model_.name);
    EXO_CHECK_OK(run(tokens));
    std::vector<float> vector = pooled(tokens.size());
    double square = 0;
    for (const float x : vector) square += static_cast<double>(x) * x;
    const auto length = static_cast<float>(std::sqrt(square));
    for (float& x : vector) x = length > 0 ? x / length : 0.0f;
    return vector;
  }

  Result<float> rank(std::span<const TokenId> tokens) override {
    if (model_.pooling != Pooling::kRank)
      return fail(ErrorCode::kUnsupported, "'{}' makes embeddings; it ranks no texts", model_.name);
    EXO_CHECK_OK(run(tokens));
    const ops::Tensor chosen = dense(workspace_.normed, 1, model_.d_model);
    const int32_t row = is_encoder() ? 0 : static_cast<int32_t>(tokens.size()) - 1;
    ops_.gather_rows(hidden(tokens.size()), {&row, 1}, chosen);
    const auto labels = score(chosen);
    if (labels.size() == 1) return labels[0];
    double sum = 0;
    for (const float label : labels) sum += std::exp(static_cast<double>(label) - labels[0]);
    return static_cast<float>(1.0 / sum);
  }

  // Leaves the normed result of the last block in workspace.hidden.
  Status run(std::span<const TokenId> tokens) {
    EXO_CHECK_OK(check(tokens));
    EXO_CHECK_OK(make_room(static_cast<int32_t>(tokens.size())));
    describe_rows(static_cast<int32_t>(tokens.size()));
    embed_tokens(tokens);
    std::vector<float> temperatures;
    if (model_.temperature.scale != 0.0f)
      for (const Position p : positions_) temperatures.push_back(model_.temperature.factor(p));
    const BlockContext context{.ops = ops_,
                               .model = model_,
                               .rope = rope_,
                               .workspace = workspace_,
                               .group = group_,
                               .positions = positions_,
                               .sequences = {&sequence_, 1},
                               .readers = readers_,
                               .temperatures = temperatures};
    for (size_t i = 0; i < weights_.layers.size(); ++i)
      run_block(context, model_.layers[i], weights_.layers[i], {cache_->layer(i), state_->layer(i)});
    const auto& norm = weights_.output_norm;
    if (norm.present) apply_norm(ops_, norm, model_.norm_epsilon, hidden(tokens.size()), hidden(tokens.size()));
    return {};
  }

 private:
  bool is_encoder() const { return model_.architecture->is_encoder; }
  ops::Tensor hidden(size_t rows) const {
    return dense(workspace_.hidden, static_cast<int64_t>(rows), model_.d_model);
  }

  Status check(std::span<const TokenId> tokens) const {
    if (tokens.empty()) return fail(ErrorCode::kInvalidArgument, "there is no text to embed");
    if (tokens.size() > static_cast<size_t>(max_tokens()))
      return fail(ErrorCode::kInvalidArgument, "the text has {} tokens; the model reads {}", tokens.size(),
                  max_tokens());
    for (const TokenId token : tokens)
      if (token.value < 0 || token.value >= model_.n_vocab)
        return fail(ErrorCode::kInvalidArgument, "token id {} is outside the model's vocabulary of {}", token,
                    model_.n_vocab);
    return {};
  }

  Status make_room(int32_t rows) {
    if (rows <= room_) return {};
    int32_t room = 64;
    while (room < rows) room *= 2;
    room = std::max(rows, std::min(room, max_tokens()));
    room_ = 0;
    cache_.reset();
    workspace_ = {};
    StageConfig config;
    config.layers = {LayerIndex(0), LayerIndex(model_.n_layers())};
    config.max_batch_rows = room;
    config.block_positions = kBlockPositions;
    config.n_blocks = (room + kBlockPositions - 1) / kBlockPositions;
    config.kv_type = ElementType::kF32;
    config.max_slots = 1;
    EXO_TRY(auto cache, KvCache::allocate(model_, config, ops_));
    cache_.emplace(std::move(cache));
    EXO_TRY(auto state, RecurrentState::allocate(model_, config, ops_));
    state_.emplace(std::move(state));
    EXO_TRY(workspace_, Workspace::allocate(model_, config.layers, config.share, room, ops_));
    block_table_.clear();
    for (int32_t i = 0; i < config.n_blocks; ++i) block_table_.emplace_back(i);
    room_ = room;
    return {};
  }

  // Where attention looks both ways every row is read as the last one of the text, so that it sees all others.
  void describe_rows(int32_t rows) {
    sequence_ = {.n_rows = rows, .first_position = Position(0), .block_table = block_table_};
    positions_.clear();
    readers_.clear();
    for (int32_t i = 0; i < rows; ++i) {
      positions_.emplace_back(i);
      if (is_encoder())
        readers_.push_back(
            {.first_row = i, .n_rows = 1, .first_position = Position(rows - 1), .block_table = block_table_});
    }
  }

  void embed_tokens(std::span<const TokenId> tokens) {
    const ops::Tensor rows = hidden(tokens.size());
    const ops::Tensor added = dense(workspace_.normed, rows.rows, rows.cols);
    ops_.embed(weights_.token_embedding, tokens, rows);
    if (model_.embedding_scale != 1.0f) ops_.scale(rows, model_.embedding_scale);
    if (weights_.position_embedding) {
      std::vector<TokenId> indices;
      for (const Position position : positions_) indices.emplace_back(position.value);
      ops_.embed(weights_.position_embedding, indices, added);
      ops_.add(rows, added);
    }
    if (weights_.token_types) {
      const std::vector<TokenId> text_type(tokens.size(), TokenId(0));
      ops_.embed(weights_.token_types, text_type, added);
      ops_.add(rows, added);
    }
    if (weights_.embedding_norm.present) apply_norm(ops_, weights_.embedding_norm, model_.norm_epsilon, rows, rows);
  }

  std::vector<float> pooled(size_t n) {
    const auto width = static_cast<size_t>(model_.d_model);
    std::vector<float> rows(n * width);
    ops_.read(hidden(n), rows.data());
    const auto row = [&](size_t i) { return std::span(rows).subspan(i * width, width); };
    if (model_.pooling != Pooling::kMean) {
      const auto chosen = row(model_.pooling == Pooling::kFirst ? 0 : n - 1);
      return {chosen.begin(), chosen.end()};
    }
    std::vector<float> mean(width);
    for (size_t c = 0; c < width; ++c) {
      double sum = 0;
      for (size_t i = 0; i < n; ++i) sum += rows[i * width + c];
      mean[c] = static_cast<float>(sum / static_cast<double>(n));
    }
    return mean;
  }

  // The labels' logits of one row.
  std::vector<float> score(ops::Tensor row) {
    const auto& ranking = weights_.ranking;
    if (ranking.dense.weight) {
      const ops::Tensor out = dense(workspace_.result, 1, model_.d_model);
      const ops::Linear linear{&ranking.dense.weight, out, ranking.dense.bias};
      ops_.matmul(row, {&linear, 1});
      ops_.soft_cap(out, 1.0f);  // tanh
      row = out;
    }
    const auto n = static_cast<size_t>(ranking.output.weight.rows);
    const ops::Tensor out = dense(workspace_.normed_ff, 1, ranking.output.weight.rows);
    const ops::Linear linear{&ranking.output.weight, out, ranking.output.bias};
    ops_.matmul(row, {&linear, 1});
    std::vector<float> labels(n);
    ops_.read(out, labels.data());
    return labels;
  }

  std::shared_ptr<const formats::GgufFile> file_;
  Hyperparameters model_;
  StageWeights weights_;
  ops::Ops& ops_;
  TensorGroup group_;  // this device alone
  ops::RopeParams rope_;
  int32_t room_ = 0;  // rows that cache and workspace have
  std::optional<KvCache> cache_;
  std::optional<RecurrentState> state_;
  Workspace workspace_;
  std::vector<BlockId> block_table_;
  std::vector<Position> positions_;
  ops::SequenceRows sequence_;
  std::vector<ops::SequenceRows> readers_;
};

}  // namespace

Result<std::unique_ptr<Encoder>> load_encoder(std::shared_ptr<const formats::GgufFile> file, ops::Ops& ops) {
  EXO_TRY(auto model, read_hyperparameters(*file));
  const LayerRange all{LayerIndex(0), LayerIndex(model.n_layers())};
  EXO_TRY(auto weights, load_weights(*file, model, all, {}, {}, ops, {}));
  const int64_t labels = weights.ranking.output.weight.rows;
  if (model.pooling == Pooling::kRank && (labels < 1 || labels > model.d_model))
    return fail(ErrorCode::kUnsupported, "a model that ranks, with {} labels", labels);
  return std::make_unique<TransformerEncoder>(std::move(file), std::move(model), std::move(weights), ops);
}

}  // namespace exo::model
