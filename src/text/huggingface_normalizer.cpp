#include "text/huggingface_normalizer.h"

#include "base/base64.h"
#include "text/huggingface_steps.h"
#include "text/json_fields.h"

namespace exo::text {
namespace {

namespace json = boost::json;

constexpr size_t kMaxNesting = 32;

Status add_replace(std::string_view expression, std::string to, TextNormalizer& normalizer) {
  EXO_TRY(SplitRegex regex, SplitRegex::compile(expression, true));
  normalizer.add_replace(std::move(regex), std::move(to));
  return {};
}

Status read_replace(const json::object& object, TextNormalizer& normalizer) {
  const std::string to(find_string(object, "content").value_or(""));
  const json::value* pattern = object.if_contains("pattern");
  if (pattern && pattern->is_object())
    if (const auto literal = find_string(pattern->get_object(), "String")) {
      normalizer.add_replace(std::string(*literal), to);
      return {};
    }
  EXO_TRY(const std::string expression, read_huggingface_pattern(object));
  return add_replace(expression, to, normalizer);
}

Status read_bert(const json::object& object, TextNormalizer& normalizer) {
  const bool lowercase = find_bool(object, "lowercase").value_or(true);
  if (find_bool(object, "clean_text").value_or(true)) {
    EXO_CHECK_OK(add_replace(R"([\x{0}\x{FFFD}]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}])", "", normalizer));
    EXO_CHECK_OK(add_replace(R"(\s)", " ", normalizer));
  }
  if (find_bool(object, "handle_chinese_chars").value_or(true)) {
    EXO_TRY(SplitRegex ideograph, SplitRegex::compile(kCjkIdeograph));
    normalizer.add_surround(std::move(ideograph), " ");
  }
  if (find_bool(object, "strip_accents").value_or(lowercase)) {
    normalizer.add_nfd();
    EXO_CHECK_OK(add_replace(R"(\p{Mn})", "", normalizer));
  }
  if (lowercase) normalizer.add_lowercase();
  return {};
}

// The rules that SentencePiece's "nmt" normalisation has beyond NFKC.
Status read_nmt(TextNormalizer& normalizer) {
  EXO_CHECK_OK(add_replace(R"([\x{1}-\x{8}\x{B}\x{E}-\x{1F}\x{7F}\x{8F}\x{9F}])", "", normalizer));
  return add_replace(R"([\x{9}\x{A}\x{C}\x{D}\x{1680}\x{200B}-\x{200F}\x{2028}\x{2029}\x{2581}\x{FEFF}\x{FFFD}])",
                     " ", normalizer);
}

Status read_precompiled(const json::object& object, TextNormalizer& normalizer) {
  const std::string_view text = find_string(object, "precompiled_charsmap").value_or("");
  if (text.empty()) return {};
  const auto blob = decode_base64(text);
  if (!blob) return fail(ErrorCode::kCorrupt, "tokenizer.json: the character map is no base64");
  EXO_TRY(auto map, CharacterMap::parse(*blob));
  EXO_TRY(auto clusters, SplitRegex::compile(R"(\X)"));
  normalizer.add_character_map_by_cluster(std::move(map), std::move(clusters));
  return {};
}

Status read_step(const json::value& value, TextNormalizer& normalizer, bool& writes_byte_alphabet, size_t depth) {
  if (value.is_null()) return {};
  if (!value.is_object()) return fail(ErrorCode::kCorrupt, "tokenizer.json: a normalizer is no object");
  if (depth > kMaxNesting) return fail(ErrorCode::kCorrupt, "tokenizer.json: normalizers nest too deeply");
  const json::object& object = value.get_object();
  const std::string_view type = find_string(object, "type").value_or("");
  if (type == "Sequence") {
    for (const json::value& step : find_array(object, "normalizers"))
      EXO_CHECK_OK(read_step(step, normalizer, writes_byte_alphabet, depth + 1));
    return {};
  }
  if (type == "Replace") return read_replace(object, normalizer);
  if (type == "BertNormalizer") return read_bert(object, normalizer);
  if (type == "Nmt") return read_nmt(normalizer);
  if (type == "Precompiled") return read_precompiled(object, normalizer);
  if (type == "StripAccents") return add_replace(R"(\p{M})", "", normalizer);
  if (type == "NFC") {
    normalizer.add_nfc();
  } else if (type == "NFD") {
    normalizer.add_nfd();
  } else if (type == "NFKC") {
    normalizer.add_nfkc();
  } else if (type == "NFKD") {
    normalizer.add_nfkd();
  } else if (type == "Lowercase") {
    normalizer.add_lowercase();
  } else if (type == "Prepend") {
    normalizer.add_prepend(std::string(find_string(object, "prepend").value_or("")));
  } else if (type == "Strip") {
    normalizer.add_strip(find_bool(object, "strip_left").value_or(true),
                         find_bool(object, "strip_right").value_or(true));
  } else if (type == "ByteLevel") {
    normalizer.add_byte_alphabet();
    writes_byte_alphabet = true;
  } else {
    return fail(ErrorCode::kUnsupported, "tokenizer.json: normalizer '{}' is not known", type);
  }
  return {};
}

}  // namespace

Status read_huggingface_normalizer(const json::value& value, TextNormalizer& normalizer,
                                   bool& writes_byte_alphabet) {
  return read_step(value, normalizer, writes_byte_alphabet, 0);
}

}  // namespace exo::text
