// The part of GgufTokenizer that knows the keys.

#include "text/gguf_export.h"

namespace exo::text {
namespace {

// Calls `set` with every key and its value.
template <typename Set>
void each_key(const GgufTokenizer& tokenizer, const Set& set) {
  const auto key = [](std::string_view name) { return fmt::format("tokenizer.ggml.{}", name); };
  set(key("model"), tokenizer.model);
  if (!tokenizer.pre.empty()) set(key("pre"), tokenizer.pre);
  set(key("tokens"), tokenizer.tokens);
  set(key("token_type"), tokenizer.types);
  if (!tokenizer.scores.empty()) set(key("scores"), tokenizer.scores);
  if (tokenizer.model == "gpt2") set(key("merges"), tokenizer.merges);
  const auto id = [&](std::string_view name, const std::optional<TokenId>& token) {
    if (token) set(key(name), static_cast<uint32_t>(token->value));
  };
  id("bos_token_id", tokenizer.bos);
  id("eos_token_id", tokenizer.eos);
  id("unknown_token_id", tokenizer.unknown);
  id("padding_token_id", tokenizer.padding);
  set(key("add_bos_token"), tokenizer.adds_bos);
  set(key("add_eos_token"), tokenizer.adds_eos);
  if (tokenizer.space_prefix) set(key("add_space_prefix"), *tokenizer.space_prefix);
}

}  // namespace

formats::GgufMetadata GgufTokenizer::metadata() const {
  formats::GgufMetadata result;
  each_key(*this, [&](const std::string& key, const auto& value) {
    using T = std::decay_t<decltype(value)>;
    auto& place = result.values[key];
    if constexpr (std::is_same_v<T, std::vector<int32_t>>) {
      place = std::vector<int64_t>(value.begin(), value.end());
    } else if constexpr (std::is_same_v<T, std::vector<float>>) {
      place = std::vector<double>(value.begin(), value.end());
    } else if constexpr (std::is_same_v<T, uint32_t>) {
      place = int64_t{value};
    } else {
      place = value;
    }
  });
  return result;
}

void GgufTokenizer::put(formats::GgufWriter& writer, const formats::GgufMetadata& known) const {
  each_key(*this, [&](const std::string& key, const auto& value) {
    using T = std::decay_t<decltype(value)>;
    if (known.find(key) != nullptr) return;
    if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      writer.set(key, std::span<const std::string>(value));
    } else if constexpr (std::is_same_v<T, std::vector<int32_t>>) {
      writer.set(key, std::span<const int32_t>(value));
    } else if constexpr (std::is_same_v<T, std::vector<float>>) {
      writer.set(key, std::span<const float>(value));
    } else if constexpr (std::is_same_v<T, std::string>) {
      writer.set(key, std::string_view(value));
    } else {
      writer.set(key, value);
    }
  });
}

}  // namespace exo::text
