#include "text/huggingface_steps.h"

#include "text/huggingface_normalizer.h"
#include "text/json_fields.h"
#include "text/pretokenizers.h"

namespace exo::text {
namespace {

namespace json = boost::json;

constexpr std::string_view kPunctuation = R"([\p{P}!-/:-@\[-`{-~])";
constexpr size_t kMaxNesting = 32;

std::string escape_regex(std::string_view literal) {
  std::string out;
  for (const char c : literal) {
    if (std::string_view("\\^$.|?*+()[]{}-").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
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

class PreTokenizerReader {
 public:
  Status read(const json::value& value, size_t depth = 0) {
    if (value.is_null()) return {};
    if (!value.is_object()) return fail(ErrorCode::kCorrupt, "tokenizer.json: a pre-tokenizer is no object");
    if (depth > kMaxNesting) return fail(ErrorCode::kCorrupt, "tokenizer.json: pre-tokenizers nest too deeply");
    const json::object& object = value.get_object();
    const std::string_view type = find_string(object, "type").value_or("");
    if (type == "Sequence") {
      for (const json::value& step : find_array(object, "pretokenizers")) EXO_CHECK_OK(read(step, depth + 1));
    } else if (type == "Split") {
      EXO_TRY(std::string pattern, read_huggingface_pattern(object));
      EXO_TRY(const SplitBehavior behavior, read_behavior(object));
      add(std::move(pattern), behavior, find_bool(object, "invert").value_or(false));
    } else if (type == "ByteLevel") {
      read_byte_level(object);
    } else if (type == "Metaspace") {
      return read_metaspace(object);
    } else if (type == "Digits") {
      add(find_bool(object, "individual_digits").value_or(false) ? "\\p{N}" : "\\p{N}+");
    } else if (type == "Punctuation") {
      EXO_TRY(const SplitBehavior behavior, read_behavior(object));
      add(std::string(kPunctuation), behavior);
    } else if (type == "Whitespace") {
      add(R"(\w+|[^\w\s]+)", SplitBehavior::kRemoved, true);
    } else if (type == "WhitespaceSplit") {
      add("\\s", SplitBehavior::kRemoved);
    } else if (type == "BertPreTokenizer") {
      add("\\s", SplitBehavior::kRemoved);
      add(std::string(kPunctuation));
    } else if (type == "CharDelimiterSplit") {
      const std::string_view delimiter = find_string(object, "delimiter").value_or("");
      if (delimiter.empty()) return fail(ErrorCode::kCorrupt, "tokenizer.json: CharDelimiterSplit at nothing");
      add(escape_regex(delimiter), SplitBehavior::kRemoved);
    } else if (type == "FixedLength") {
      const auto length = as_integer(find_value(object, "length")).value_or(0);
      if (length < 1) return fail(ErrorCode::kCorrupt, "tokenizer.json: FixedLength needs a length");
      steps.push_back({.kind = SplitStep::Kind::kFixedLength, .length = static_cast<size_t>(length)});
    } else {
      return fail(ErrorCode::kUnsupported, "tokenizer.json: pre-tokenizer '{}' is not known", type);
    }
    return {};
  }

  std::vector<SplitStep> steps;
  bool byte_level = false;

 private:
  void add(std::string pattern, SplitBehavior behavior = SplitBehavior::kIsolated, bool invert = false) {
    steps.push_back({.pattern = std::move(pattern), .behavior = behavior, .invert = invert, .line_anchors = true});
  }

  void read_byte_level(const json::object& object) {
    if (find_bool(object, "add_prefix_space").value_or(true))
      steps.push_back({.kind = SplitStep::Kind::kPrefix, .text = " "});
    if (find_bool(object, "use_regex").value_or(true)) add(std::string(kGpt2Expression));
    steps.push_back({.kind = SplitStep::Kind::kByteAlphabet});
    byte_level = true;
  }

  // Spaces become ▁, one goes in front, and words begin at each.
  Status read_metaspace(const json::object& object) {
    const std::string mark(find_string(object, "replacement").value_or("▁"));
    if (mark.empty()) return fail(ErrorCode::kCorrupt, "tokenizer.json: Metaspace has no replacement");
    const bool legacy_prefix = find_bool(object, "add_prefix_space").value_or(true);
    const std::string_view scheme =
        find_string(object, "prepend_scheme").value_or(legacy_prefix ? "always" : "never");
    steps.push_back({.kind = SplitStep::Kind::kReplaceSpaces, .text = mark});
    if (scheme == "always") {
      steps.push_back({.kind = SplitStep::Kind::kPrefix, .text = mark});
    } else if (scheme == "first") {
      steps.push_back({.kind = SplitStep::Kind::kPrefixAtStart, .text = mark});
    } else if (scheme != "never") {
      return fail(ErrorCode::kUnsupported, "tokenizer.json: prepend_scheme '{}' is not known", scheme);
    }
    if (find_bool(object, "split").value_or(true)) add(escape_regex(mark), SplitBehavior::kMergedWithNext);
    return {};
  }
};

}  // namespace

// U+2B920 is what BERT's implementations have, though the block begins at U+2B820.
const std::string_view kCjkIdeograph =
    R"([\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}\x{2B740}-\x{2B81F})"
    R"(\x{2B920}-\x{2CEAF}\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}])";

Result<std::string> read_huggingface_pattern(const json::object& object) {
  const json::value* pattern = object.if_contains("pattern");
  if (pattern && pattern->is_object()) {
    if (const auto literal = find_string(pattern->get_object(), "String")) return escape_regex(*literal);
    if (const auto regex = find_string(pattern->get_object(), "Regex")) return std::string(*regex);
  }
  return fail(ErrorCode::kCorrupt, "tokenizer.json: a pattern is neither a String nor a Regex");
}

Result<HuggingFaceSteps> read_huggingface_steps(const json::value& normalizer, const json::value& pre_tokenizer) {
  HuggingFaceSteps steps;
  bool normalizer_writes_alphabet = false;
  EXO_CHECK_OK(read_huggingface_normalizer(normalizer, steps.normalizer, normalizer_writes_alphabet));
  PreTokenizerReader reader;
  EXO_CHECK_OK(reader.read(pre_tokenizer));
  steps.byte_level = normalizer_writes_alphabet || reader.byte_level;
  steps.splits = std::move(reader.steps);
  if (steps.byte_level) {
    // Written and read back at once is nothing.
    if (!steps.splits.empty() && steps.splits.back().kind == SplitStep::Kind::kByteAlphabet &&
        !normalizer_writes_alphabet)
      steps.splits.pop_back();
    else
      steps.splits.push_back({.kind = SplitStep::Kind::kFromByteAlphabet});
  }
  return steps;
}

}  // namespace exo::text
