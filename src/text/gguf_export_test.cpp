#include "text/gguf_export.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "text/byte_alphabet.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

namespace exo::text {
namespace {

namespace json = boost::json;

constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

json::object added(int32_t id, std::string_view content, bool special) {
  return {{"id", id}, {"content", content}, {"special", special}};
}

// All bytes, and "th", " th", " the".
json::object byte_level(std::string_view expression) {
  json::object vocab;
  int32_t next = 0;
  for (int byte = 0; byte < 256; ++byte)
    vocab[encode_byte_alphabet(std::string(1, static_cast<char>(byte)))] = next++;
  for (const char* token : {"th", "Ġth", "Ġthe"}) vocab[token] = next++;
  return {
      {"pre_tokenizer",
       {{"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "Split"}, {"pattern", {{"Regex", expression}}}, {"behavior", "Isolated"}, {"invert", false}},
          {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"added_tokens", {added(next, "<|end|>", true), added(next + 1, "<think>", false)}},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", {"t h", "Ġ th", "Ġth e"}}}}};
}

// SentencePiece's BPE as Hugging Face writes it down.
json::object pieces() {
  json::object vocab{{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
  int32_t next = 3;
  for (int byte = 0; byte < 256; ++byte) vocab[fmt::format("<0x{:02X}>", byte)] = next++;
  for (const char* token : {"▁", "t", "h", "e", "a", "▁t", "he", "▁the"}) vocab[token] = next++;
  return {{"normalizer",
           {{"type", "Sequence"},
            {"normalizers",
             {{{"type", "Prepend"}, {"prepend", "▁"}},
              {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}}}}}},
          {"post_processor",
           {{"type", "TemplateProcessing"},
            {"single", {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}}},
            {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {1}}, {"tokens", {"<s>"}}}}}}}},
          {"decoder",
           {{"type", "Sequence"},
            {"decoders",
             {{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
              {{"type", "ByteFallback"}},
              {{"type", "Fuse"}},
              {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}},
          {"added_tokens", {added(0, "<unk>", true), added(1, "<s>", true), added(2, "</s>", true)}},
          {"model",
           {{"type", "BPE"},
            {"unk_token", "<unk>"},
            {"fuse_unk", true},
            {"byte_fallback", true},
            {"vocab", vocab},
            {"merges", {"h e", "▁ t", "▁t he"}}}}};
}

formats::GgufMetadata folder(const json::object& tokenizer, std::string_view config = "{}") {
  formats::GgufMetadata metadata;
  metadata.values["tokenizer.huggingface.json"] = json::serialize(tokenizer);
  metadata.values["tokenizer.huggingface.config"] = std::string(config);
  return metadata;
}

// As another program reads it from the file.
formats::GgufMetadata through_a_file(const GgufTokenizer& tokenizer, const formats::GgufMetadata& known = {}) {
  formats::GgufWriter writer;
  writer.set("general.architecture", "llama");
  tokenizer.put(writer, known);
  writer.add_tensor("t", ElementType::kF32, {8});
  const auto bytes = writer.encode([](auto&, uint64_t, auto) { return Status(); }).value();
  return formats::GgufFile::parse(bytes).value().metadata();
}

constexpr std::string_view kTexts[] = {"the thing, then: 12 of them", " the  the\n\nthe", "naïve 数 the🙂",
                                       "a<think>the</s><|end|>"};

void expect_same(const formats::GgufMetadata& one, const formats::GgufMetadata& other) {
  const auto first = load_tokenizer(one), second = load_tokenizer(other);
  ASSERT_TRUE(first) << first.error().message;
  ASSERT_TRUE(second) << second.error().message;
  for (const auto text : kTexts)
    for (const bool special : {false, true}) {
      const EncodeOptions options{.add_special = special, .parse_special = special};
      EXPECT_EQ((*first)->encode(text, options), (*second)->encode(text, options)) << text;
    }
  EXPECT_EQ((*first)->special().bos, (*second)->special().bos);
  EXPECT_EQ((*first)->special().eos, (*second)->special().eos);
}

TEST(GgufExport, ByteLevelBpeWithASplitThatHasAName) {
  const auto original = folder(byte_level(kQwen2), R"({"eos_token": "<|end|>"})");
  const auto made = export_tokenizer(original, 300);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->model, "gpt2");
  EXPECT_EQ(made->pre, "stablelm2") << "qwen2 composes characters, this one does not";
  EXPECT_EQ(made->tokens.size(), 300u);
  EXPECT_EQ(made->tokens[299], "[PAD299]");
  EXPECT_EQ(made->merges, (std::vector<std::string>{"t h", "Ġ th", "Ġth e"}));
  const auto file = through_a_file(*made);
  EXPECT_EQ(file.integers("tokenizer.ggml.token_type").value()[259], static_cast<int>(TokenType::kControl));
  EXPECT_EQ(file.integers("tokenizer.ggml.token_type").value()[260], static_cast<int>(TokenType::kUserDefined));
  EXPECT_EQ(file.integers("tokenizer.ggml.token_type").value()[299], static_cast<int>(TokenType::kUnused));
  EXPECT_EQ(file.integer("tokenizer.ggml.eos_token_id"), 259);
  expect_same(original, file);
}

TEST(GgufExport, ComposedCharactersHaveANameOfTheirOwn) {
  auto tokenizer = byte_level(kQwen2);
  tokenizer["normalizer"] = {{"type", "NFC"}};
  const auto made = export_tokenizer(folder(tokenizer), 0);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->pre, "qwen2");
}

TEST(GgufExport, PiecesOfSentencePiece) {
  const auto original = folder(pieces(), R"({"bos_token": "<s>", "eos_token": "</s>"})");
  const auto made = export_tokenizer(original, 0);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->model, "llama");
  EXPECT_TRUE(made->adds_bos);
  EXPECT_TRUE(made->space_prefix.value());
  EXPECT_EQ(made->types[0], static_cast<int>(TokenType::kUnknown));
  EXPECT_EQ(made->types[3], static_cast<int>(TokenType::kByte));
  expect_same(original, through_a_file(*made));
}

// As in DeepSeek's files.
TEST(GgufExport, LineEndsOfAnExpressionMayBeWrittenAsTheyAre) {
  std::string expression(kQwen2);
  for (const auto& [escaped, plain] : {std::pair{"\\r", "\r"}, std::pair{"\\n", "\n"}})
    for (size_t at; (at = expression.find(escaped)) != std::string::npos;) expression.replace(at, 2, plain);
  const auto made = export_tokenizer(folder(byte_level(expression)), 0);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->pre, "stablelm2");
}

TEST(GgufExport, WhatTheKeysCannotSayIsLeftOut) {
  EXPECT_FALSE(export_tokenizer(folder(byte_level(R"(\p{L}{1,7}|.)")), 0)) << "a split without a name";
  auto prefixed = byte_level(kQwen2);
  prefixed["pre_tokenizer"].at("pretokenizers").at(1).as_object()["add_prefix_space"] = true;
  EXPECT_FALSE(export_tokenizer(folder(prefixed), 0));
  auto lower = byte_level(kQwen2);
  lower["normalizer"] = {{"type", "Lowercase"}};
  EXPECT_FALSE(export_tokenizer(folder(lower), 0));
  EXPECT_FALSE(export_tokenizer({}, 0));
  auto both = folder(byte_level(kQwen2));
  both.values["tokenizer.ggml.model"] = std::string("gpt2");
  EXPECT_FALSE(export_tokenizer(both, 0)) << "it has them already";
}

TEST(GgufExport, KeysThatTheFileHasAreNotSetAgain) {
  const auto made = export_tokenizer(folder(byte_level(kQwen2), R"({"eos_token": "<|end|>"})"), 0);
  ASSERT_TRUE(made);
  formats::GgufMetadata known;
  known.values["tokenizer.ggml.eos_token_id"] = int64_t{7};
  EXPECT_EQ(through_a_file(*made, known).find("tokenizer.ggml.eos_token_id"), nullptr);
}

}  // namespace
}  // namespace exo::text
