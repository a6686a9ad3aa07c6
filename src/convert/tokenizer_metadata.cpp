#include "convert/tokenizer_metadata.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "convert/config_fields.h"
#include "formats/json_fields.h"
#include "formats/sentencepiece_model.h"

namespace exo::convert {

namespace json = boost::json;

namespace {

constexpr int64_t kMostTokens = 1 << 24;

Result<json::object> parse_object(std::string_view text, std::string_view file_name) {
  json::error_code error;
  auto value = json::parse(text, error);
  if (error) return fail(ErrorCode::kCorrupt, "{}: {}", file_name, error.message());
  if (!value.is_object()) return fail(ErrorCode::kCorrupt, "{} is no JSON object", file_name);
  return std::move(value.get_object());
}

template <typename Narrow, typename Wide>
void set_list(formats::GgufWriter& writer, const std::string& key, const std::vector<Wide>& values) {
  std::vector<Narrow> narrow(values.size());
  std::ranges::transform(values, narrow.begin(), [](Wide value) { return static_cast<Narrow>(value); });
  writer.set(key, std::span<const Narrow>(narrow));
}

void set_value(formats::GgufWriter& writer, const std::string& key, const formats::GgufValue& value) {
  std::visit(
      [&](const auto& v) {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, bool>) {
          writer.set(key, v);
        } else if constexpr (std::is_same_v<T, double>) {
          writer.set(key, static_cast<float>(v));
        } else if constexpr (std::is_integral_v<T>) {
          writer.set(key, static_cast<uint32_t>(v));  // ids, which readers expect so; all ones: none
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          writer.set(key, std::span<const std::string>(v));
        } else if constexpr (std::is_same_v<T, std::vector<double>>) {
          set_list<float>(writer, key, v);
        } else {
          set_list<int32_t>(writer, key, v);
        }
      },
      value);
}

// Which special ids the vocabulary itself states: these are then not set again.
Result<bool> put_vocabulary(ViewBuilder& view) {
  auto& writer = view.metadata();
  EXO_TRY(const auto tokenizer, view.folder().text("tokenizer.json"));
  if (tokenizer) {
    writer.set("tokenizer.huggingface.json", std::string_view(*tokenizer));
    EXO_TRY(const auto config, view.folder().text("tokenizer_config.json"));
    if (config) writer.set("tokenizer.huggingface.config", std::string_view(*config));
    return false;
  }
  EXO_TRY(const auto pieces, view.folder().text("tokenizer.model"));
  if (!pieces) return false;
  EXO_TRY(const auto model, formats::SentencePieceModel::parse(std::as_bytes(std::span(*pieces))));
  EXO_TRY(const auto metadata, formats::gguf_tokenizer_metadata(model));
  for (const auto& [key, value] : metadata.values) set_value(writer, key, value);
  return true;
}

// "chat_template" is a text, or a list of {"name", "template"}.
Status put_templates(formats::GgufWriter& writer, const json::value& value) {
  if (value.is_string()) {
    writer.set("tokenizer.chat_template", std::string_view(value.get_string()));
    return {};
  }
  if (!value.is_array()) return {};
  std::vector<std::string> names;
  for (const auto& entry : value.get_array()) {
    if (!entry.is_object()) continue;
    const auto name = formats::find_string(entry.get_object(), "name");
    const auto text = formats::find_string(entry.get_object(), "template");
    if (!name || !text || std::ranges::find(names, *name) != names.end()) continue;
    names.emplace_back(*name);
    const bool is_default = *name == "default";
    writer.set(
        is_default ? std::string("tokenizer.chat_template") : fmt::format("tokenizer.chat_template.{}", *name),
        *text);
  }
  std::erase(names, "default");
  if (!names.empty()) writer.set("tokenizer.chat_templates", std::span<const std::string>(names));
  return {};
}

Status put_chat_template(ViewBuilder& view) {
  EXO_TRY(const auto own_file, view.folder().text("chat_template.jinja"));
  if (own_file) {
    view.metadata().set("tokenizer.chat_template", std::string_view(*own_file));
    return {};
  }
  for (const char* file_name : {"chat_template.json", "tokenizer_config.json"}) {
    EXO_TRY(const auto text, view.folder().text(file_name));
    if (!text) continue;
    EXO_TRY(const auto object, parse_object(*text, file_name));
    if (object.contains("chat_template")) return put_templates(view.metadata(), object.at("chat_template"));
  }
  return {};
}

// One id or a list of them; what is no id is left out.
std::vector<int32_t> ids_of(const json::value* value) {
  std::vector<int32_t> ids;
  const auto add = [&](const json::value& one) {
    const auto id = formats::as_integer(one);
    if (id && *id >= 0 && *id < kMostTokens) ids.push_back(static_cast<int32_t>(*id));
  };
  if (value == nullptr) return ids;
  if (!value->is_array()) {
    add(*value);
  } else {
    for (const auto& one : value->get_array()) add(one);
  }
  return ids;
}

std::vector<int32_t> find_ids(const ModelFolder& folder, std::string_view name) {
  const auto* stated = folder.generation_config().if_contains(name);
  if (stated != nullptr && !stated->is_null()) return ids_of(stated);
  return ids_of(ConfigFields(folder.config()).find({name}));
}

void put_special_ids(ViewBuilder& view, bool vocabulary_has_its_own) {
  auto& writer = view.metadata();
  const auto ends = find_ids(view.folder(), "eos_token_id");
  if (!ends.empty()) writer.set("tokenizer.ggml.eos_token_ids", std::span<const int32_t>(ends));
  if (vocabulary_has_its_own) return;
  const auto put_first = [&](const std::vector<int32_t>& ids, const char* key) {
    if (!ids.empty()) writer.set(key, static_cast<uint32_t>(ids[0]));
  };
  put_first(ends, "tokenizer.ggml.eos_token_id");
  put_first(find_ids(view.folder(), "bos_token_id"), "tokenizer.ggml.bos_token_id");
  put_first(find_ids(view.folder(), "pad_token_id"), "tokenizer.ggml.padding_token_id");
}

// What the model's makers sample with.
void put_sampling(ViewBuilder& view) {
  const auto& generation = view.folder().generation_config();
  const auto put = [&](const char* field, const char* key) {
    const auto value = formats::as_number(formats::find_value(generation, field));
    if (value) view.metadata().set(key, static_cast<float>(*value));
  };
  if (!formats::find_bool(generation, "do_sample").value_or(true)) return;
  put("temperature", "general.sampling.temp");
  put("top_p", "general.sampling.top_p");
  put("min_p", "general.sampling.min_p");
  put("repetition_penalty", "general.sampling.penalty_repeat");
  const auto top_k = formats::as_integer(formats::find_value(generation, "top_k"));
  if (top_k && *top_k >= 0 && *top_k < kMostTokens) {
    view.metadata().set("general.sampling.top_k", static_cast<int32_t>(*top_k));
  }
}

}  // namespace

Status put_tokenizer(ViewBuilder& view) {
  EXO_TRY(const bool has_its_own_ids, put_vocabulary(view));
  EXO_CHECK_OK(put_chat_template(view));
  put_special_ids(view, has_its_own_ids);
  put_sampling(view);
  return {};
}

}  // namespace exo::convert
