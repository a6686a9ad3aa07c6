#include "text/stated_ids.h"

#include <algorithm>
#include <utility>

namespace exo::text {
namespace {

constexpr const char* kEndIds = "tokenizer.ggml.eos_token_ids";

class WithStatedIds final : public Tokenizer {
 public:
  WithStatedIds(std::unique_ptr<Tokenizer> base, SpecialTokens special)
      : base_(std::move(base)), special_(std::move(special)) {}

  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const override {
    return base_->encode(text, options);
  }
  std::string piece(TokenId token, bool render_special) const override {
    return base_->piece(token, render_special);
  }
  int32_t vocabulary_size() const override { return base_->vocabulary_size(); }
  const SpecialTokens& special() const override { return special_; }
  bool is_control(TokenId token) const override { return base_->is_control(token); }
  bool strips_leading_space() const override { return base_->strips_leading_space(); }
  std::string_view token_text(TokenId token) const override { return base_->token_text(token); }
  std::optional<TokenId> find_token(std::string_view text) const override { return base_->find_token(text); }
  bool adds_bos() const override { return base_->adds_bos(); }

 private:
  std::unique_ptr<Tokenizer> base_;
  SpecialTokens special_;
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> with_stated_ids(std::unique_ptr<Tokenizer> tokenizer,
                                                   const formats::GgufMetadata& metadata) {
  if (metadata.find(kEndIds) == nullptr) return tokenizer;
  EXO_TRY(const auto ids, metadata.integers(kEndIds));
  auto special = tokenizer->special();
  auto& ends = special.end_of_generation;
  for (const int64_t id : ids) {
    if (id < 0 || id >= tokenizer->vocabulary_size()) continue;
    const TokenId token(static_cast<int32_t>(id));
    if (std::ranges::find(ends, token) == ends.end()) ends.push_back(token);
    if (!special.eos) special.eos = token;
  }
  std::ranges::sort(ends);
  return std::make_unique<WithStatedIds>(std::move(tokenizer), std::move(special));
}

}  // namespace exo::text
