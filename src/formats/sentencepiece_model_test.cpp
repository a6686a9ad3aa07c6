#include "formats/sentencepiece_model.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

namespace exo::formats {
namespace {

// A protobuf message that a test writes field by field.
class Message {
 public:
  Message& varint(uint32_t field, uint64_t value) {
    raw(field << 3);
    return raw(value);
  }
  Message& real(uint32_t field, float value) {
    raw(field << 3 | 5);
    const auto bits = std::bit_cast<uint32_t>(value);
    for (int i = 0; i < 4; ++i) text_ += static_cast<char>(bits >> (8 * i));
    return *this;
  }
  Message& bytes(uint32_t field, std::string_view value) {
    raw(field << 3 | 2);
    raw(value.size());
    text_ += value;
    return *this;
  }
  Message& piece(std::string_view text, float score, int type) {
    return bytes(1, Message().bytes(1, text).real(2, score).varint(3, static_cast<uint64_t>(type)).text());
  }
  const std::string& text() const { return text_; }

 private:
  Message& raw(uint64_t value) {
    for (; value >= 128; value >>= 7) text_ += static_cast<char>(value | 128);
    text_ += static_cast<char>(value);
    return *this;
  }
  std::string text_;
};

Result<SentencePieceModel> parse(std::string_view bytes) {
  return SentencePieceModel::parse(std::as_bytes(std::span(bytes.data(), bytes.size())));
}

Message example() {
  Message message;
  message.piece("<unk>", 0, 2).piece("<s>", 0, 3).piece("</s>", 0, 3).piece("<0x0A>", 0, 6);
  message.bytes(1, Message().bytes(1, "▁a").real(2, -1.5f).text());  // an ordinary piece says no kind
  message.bytes(2, Message().bytes(1, "input").varint(3, 2).varint(35, 1).varint(43, uint64_t(-1)).text());
  message.bytes(3, Message().bytes(1, "identity").bytes(2, "map").varint(3, 0).varint(4, 0).text());
  return message;
}

TEST(SentencePieceModel, ReadsWhatTheFileSays) {
  const auto model = parse(example().text());
  ASSERT_TRUE(model.has_value()) << model.error().message;
  ASSERT_EQ(model->pieces.size(), 5u);
  EXPECT_EQ(model->pieces[4].text, "▁a");
  EXPECT_EQ(model->pieces[4].score, -1.5f);
  EXPECT_EQ(model->pieces[4].type, SentencePieceModel::PieceType::kNormal);
  EXPECT_EQ(model->pieces[3].type, SentencePieceModel::PieceType::kByte);
  EXPECT_EQ(model->algorithm, SentencePieceModel::Algorithm::kBpe);
  EXPECT_TRUE(model->byte_fallback);
  EXPECT_EQ(model->unknown_id, 0);
  EXPECT_EQ(model->bos_id, 1);
  EXPECT_EQ(model->eos_id, 2);
  EXPECT_EQ(model->padding_id, -1);
  EXPECT_EQ(model->normalizer_name, "identity");
  EXPECT_EQ(model->precompiled_charsmap, "map");
  EXPECT_FALSE(model->add_dummy_prefix);
  EXPECT_FALSE(model->remove_extra_whitespaces);
  EXPECT_TRUE(model->escape_whitespaces);
}

TEST(SentencePieceModel, DefaultsOfTheFormat) {
  const auto model = parse(Message().piece("x", 0, 1).piece("<unk>", 0, 2).piece("y", 0, 1).text());
  ASSERT_TRUE(model.has_value());
  EXPECT_EQ(model->algorithm, SentencePieceModel::Algorithm::kUnigram);
  EXPECT_EQ(model->unknown_id, 1);  // by its kind, not by the default id 0
  EXPECT_EQ(model->bos_id, -1);     // the default id 1 is no control piece
  EXPECT_EQ(model->eos_id, -1);
  EXPECT_TRUE(model->add_dummy_prefix);
  EXPECT_TRUE(model->remove_extra_whitespaces);
}

TEST(SentencePieceModel, AsGgufKeys) {
  const auto model = parse(example().text());
  const auto metadata = gguf_tokenizer_metadata(*model);
  ASSERT_TRUE(metadata.has_value());
  EXPECT_EQ(metadata->string("tokenizer.ggml.model").value(), "llama");
  EXPECT_EQ(metadata->strings("tokenizer.ggml.tokens").value()[4], "▁a");
  EXPECT_EQ(metadata->integers("tokenizer.ggml.token_type").value(), (std::vector<int64_t>{2, 3, 3, 6, 1}));
  EXPECT_EQ(metadata->integers("tokenizer.ggml.precompiled_charsmap").value(),
            (std::vector<int64_t>{'m', 'a', 'p'}));
  EXPECT_EQ(metadata->integer("tokenizer.ggml.padding_token_id").value(), -1);
  EXPECT_FALSE(metadata->boolean("tokenizer.ggml.add_space_prefix").value());
  auto words = *model;
  words.algorithm = SentencePieceModel::Algorithm::kWord;
  EXPECT_EQ(gguf_tokenizer_metadata(words).error().code, ErrorCode::kUnsupported);
}

TEST(SentencePieceModel, RefusesWhatIsMalformed) {
  const std::string whole = example().text();
  for (size_t n = 0; n < whole.size(); ++n) {
    const auto cut = parse(std::string_view(whole).substr(0, n));
    if (!cut) {
      EXPECT_EQ(cut.error().code, ErrorCode::kCorrupt) << n;
    }
  }
  EXPECT_FALSE(parse("").has_value());
  EXPECT_FALSE(parse("{\"model\": {}}").has_value());
  EXPECT_FALSE(parse(Message().bytes(1, Message().varint(3, 7).text()).text()).has_value());
  EXPECT_FALSE(parse(Message().bytes(1, "\x0A\x7F").text()).has_value());  // a length behind the end
  EXPECT_FALSE(parse(Message().piece("a", std::nanf(""), 1).text()).has_value());
  EXPECT_FALSE(parse(Message().piece("a", 0, 1).bytes(2, Message().varint(3, 9).text()).text()).has_value());
}

}  // namespace
}  // namespace exo::formats
