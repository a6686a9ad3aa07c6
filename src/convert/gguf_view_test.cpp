#include "convert/gguf_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "convert/tiny_folder.h"

namespace exo::convert {
namespace {

namespace json = boost::json;
using testing::ElementsAre;
using testing::HasSubstr;

json::object tiny_config() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"hidden_size", 4},
          {"intermediate_size", 6},
          {"num_hidden_layers", 1},
          {"num_attention_heads", 2},
          {"num_key_value_heads", 1},
          {"max_position_embeddings", 64},
          {"rms_norm_eps", 1e-6},
          {"rope_theta", 5000.0},
          {"vocab_size", 8},
          {"tie_word_embeddings", true}};
}

std::map<std::string, TinyTensor> tiny_tensors() {
  const std::string block = "model.layers.0.";
  return {{"model.embed_tokens.weight", {{8, 4}}},       {"model.norm.weight", {{4}}},
          {block + "input_layernorm.weight", {{4}}},     {block + "post_attention_layernorm.weight", {{4}, 10}},
          {block + "self_attn.q_proj.weight", {{4, 4}}}, {block + "self_attn.k_proj.weight", {{2, 4}}},
          {block + "self_attn.v_proj.weight", {{2, 4}}}, {block + "self_attn.o_proj.weight", {{4, 4}}},
          {block + "mlp.gate_proj.weight", {{6, 4}}},    {block + "mlp.up_proj.weight", {{6, 4}}},
          {block + "mlp.down_proj.weight", {{4, 6}}}};
}

// Fields of all families.
json::object everything() {
  return {{"sliding_window", 8},
          {"attention_chunk_size", 8},
          {"num_experts", 2},
          {"num_experts_per_tok", 1},
          {"moe_intermediate_size", 6},
          {"shared_expert_intermediate_size", 6},
          {"shared_intermediate_size", 6},
          {"n_shared_experts", 1},
          {"first_k_dense_replace", 1},
          {"n_group", 1},
          {"topk_group", 1},
          {"routed_scaling_factor", 1.5},
          {"norm_topk_prob", true},
          {"scoring_func", "sigmoid"},
          {"q_lora_rank", 2},
          {"qk_nope_head_dim", 1},
          {"qk_rope_head_dim", 2},
          {"v_head_dim", 1},
          {"linear_num_key_heads", 1},
          {"linear_num_value_heads", 2},
          {"linear_key_head_dim", 2},
          {"linear_value_head_dim", 2},
          {"linear_conv_kernel_dim", 4},
          {"full_attention_interval", 4},
          {"query_pre_attn_scalar", 2},
          {"attention_multiplier", 0.5},
          {"embedding_multiplier", 2.0},
          {"residual_multiplier", 2.0},
          {"logits_scaling", 2.0},
          {"logit_scale", 2.0},
          {"scale_emb", 2},
          {"scale_depth", 2},
          {"dim_model_base", 2},
          {"clip_qkv", 2.0},
          {"use_parallel_residual", true},
          {"no_rope_layers", {1}},
          {"attn_logit_softcapping", 5.0},
          {"final_logit_softcapping", 5.0},
          {"rope_local_base_freq", 1e4},
          {"interleave_moe_layer_step", 1},
          {"layer_types", {"sliding_attention"}},
          {"rope_parameters",
           {{"rope_type", "yarn"},
            {"factor", 4.0},
            {"mscale", 1.0},
            {"mscale_all_dim", 1.0},
            {"llama_4_scaling_beta", 0.1},
            {"truncate", false},
            {"rope_theta", 1e4}}}};
}

class GgufView : public testing::Test {
 protected:
  Result<formats::GgufFile> open() {
    folder_.write("config.json", config_);
    folder_.write_tensors("model.safetensors", tensors_);
    return open_folder(folder_.path());
  }
  void expect_refused(ErrorCode code, std::string_view part_of_message) {
    const auto file = open();
    ASSERT_FALSE(file) << "opened, expected: " << part_of_message;
    EXPECT_EQ(file.error().code, code);
    EXPECT_THAT(file.error().message, HasSubstr(part_of_message));
  }
  static std::vector<float> numbers(const formats::GgufFile& file, std::string_view name) {
    const auto* tensor = file.find_tensor(name);
    if (tensor == nullptr || tensor->type != ElementType::kF32) return {};
    std::vector<float> out(static_cast<size_t>(tensor->elements()));
    EXPECT_TRUE(file.read(tensor->file_offset, std::as_writable_bytes(std::span(out))));
    return out;
  }

  TinyFolder folder_;
  json::object config_ = tiny_config();
  std::map<std::string, TinyTensor> tensors_ = tiny_tensors();
};

TEST_F(GgufView, NumbersAndTensorsUnderTheirGgufNames) {
  const auto file = open();
  ASSERT_TRUE(file) << file.error().message;
  const auto& metadata = file->metadata();
  EXPECT_EQ(metadata.string("general.architecture").value(), "llama");
  EXPECT_EQ(metadata.integer("llama.block_count").value(), 1);
  EXPECT_EQ(metadata.integer("llama.attention.key_length").value(), 2);
  EXPECT_EQ(metadata.integer("llama.context_length").value(), 64);
  EXPECT_EQ(metadata.number("llama.rope.freq_base").value(), 5000.0);
  EXPECT_TRUE(metadata.boolean("exo.rope.halves").value());
  EXPECT_EQ(file->tensors().size(), tensors_.size());
  EXPECT_EQ(file->find_tensor("output.weight"), nullptr);
  EXPECT_EQ(file->find_tensor("blk.0.ffn_down.weight")->shape, (std::array<int64_t, 4>{6, 4, 1, 1}));
  EXPECT_EQ(file->find_tensor("blk.0.attn_norm.weight")->n_dimensions, 1);
  EXPECT_NE(file->find_tensor("blk.0.attn_q.weight")->data.size(), 0u) << "not in place";
  EXPECT_THAT(numbers(*file, "blk.0.ffn_norm.weight"), ElementsAre(10, 11, 12, 13));
}

TEST_F(GgufView, IsTheSameWhereverItLies) {
  const auto first = open();
  const TinyFolder other;
  other.write("config.json", config_);
  other.write_tensors("model.safetensors", tensors_);
  const auto second = open_folder(other.path());
  ASSERT_TRUE(first && second);
  ASSERT_EQ(first->file_bytes(), second->file_bytes());
  std::vector<std::byte> a(first->file_bytes()), b(a.size());
  ASSERT_TRUE(first->read(0, a) && second->read(0, b));
  EXPECT_EQ(a, b);
  const auto parsed = formats::GgufFile::parse(a);  // what a peer that fetched it opens
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->tensors().size(), first->tensors().size());
}

TEST_F(GgufView, AHeadOfItsOwn) {
  tensors_["lm_head.weight"] = {{8, 4}, 100};
  EXPECT_EQ(open()->find_tensor("output.weight"), nullptr);
  config_["tie_word_embeddings"] = false;
  EXPECT_EQ(numbers(*open(), "output.weight")[0], 100.0f);
}

TEST_F(GgufView, TheSpeakingPartOfALargerModel) {
  json::object whole{{"architectures", {"Mistral3ForConditionalGeneration"}}, {"model_type", "mistral3"}};
  config_["model_type"] = "mistral";
  whole["text_config"] = config_;
  config_ = whole;
  std::map<std::string, TinyTensor> named;
  for (const auto& [name, tensor] : tensors_) named["language_model." + name] = tensor;
  named["vision_tower.patch_conv.weight"] = {{2, 2}};
  tensors_ = named;
  const auto file = open();
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->metadata().string("general.architecture").value(), "llama");
  EXPECT_EQ(file->tensors().size(), tensors_.size() - 1);
}

TEST_F(GgufView, NormsLessOneAndBothWaysOfSayingRope) {
  config_["architectures"] = {"Gemma3ForCausalLM"};
  config_["rope_parameters"] = {{"full_attention", {{"rope_type", "linear"}, {"rope_theta", 1e6}, {"factor", 8.0}}},
                                {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 1e4}}}};
  config_["sliding_window"] = 16;
  config_["layer_types"] = {"sliding_attention"};
  const auto file = open();
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_THAT(numbers(*file, "blk.0.post_attention_norm.weight"), ElementsAre(11, 12, 13, 14));
  EXPECT_EQ(file->metadata().number("gemma3.rope.freq_base").value(), 1e6);
  EXPECT_EQ(file->metadata().number("gemma3.rope.freq_base_swa").value(), 1e4);
  EXPECT_EQ(file->metadata().number("gemma3.rope.scaling.factor").value(), 8.0);
  EXPECT_THAT(file->metadata().integers("gemma3.attention.sliding_window_pattern").value(), ElementsAre(1));
  EXPECT_EQ(file->metadata().find("exo.rope.halves"), nullptr);
}

TEST_F(GgufView, FrequencyFactorsOfLongContexts) {
  config_["head_dim"] = 8;
  config_["rope_scaling"] = {{"rope_type", "llama3"},
                             {"factor", 8.0},
                             {"low_freq_factor", 1.0},
                             {"high_freq_factor", 4.0},
                             {"original_max_position_embeddings", 64}};
  const auto file = open();
  ASSERT_TRUE(file) << file.error().message;
  const auto factors = numbers(*file, "rope_freqs.weight");
  ASSERT_EQ(factors.size(), 4u);
  EXPECT_EQ(factors[0], 1.0f);
  EXPECT_GT(factors[1], 1.0f);
  EXPECT_LT(factors[1], 8.0f);
  EXPECT_EQ(factors[3], 8.0f);
}

TEST_F(GgufView, ExpertsStoredOneByOneAreUsedInPlace) {
  config_["architectures"] = {"Qwen3MoeForCausalLM"};
  config_["num_experts"] = 2;
  config_["num_experts_per_tok"] = 1;
  const std::string mlp = "model.layers.0.mlp.";
  for (const char* part : {"gate_proj", "up_proj", "down_proj"}) {
    tensors_.erase(mlp + part + ".weight");
    for (int expert = 0; expert < 2; ++expert) {
      tensors_[fmt::format("{}experts.{}.{}.weight", mlp, expert, part)] = {{4, 4},
                                                                            100.0f * static_cast<float>(expert)};
    }
  }
  tensors_[mlp + "gate.weight"] = {{2, 4}};
  const auto file = open();
  ASSERT_TRUE(file) << file.error().message;
  const auto* experts = file->find_tensor("blk.0.ffn_up_exps.weight");
  ASSERT_NE(experts, nullptr);
  EXPECT_EQ(experts->shape, (std::array<int64_t, 4>{4, 4, 2, 1}));
  ASSERT_NE(experts->content, nullptr);
  EXPECT_EQ(experts->content->parts().size(), 2u);
  EXPECT_EQ(numbers(*file, "blk.0.ffn_up_exps.weight")[16], 100.0f);

  tensors_.erase(mlp + "experts.1.up_proj.weight");
  expect_refused(ErrorCode::kNotFound, "mlp.experts.1.up_proj");
}

TEST_F(GgufView, TokenizerAndTemplatesOfTheFolder) {
  folder_.write("tokenizer.json", R"({"model":{}})");
  folder_.write("tokenizer_config.json",
                R"({"chat_template":[{"name":"default","template":"D"},{"name":"tool_use","template":"T"}]})");
  folder_.write("generation_config.json",
                R"({"eos_token_id":[2,5],"bos_token_id":1,"temperature":0.5,"top_k":20})");
  const auto file = open();
  ASSERT_TRUE(file) << file.error().message;
  const auto& metadata = file->metadata();
  EXPECT_EQ(metadata.string("tokenizer.huggingface.json").value(), R"({"model":{}})");
  EXPECT_THAT(metadata.string("tokenizer.huggingface.config").value(), HasSubstr("tool_use"));
  EXPECT_EQ(metadata.string("tokenizer.chat_template").value(), "D");
  EXPECT_EQ(metadata.string("tokenizer.chat_template.tool_use").value(), "T");
  EXPECT_THAT(metadata.integers("tokenizer.ggml.eos_token_ids").value(), ElementsAre(2, 5));
  EXPECT_EQ(metadata.integer("tokenizer.ggml.bos_token_id").value(), 1);
  EXPECT_EQ(metadata.number("general.sampling.temp").value(), 0.5);
  EXPECT_EQ(metadata.integer("general.sampling.top_k").value(), 20);
  folder_.write("chat_template.jinja", "J");
  EXPECT_EQ(open()->metadata().string("tokenizer.chat_template").value(), "J");
}

// Other programs refuse ids of another type.
TEST_F(GgufView, IdsOfSentencePiecesVocabularyAreUnsigned) {
  std::string pieces;
  for (const auto& [text, type] : {std::pair<std::string, char>{"<unk>", 2}, {"<s>", 3}, {"</s>", 3}, {"a", 1}}) {
    const std::string piece = std::string("\x0A") + static_cast<char>(text.size()) + text + "\x18" + type;
    pieces += std::string("\x0A") + static_cast<char>(piece.size()) + piece;
  }
  folder_.write("tokenizer.model", pieces + "\x12\x02\x18\x02");  // of kind BPE
  const auto file = open();
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->metadata().integer("tokenizer.ggml.eos_token_id").value(), 2);
  int ids = 0;
  for (const auto& entry : file->raw_metadata()) {
    if (!entry.key.starts_with("tokenizer.ggml.") || !entry.key.ends_with("_token_id")) continue;
    EXPECT_EQ(entry.type_and_value[0], std::byte{4}) << entry.key << ": 4 is uint32";
    ++ids;
  }
  EXPECT_GE(ids, 3);
}

TEST_F(GgufView, WhatIsNotKnownIsSaid) {
  config_["architectures"] = {"RavenForCausalLM"};
  config_["model_type"] = "raven";
  expect_refused(ErrorCode::kUnsupported, "'RavenForCausalLM' (model_type 'raven'); this build knows ");
  expect_refused(ErrorCode::kUnsupported, "Qwen3ForCausalLM");
  config_ = tiny_config();
  config_["rope_scaling"] = {{"rope_type", "spiral"}};
  expect_refused(ErrorCode::kUnsupported, "'spiral'");
  config_ = tiny_config();
  config_["quantization_config"] = {{"quant_method", "origami"}};
  expect_refused(ErrorCode::kUnsupported, "origami");
  config_ = tiny_config();
  tensors_["model.layers.0.self_attn.wind.weight"] = {{2}};
  expect_refused(ErrorCode::kUnsupported, "'model.layers.0.self_attn.wind.weight'");
  tensors_ = tiny_tensors();
  tensors_["model.layers.0.input_layernorm.bias"] = {{4}};
  EXPECT_TRUE(open());  // a bias that the file's reader judges
}

TEST_F(GgufView, WhatIsMissingOrMalformedIsSaid) {
  config_.erase("hidden_size");
  expect_refused(ErrorCode::kNotFound, "'hidden_size'");
  config_ = tiny_config();
  config_["num_hidden_layers"] = 1e9;
  expect_refused(ErrorCode::kCorrupt, "'num_hidden_layers'");
  config_["num_hidden_layers"] = -1;
  expect_refused(ErrorCode::kCorrupt, "'num_hidden_layers'");
  config_ = tiny_config();
  config_["num_key_value_heads"] = 3;
  expect_refused(ErrorCode::kCorrupt, "2 heads over 3");
  config_ = tiny_config();
  tensors_.erase("model.embed_tokens.weight");
  expect_refused(ErrorCode::kNotFound, "embed_tokens");
}

// Every family, with fields of all others: whatever a file says, it is an answer and no crash.
TEST_F(GgufView, ConfigurationsThatSayEverything) {
  config_["architectures"] = {"?"};
  config_["model_type"] = "?";
  const auto unknown = open();
  ASSERT_FALSE(unknown);
  std::string names = unknown.error().message.substr(unknown.error().message.find("knows ") + 6);
  for (size_t begin = 0; begin < names.size();) {
    const size_t end = std::min(names.find(", ", begin), names.size());
    for (const bool latent : {false, true}) {
      config_ = tiny_config();
      for (const auto& field : everything()) config_.insert_or_assign(field.key(), field.value());
      if (latent) config_["kv_lora_rank"] = 2;
      config_["architectures"] = {names.substr(begin, end - begin)};
      folder_.write("config.json", config_);
      const auto file = open_folder(folder_.path());
      EXPECT_TRUE(file || !file.error().message.empty());
    }
    begin = end + 2;
  }
}

TEST_F(GgufView, FieldsWithOddValues) {
  const json::value odd[] = {
      -1, 0, INT64_MAX, 0.5, 1e308, nullptr, "text", json::array{1, 2}, json::object{{"a", 1}}};
  size_t turn = 0;
  for (const char* family : {"LlamaForCausalLM", "Gemma3ForCausalLM", "Llama4ForCausalLM", "FalconForCausalLM"}) {
    json::object base = tiny_config();
    for (const auto& field : everything()) base.insert_or_assign(field.key(), field.value());
    base["architectures"] = {family};
    folder_.write_tensors("model.safetensors", tensors_);
    for (const auto& field : base) {
      config_ = base;
      config_[field.key()] = odd[turn++ % std::size(odd)];
      folder_.write("config.json", config_);
      const auto file = open_folder(folder_.path());
      EXPECT_TRUE(file || !file.error().message.empty());
    }
  }
}

TEST(ModelFolder, FilesThatAreMissing) {
  const TinyFolder folder;
  EXPECT_FALSE(ModelFolder::is_model_folder(folder.path()));
  EXPECT_THAT(ModelFolder::open(folder.path()).error().message, HasSubstr("no config.json"));
  folder.write("config.json", "[]");
  EXPECT_THAT(ModelFolder::open(folder.path()).error().message, HasSubstr("no JSON object"));
  folder.write("config.json", "{}");
  EXPECT_EQ(ModelFolder::open(folder.path()).error().code, ErrorCode::kNotFound);
  folder.write_tensors("model.safetensors", {{"a", {{2}}}});
  EXPECT_TRUE(ModelFolder::is_model_folder(folder.path()));
  EXPECT_TRUE(ModelFolder::open(folder.path()));
}

TEST(ModelFolder, AnIndexThatLies) {
  const TinyFolder folder;
  folder.write("config.json", "{}");
  folder.write_tensors("one.safetensors", {{"a", {{2}}}});
  const auto error_of = [&](const json::object& map) {
    folder.write("model.safetensors.index.json", json::object{{"weight_map", map}});
    const auto opened = ModelFolder::open(folder.path());
    return opened ? std::string() : opened.error().message;
  };
  EXPECT_EQ(error_of({{"a", "one.safetensors"}}), "");
  EXPECT_THAT(error_of({{"a", "one.safetensors"}, {"b", "two.safetensors"}}),
              HasSubstr("two.safetensors is missing, which holds tensor 'b'"));
  EXPECT_THAT(error_of({{"b", "one.safetensors"}}), HasSubstr("one.safetensors does not hold tensor 'b'"));
  EXPECT_THAT(error_of({{"a", "../one.safetensors"}}), HasSubstr("no usable file for tensor 'a'"));
  EXPECT_THAT(error_of({{"a", 7}}), HasSubstr("no usable file"));
  EXPECT_THAT(error_of({}), HasSubstr("lists no tensors"));
  folder.write_tensors("two.safetensors", {{"a", {{2}}}, {"b", {{2}}}});
  EXPECT_THAT(error_of({{"a", "one.safetensors"}, {"b", "two.safetensors"}}), HasSubstr("and in another file"));
}

}  // namespace
}  // namespace exo::convert
