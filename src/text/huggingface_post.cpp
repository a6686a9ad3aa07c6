#include "text/huggingface_post.h"

#include "text/json_fields.h"

namespace exo::text {
namespace {

namespace json = boost::json;

constexpr size_t kMaxNesting = 32;

// What TemplateProcessing and its like put around a single text.
class PostProcessorReader {
 public:
  explicit PostProcessorReader(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

  Status read(const json::value& value, size_t depth = 0) {
    if (value.is_null()) return {};
    if (depth > kMaxNesting) return fail(ErrorCode::kCorrupt, "tokenizer.json: post-processors nest too deeply");
    if (!value.is_object()) return fail(ErrorCode::kCorrupt, "tokenizer.json: the post-processor is no object");
    const json::object& object = value.get_object();
    const std::string_view type = find_string(object, "type").value_or("");
    if (type == "Sequence") {
      for (const json::value& step : find_array(object, "processors")) EXO_CHECK_OK(read(step, depth + 1));
    } else if (type == "TemplateProcessing") {
      result.has_template = true;
      EXO_CHECK_OK(read_template(object));
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
      result.has_template = true;
      EXO_CHECK_OK(read_pair(find_value(object, "cls"), result.before));
      EXO_CHECK_OK(read_pair(find_value(object, "sep"), result.after));
    } else if (type != "ByteLevel") {
      return fail(ErrorCode::kUnsupported, "tokenizer.json: post-processor '{}' is not known", type);
    }
    return {};
  }

  HuggingFacePost result;

 private:
  Status put(const json::value& value, std::vector<TokenId>& side) const {
    const auto id = as_integer(value);
    if (!id || *id < 0 || *id >= vocabulary_.size())
      return fail(ErrorCode::kCorrupt, "tokenizer.json: the post-processor names a token outside the vocabulary");
    side.push_back(TokenId(static_cast<int32_t>(*id)));
    return {};
  }

  Status read_pair(const json::value& pair, std::vector<TokenId>& side) const {
    if (!pair.is_array() || pair.get_array().size() != 2)
      return fail(ErrorCode::kCorrupt, "tokenizer.json: the post-processor's cls or sep is malformed");
    return put(pair.get_array()[1], side);
  }

  Status read_template(const json::object& object) {
    const json::value& specials = find_value(object, "special_tokens");
    bool seen_text = false;
    for (const json::value& part : find_array(object, "single")) {
      if (!part.is_object()) return fail(ErrorCode::kCorrupt, "tokenizer.json: the template is malformed");
      if (part.get_object().contains("Sequence")) seen_text = true;
      const json::value& special = find_value(part.get_object(), "SpecialToken");
      if (!special.is_object()) continue;
      const std::string_view name = find_string(special.get_object(), "id").value_or("");
      const json::value& entry = specials.is_object() ? find_value(specials.get_object(), name) : specials;
      if (!entry.is_object())
        return fail(ErrorCode::kCorrupt, "tokenizer.json: the template's '{}' is not described", name);
      for (const json::value& id : find_array(entry.get_object(), "ids"))
        EXO_CHECK_OK(put(id, seen_text ? result.after : result.before));
    }
    return {};
  }

  const Vocabulary& vocabulary_;
};

}  // namespace

Result<HuggingFacePost> read_huggingface_post(const json::value& value, const Vocabulary& vocabulary) {
  PostProcessorReader reader(vocabulary);
  EXO_CHECK_OK(reader.read(value));
  return std::move(reader.result);
}

}  // namespace exo::text
