#include "text/huggingface_steps.h"

#include <string>

#include "text/json_fields.h"
#include "text/pretokenizers.h"

namespace exo::text {
namespace {

namespace json = boost::json;

std::string escape_regex(std::string_view literal) {
  std::string out;
  for (const char c : literal) {
    if (std::string_view("\\^$.|?*+()[]{}-").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

// {"String": …} or {"Regex": …}, as a regular expression.
Result<std::string> read_pattern(const json::object& object) {
  const json::value* pattern = object.if_contains("pattern");
  if (pattern && pattern->is_object()) {
    if (const auto literal = find_string(pattern->get_object(), "String")) return escape_regex(*literal);
    if (const auto regex = find_string(pattern->get_object(), "Regex")) return std::string(*regex);
  }
  return fail(ErrorCode::kCorrupt, "tokenizer.json: a pattern is neither a String nor a Regex");
}

Result<SplitBehavior> read_behavior(const json::object& object) {
  const std::string_view name = find_string(object, "behavior").value_or("Isolated");
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return fail(ErrorCode::kUnsupported, "tokenizer.json: split behavior '{}' is not known", name);
}

class StepReader {
 public:
  Status read_normalizer(const json::value& value) {
    if (value.is_null()) return {};
    if (!value.is_object()) return fail(ErrorCode::kCorrupt, "tokenizer.json: a normalizer is no object");
    const json::object& object = value.get_object();
    const std::string_view type = find_string(object, "type").value_or("");
    if (type == "Sequence") {
      for (const json::value& step : find_array(object, "normalizers")) EXO_CHECK_OK(read_normalizer(step));
    } else if (type == "NFC") {
      steps.normalizer.add_nfc();
    } else if (type == "NFD") {
      steps.normalizer.add_nfd();
    } else if (type == "Prepend") {
      steps.normalizer.add_prepend(std::string(find_string(object, "prepend").value_or("")));
    } else if (type == "Replace") {
      EXO_CHECK_OK(read_replace(object));
    } else if (type == "Strip") {
      steps.normalizer.add_strip(find_bool(object, "strip_left").value_or(true),
                                 find_bool(object, "strip_right").value_or(true));
    } else {
      return fail(ErrorCode::kUnsupported, "tokenizer.json: normalizer '{}' is not known", type);
    }
    return {};
  }

  Status read_pre_tokenizer(const json::value& value) {
    if (value.is_null()) return {};
    if (!value.is_object()) return fail(ErrorCode::kCorrupt, "tokenizer.json: a pre-tokenizer is no object");
    const json::object& object = value.get_object();
    const std::string_view type = find_string(object, "type").value_or("");
    if (type == "Sequence") {
      for (const json::value& step : find_array(object, "pretokenizers")) EXO_CHECK_OK(read_pre_tokenizer(step));
      return {};
    }
    if (type == "Split") return read_split(object);
    if (type == "ByteLevel") return read_byte_level(object);
    if (type == "Metaspace") return read_metaspace(object);
    if (type == "Digits") {
      add(find_bool(object, "individual_digits").value_or(false) ? "\\p{N}" : "\\p{N}+");
    } else if (type == "Punctuation") {
      EXO_TRY(const SplitBehavior behavior, read_behavior(object));
      add(R"([\p{P}!-/:-@\[-`{-~])", behavior);
    } else if (type == "Whitespace") {
      add(R"(\w+|[^\w\s]+)", SplitBehavior::kRemoved, true);
    } else if (type == "WhitespaceSplit") {
      add("\\s+", SplitBehavior::kRemoved);
    } else if (type == "BertPreTokenizer") {
      add("\\s+", SplitBehavior::kRemoved);
      add(R"([\p{P}!-/:-@\[-`{-~])");
    } else if (type == "CharDelimiterSplit") {
      add(escape_regex(find_string(object, "delimiter").value_or("")), SplitBehavior::kRemoved);
    } else {
      return fail(ErrorCode::kUnsupported, "tokenizer.json: pre-tokenizer '{}' is not known", type);
    }
    return {};
  }

  HuggingFaceSteps steps;

 private:
  void add(std::string pattern, SplitBehavior behavior = SplitBehavior::kIsolated, bool invert = false) {
    steps.splits.push_back(
        {.pattern = std::move(pattern), .behavior = behavior, .invert = invert, .line_anchors = true});
  }

  Status read_replace(const json::object& object) {
    const std::string to(find_string(object, "content").value_or(""));
    const json::value* pattern = object.if_contains("pattern");
    if (pattern && pattern->is_object())
      if (const auto literal = find_string(pattern->get_object(), "String")) {
        steps.normalizer.add_replace(std::string(*literal), to);
        return {};
      }
    EXO_TRY(const std::string expression, read_pattern(object));
    EXO_TRY(SplitRegex regex, SplitRegex::compile(expression, true));
    steps.normalizer.add_replace(std::move(regex), to);
    return {};
  }

  Status read_split(const json::object& object) {
    EXO_TRY(std::string pattern, read_pattern(object));
    EXO_TRY(const SplitBehavior behavior, read_behavior(object));
    add(std::move(pattern), behavior, find_bool(object, "invert").value_or(false));
    return {};
  }

  Status read_byte_level(const json::object& object) {
    steps.byte_level = true;
    if (find_bool(object, "add_prefix_space").value_or(false)) {
      if (!steps.splits.empty())
        return fail(ErrorCode::kUnsupported,
                    "tokenizer.json: ByteLevel adds a space to words that are cut already");
      steps.normalizer.add_prefix(" ", false);
    }
    if (find_bool(object, "use_regex").value_or(true)) add(std::string(kGpt2Expression));
    return {};
  }

  // Spaces become ▁, one goes in front, and words begin at each.
  Status read_metaspace(const json::object& object) {
    if (!steps.splits.empty())
      return fail(ErrorCode::kUnsupported, "tokenizer.json: Metaspace behind another pre-tokenizer");
    const std::string mark(find_string(object, "replacement").value_or("▁"));
    const bool legacy_prefix = find_bool(object, "add_prefix_space").value_or(true);
    const std::string_view scheme =
        find_string(object, "prepend_scheme").value_or(legacy_prefix ? "always" : "never");
    steps.normalizer.add_replace(" ", mark);
    if (scheme != "never") steps.normalizer.add_prefix(mark, scheme == "first");
    if (find_bool(object, "split").value_or(true)) add(escape_regex(mark), SplitBehavior::kMergedWithNext);
    return {};
  }
};

}  // namespace

Result<HuggingFaceSteps> read_huggingface_steps(const json::value& normalizer, const json::value& pre_tokenizer) {
  StepReader reader;
  EXO_CHECK_OK(reader.read_normalizer(normalizer));
  EXO_CHECK_OK(reader.read_pre_tokenizer(pre_tokenizer));
  return std::move(reader.steps);
}

}  // namespace exo::text
