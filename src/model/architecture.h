#pragma once
// What sets one transformer architecture apart from another, as data. An architecture is one row of a table; the
// forward pass (blocks.h) is written once over these choices. Numbers of a particular model (widths, depths,
// scales) are not here but in hyperparameters.h.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "ops/ops.h"

namespace exo::model {

enum class NormKind { kRms, kLayer };

// Normalisation of queries and keys before they are rotated.
enum class QkNorm {
  kNone,
  kEachHead,  // over one head's dimensions; one weight for all heads or one per head, as the tensor's shape says
  kWholeRow,  // over all heads of a token together
  kRotated,   // over one head's dimensions, without weights, after the rotation and in blocks that rotate only
};

enum class Residual {
  kSequential,  // x += attention(norm(x)); x += feed_forward(norm(x))
  kParallel,    // x += attention(norm(x)) + feed_forward(norm(x)), both from the same x
  kPostNorm,    // x = norm(x + attention(x)); x = norm(x + feed_forward(x)): attention_norm, feed_forward_norm
};

// Which blocks rotate queries and keys.
enum class RopeLayers {
  kAll,
  kWindowed,        // those with a sliding window
  kAllButEveryNth,  // not block i when (i + 1) is a multiple of rope_skip_period
  kNone,            // positions are embedded instead (position_embd.weight)
};

enum class AttentionKind {
  kGroupedQuery,
  kLatent,  // latent_attention.h
};

// Blocks of a gated delta net (delta_net.h) between those with attention, and how value heads share its key heads.
enum class DeltaNetHeads {
  kNone,     // no such blocks
  kGrouped,  // value heads of one key head follow each other
  kTiled,    // value head h is of key head h modulo their number
};

// Blocks whose queries grow with their position.
enum class TemperatureLayers { kNone, kAll, kUnrotated };

enum class LogitScale { kNone, kMultiply, kDivide };

struct Architecture {
  std::string_view name;  // general.architecture in a GGUF file

  // Attention looks both ways, and what comes out are vectors, not tokens: there is no head. The embedding may have
  // token types and a norm. See encoder.h.
  bool is_encoder = false;
  NormKind norm = NormKind::kRms;
  bool norms_have_weights = true;
  // Tensor names of the norms before and after the two halves of a block; empty: no such norm. A post norm applies
  // to the half's result before it is added to the residual stream. In parallel blocks the file may have only one
  // of both norms before: the halves then share it.
  std::string_view attention_norm = "attn_norm";
  std::string_view attention_post_norm = "";
  std::string_view feed_forward_norm = "ffn_norm";
  std::string_view feed_forward_post_norm = "";
  Residual residual = Residual::kSequential;

  AttentionKind attention = AttentionKind::kGroupedQuery;
  bool gates_attention = false;  // attn_q also has a gate for each head: its result is multiplied by sigmoid(gate)
  DeltaNetHeads delta_net = DeltaNetHeads::kNone;

  QkNorm qk_norm = QkNorm::kNone;
  NormKind qk_norm_kind = NormKind::kRms;
  bool qk_norm_after_rope = false;
  bool qk_norm_is_optional = false;  // some sizes of the family have it: their files hold the tensors

  ops::RopeStyle rope = ops::RopeStyle::kInterleaved;
  RopeLayers rope_layers = RopeLayers::kAll;
  int32_t rope_skip_period = 0;
  double local_rope_theta = 0.0;  // windowed blocks rotate with this base, unscaled; 0: like all others

  int32_t window_period = 0;        // 0: a sliding window is every block's; n: not block i when i % n == n - 1
  int64_t default_window = 0;       // where the file does not say
  bool windows_are_chunks = false;  // a row attends within its own chunk of as many positions instead

  // Where the file does not say: see AttentionTemperature.
  TemperatureLayers temperature_layers = TemperatureLayers::kNone;
  double temperature_scale = 0.0;
  int32_t temperature_interval = 0, temperature_offset = 0;

  ops::Activation activation = ops::Activation::kSilu;
  bool gated = true;  // feed-forward is down(activation(gate(x)) * up(x)), otherwise down(activation(up(x)))

  // Of blocks with experts, where the file does not say.
  ops::ExpertScore expert_score = ops::ExpertScore::kSoftmax;
  bool normalizes_experts = false;     // the weights of a row's experts sum to one
  bool weights_expert_inputs = false;  // what an expert reads is weighted, not what it makes

  bool scales_embedding = false;  // by sqrt(d_model)
  LogitScale logit_scale = LogitScale::kNone;
  // The variant with this many blocks scales q·k by 1/sqrt(d_model / n_heads), the others by 1/sqrt(head_dim).
  int32_t blocks_with_width_scale = 0;
};

// By the name in the file. kUnsupported says what it is and which are known.
Result<const Architecture*> find_architecture(std::string_view name);
// "chatglm, cohere2, …", sorted.
std::string known_architectures();

}  // namespace exo::model
