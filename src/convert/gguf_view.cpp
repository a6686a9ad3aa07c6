#include "convert/gguf_view.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "convert/config_fields.h"
#include "convert/family.h"
#include "convert/family_metadata.h"
#include "convert/recipes.h"
#include "convert/rope_metadata.h"
#include "convert/tokenizer_metadata.h"
#include "convert/view_builder.h"

namespace exo::convert {
namespace {

// Where the part that speaks may lie in a folder.
constexpr auto kPrefixes =
    std::to_array<std::string_view>({"model.", "model.language_model.", "language_model.model.", "language_model.",
                                     "transformer.", "gpt_neox.", ""});
// Tensors that are no part of it: of eyes and ears, and those that are computed anew.
constexpr auto kOtherParts = std::to_array<std::string_view>(
    {"vision_tower.", "vision_model.", "visual.", "audio_tower.", "multi_modal_projector.", "mm_projector.",
     "embed_vision.", "embed_audio.", "model.vision_tower.", "model.vision_model.", "model.visual.",
     "model.audio_tower.", "model.multi_modal_projector.", "model.embed_vision.", "model.embed_audio.",
     "patch_merger.", "mtp."});
constexpr auto kComputed =
    std::to_array<std::string_view>({"rotary_emb.inv_freq", "rotary_pos_emb.inv_freq", "attn.masked_bias",
                                     "attention.masked_bias", "attn.bias", "attention.bias"});

class FolderConverter {
 public:
  FolderConverter(FolderPtr folder, const Family& family, ModelShape shape)
      : folder_(*folder), config_(folder_.config()), family_(family), shape_(shape), view_(std::move(folder)) {
    // MLX adds the one to the norms of gated delta nets when it turns their convolutions around.
    for (const auto& [name, tensor] : folder_.tensors()) {
      if (name.ends_with("linear_attn.conv1d.weight") && !tensor->shape.empty() && tensor->shape.back() == 1)
        family_.norms_plus_one = false;
    }
  }

  Result<formats::GgufFile> convert() && {
    EXO_CHECK_OK(put_general());
    const MetadataInput metadata{config_, shape_, family_, view_.metadata()};
    EXO_CHECK_OK(put_metadata(metadata));
    EXO_CHECK_OK(put_rope(metadata, view_));
    EXO_CHECK_OK(put_tokenizer(view_));
    EXO_CHECK_OK(find_prefix());
    EXO_CHECK_OK(add_outer());
    for (int64_t block = 0; block < shape_.n_layers; ++block) EXO_CHECK_OK(add_block(block));
    leave_out_others();
    EXO_CHECK_OK(view_.check_all_used());
    return std::move(view_).finish();
  }

 private:
  Status put_general() {
    auto& writer = view_.metadata();
    writer.set("general.architecture", family_.gguf);
    writer.set("general.type", "model");
    const auto name = config_.text({"_name_or_path"}, "");
    const auto last = name.substr(name.find_last_of("/\\") + 1);
    if (!last.empty()) writer.set("general.name", last);
    // A model whose files change is another model, also where its header says nothing else.
    writer.set("exo.source.weight_bytes", folder_.weight_bytes());
    return {};
  }

  bool has_under(std::string_view prefix) const {
    const auto it = folder_.tensors().lower_bound(prefix);
    return it != folder_.tensors().end() && it->first.starts_with(prefix);
  }

  Status find_prefix() {
    for (const auto prefix : kPrefixes) {
      if (has_under(fmt::format("{}{}.", prefix, family_.embedding))) {
        prefix_ = prefix;
        return {};
      }
    }
    return fail(ErrorCode::kNotFound, "the folder has no tensor '{}{}.weight', which models of {} begin with",
                kPrefixes[0], family_.embedding, family_.architecture);
  }

  RecipeInput input(std::string module, std::string name) {
    return {view_, config_, shape_, family_, std::move(module), std::move(name)};
  }

  Status add_outer() {
    EXO_CHECK_OK(recipes::projection(input(fmt::format("{}{}", prefix_, family_.embedding), "token_embd")));
    EXO_CHECK_OK(recipes::projection(input(fmt::format("{}wpe", prefix_), "position_embd")));
    EXO_CHECK_OK(recipes::norm(input(fmt::format("{}{}", prefix_, family_.norm), "output_norm")));
    return add_head();
  }

  // A head that is the embedding need not be stored; where it is, it is the same numbers.
  Status add_head() {
    EXO_TRY(const bool tied, config_.outer_boolean({"tie_word_embeddings"}, family_.ties_embedding));
    for (const std::string& module : {std::string(family_.head), fmt::format("{}{}", prefix_, family_.head),
                                      fmt::format("language_model.{}", family_.head)}) {
      if (!has_under(module + ".")) continue;
      if (!tied) return recipes::projection(input(module, "output"));
      view_.leave_out(module + ".weight");
      return {};
    }
    return {};
  }

  Status add_block(int64_t block) {
    const std::string from = fmt::format("{}{}.{}.", prefix_, family_.layers, block);
    const std::string to = fmt::format("blk.{}.", block);
    const auto apply = [&](const TensorRule& rule) {
      return rule.recipe(input(fmt::format("{}{}", from, rule.module), fmt::format("{}{}", to, rule.name)));
    };
    for (const auto& rule : family_.rules) EXO_CHECK_OK(apply(rule));
    for (const auto& rule : common_rules()) {
      const bool is_overridden =
          std::ranges::find(family_.rules, rule.module, &TensorRule::module) != family_.rules.end();
      if (!is_overridden) EXO_CHECK_OK(apply(rule));
    }
    return {};
  }

  void leave_out_others() {
    for (const auto part : kOtherParts) view_.leave_out_all(part);
    // Blocks beyond the model's count predict further tokens (multi-token prediction).
    const std::string blocks = fmt::format("{}{}.", prefix_, family_.layers);
    for (auto it = folder_.tensors().lower_bound(blocks);
         it != folder_.tensors().end() && it->first.starts_with(blocks); ++it) {
      int64_t block = 0;
      const auto digits = it->first.substr(blocks.size());
      const size_t end = digits.find('.');
      for (const char c : digits.substr(0, std::min<size_t>(end, 6))) {
        if (c < '0' || c > '9') break;
        block = block * 10 + (c - '0');
      }
      const bool is_computed =
          std::ranges::any_of(kComputed, [&](std::string_view ending) { return it->first.ends_with(ending); });
      if (block >= shape_.n_layers || is_computed) view_.leave_out(it->first);
    }
  }

  const ModelFolder& folder_;
  ConfigFields config_;
  Family family_;
  ModelShape shape_;
  ViewBuilder view_;
  std::string prefix_;
};

}  // namespace

Result<formats::GgufFile> view_as_gguf(FolderPtr folder) {
  const ConfigFields config(folder->config());
  EXO_TRY(const auto* family, find_family(config));
  EXO_TRY(const auto shape, read_shape(config));
  return FolderConverter(std::move(folder), *family, shape).convert();
}

Result<formats::GgufFile> open_folder(const std::filesystem::path& path) {
  EXO_TRY(auto folder, ModelFolder::open(path));
  return view_as_gguf(std::move(folder));
}

}  // namespace exo::convert
