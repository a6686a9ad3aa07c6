#include "app/inspect.h"

#include <boost/json/serialize.hpp>

#include "app/live_view.h"
#include "model/load.h"
#include "text/tokenizer.h"

namespace exo::app {
namespace json = boost::json;

namespace {

constexpr size_t kShownElements = 8;
constexpr size_t kShownText = 160;

std::string shorten(std::string text) {
  for (char& c : text) {
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  }
  if (text.size() > kShownText) text = text.substr(0, kShownText) + "…";
  return text;
}

std::string value_text(const formats::GgufValue& value) {
  return std::visit(
      [](const auto& v) -> std::string {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string>) {
          return shorten(v);
        } else if constexpr (requires { v.begin(); }) {
          std::string text = fmt::format("[{}] ", v.size());
          for (size_t i = 0; i < std::min(v.size(), kShownElements); ++i) {
            if constexpr (std::is_same_v<T, std::vector<std::string>>)
              text += shorten(v[i]) + " ";
            else if constexpr (std::is_same_v<T, std::vector<bool>>)
              text += bool(v[i]) ? "true " : "false ";
            else
              text += fmt::format("{} ", v[i]);
          }
          return v.size() > kShownElements ? text + "…" : text;
        } else {
          return fmt::format("{}", v);
        }
      },
      value);
}

std::string shape_text(const formats::TensorView& tensor) {
  std::string text;
  for (int i = 0; i < tensor.n_dimensions; ++i) text += fmt::format("{}{}", i == 0 ? "" : " × ", tensor.shape[i]);
  return text;
}

json::object summary_json(const formats::GgufFile& file, const Result<model::ModelInfo>& info) {
  json::object object{{"file_bytes", file.file_bytes()}, {"n_tensors", file.tensors().size()}};
  if (!info) {
    object["problem"] = info.error().message;
    return object;
  }
  object["name"] = info->name;
  object["architecture"] = info->architecture;
  object["weight_type"] = info->weight_type;
  object["n_layers"] = info->n_layers;
  object["d_model"] = info->d_model;
  object["n_vocab"] = info->n_vocab;
  object["context_length"] = info->context_length;
  object["n_parameters"] = info->n_parameters;
  return object;
}

}  // namespace

Result<std::string> inspect(const formats::GgufFile& file, bool metadata, bool tensors, const std::string& output) {
  const auto info = model::read_model_info(file);
  const auto tokenizer = text::load_tokenizer(file.metadata());
  if (output == "json") {
    auto object = summary_json(file, info);
    json::object keys;
    for (const auto& [key, value] : file.metadata().values) keys[key] = value_text(value);
    if (metadata) object["metadata"] = std::move(keys);
    json::array list;
    for (const auto& tensor : file.tensors()) {
      list.push_back(
          json::object{{"name", tensor.name},
                       {"type", exo::info(tensor.type).name},
                       {"shape", json::array(tensor.shape.begin(), tensor.shape.begin() + tensor.n_dimensions)},
                       {"offset", tensor.file_offset},
                       {"bytes", tensor.bytes()}});
    }
    if (tensors) object["tensors"] = std::move(list);
    return json::serialize(object) + "\n";
  }
  std::string text;
  auto out = std::back_inserter(text);
  if (info) {
    uint64_t kv = 0, most = 0, state = 0;
    for (uint64_t bytes : info->state_bytes) state += bytes;
    for (uint64_t bytes : info->kv_bytes_per_position) kv += bytes;
    for (uint64_t bytes : info->layer_bytes) most = std::max(most, bytes);
    fmt::format_to(out, "name          {}\narchitecture  {}\nparameters    {:.2f} billion\nweights       {}, {}\n",
                   info->name, info->architecture, double(info->n_parameters) / 1e9, info->weight_type,
                   human_bytes(file.file_bytes()));
    fmt::format_to(out, "layers        {}, at most {} each; embedding {}, head {}\n", info->n_layers,
                   human_bytes(most), human_bytes(info->embedding_bytes), human_bytes(info->head_bytes));
    fmt::format_to(out, "width         {}; vocabulary {}; trained context {}\n", info->d_model, info->n_vocab,
                   info->context_length);
    fmt::format_to(out, "KV cache      {} per token of context (F16)\n", human_bytes(kv));
    if (state > 0) fmt::format_to(out, "state         {} per sequence\n", human_bytes(state));
  } else {
    fmt::format_to(out, "cannot be run: {}\n", info.error().message);
  }
  fmt::format_to(out, "tokenizer     {}\n",
                 tokenizer ? fmt::format("{} tokens", (*tokenizer)->vocabulary_size()) : tokenizer.error().message);
  fmt::format_to(out, "chat template {}\n",
                 file.metadata().find("tokenizer.chat_template") != nullptr ? "its own" : "none; ChatML is used");
  if (metadata) {
    fmt::format_to(out, "\n");
    for (const auto& [key, value] : file.metadata().values)
      fmt::format_to(out, "{} = {}\n", key, value_text(value));
  }
  if (tensors) {
    fmt::format_to(out, "\n");
    for (const auto& tensor : file.tensors()) {
      fmt::format_to(out, "{:<40} {:<8} {:<24} {}\n", tensor.name, exo::info(tensor.type).name, shape_text(tensor),
                     human_bytes(tensor.bytes()));
    }
  }
  return text;
}

}  // namespace exo::app
