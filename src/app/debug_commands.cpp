#include "app/debug_commands.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <iostream>
#include <iterator>

#include "convert/quantised_view.h"
#include "kernels/dequantize.h"
#include "model/encoder.h"
#include "model/reference_run.h"
#include "ops/cpu/cpu_ops.h"

namespace exo::app {
namespace json = boost::json;

namespace {

using LineHandler = std::function<Result<json::object>(const json::object&)>;

Status each_line(std::istream& in, std::ostream& out, const LineHandler& handle) {
  json::parse_options options;
  options.max_depth = 256;
  for (std::string line; std::getline(in, line);) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    json::error_code error;
    const auto value = json::parse(line, error, {}, options);
    Result<json::object> answer = fail(ErrorCode::kInvalidArgument, "each line must be a JSON object");
    if (!error && value.is_object()) answer = handle(value.as_object());
    out << json::serialize(answer ? *answer : json::object{{"error", answer.error().message}}) << "\n";
  }
  out.flush();
  return {};
}

bool flag(const json::object& object, std::string_view name, bool otherwise) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_bool() ? value->as_bool() : otherwise;
}

std::string text(const json::object& object, std::string_view name, const std::string& otherwise = {}) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : otherwise;
}

json::value field(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr ? *value : json::value(nullptr);
}

Status write_file(const std::string& path, std::span<const float> values) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size_bytes()));
  file.flush();
  if (!file) return fail(ErrorCode::kResourceExhausted, "cannot write {}", path);
  return {};
}

}  // namespace

Status debug_tokenize(const text::Tokenizer& tokenizer, std::istream& in, std::ostream& out) {
  return each_line(in, out, [&](const json::object& line) -> Result<json::object> {
    json::array ids;
    for (TokenId id : tokenizer.encode(text(line, "text"),
                                       {flag(line, "add_special", true), flag(line, "parse_special", false)})) {
      ids.push_back(id.value);
    }
    return json::object{{"ids", std::move(ids)}};
  });
}

Status debug_detokenize(std::shared_ptr<const text::Tokenizer> tokenizer, std::istream& in, std::ostream& out) {
  return each_line(in, out, [&](const json::object& line) -> Result<json::object> {
    const auto* ids = line.if_contains("ids");
    if (ids == nullptr || !ids->is_array()) return fail(ErrorCode::kInvalidArgument, "'ids' must be a list");
    text::Detokenizer detokenizer(tokenizer, flag(line, "render_special", false));
    std::string result;
    for (const auto& id : ids->as_array()) {
      json::error_code error;
      const auto number = id.to_number<int32_t>(error);
      if (error) return fail(ErrorCode::kInvalidArgument, "'ids' must hold whole numbers");
      result += detokenizer.push(TokenId(number));
    }
    result += detokenizer.finish();
    return json::object{{"text", result}};
  });
}

Status debug_template(const chat::ChatTemplate& chat_template, const std::string& bos, const std::string& eos,
                      std::istream& in, std::ostream& out) {
  const auto clock = std::chrono::system_clock::from_time_t(1721995200);  // 2024-07-26 12:00 UTC
  return each_line(in, out, [&](const json::object& line) -> Result<json::object> {
    chat::TemplateInput input;
    input.messages = field(line, "messages");
    input.tools = field(line, "tools");
    input.add_generation_prompt = flag(line, "add_generation_prompt", false);
    input.bos_token = text(line, "bos", bos);
    input.eos_token = text(line, "eos", eos);
    if (const auto kwargs = field(line, "kwargs"); kwargs.is_object()) input.kwargs = kwargs.as_object();
    EXO_TRY(std::string rendered, chat_template.render(input, clock));
    return json::object{{"rendered", std::move(rendered)}};
  });
}

Status debug_logits(std::shared_ptr<const formats::GgufFile> model, const DebugLogitsOptions& options,
                    std::ostream& out) {
  const auto device = ops::make_cpu_ops({options.threads});
  std::vector<TokenId> tokens;
  for (int32_t token : options.tokens) tokens.emplace_back(token);
  model::ReferenceRunOptions run_options;
  run_options.n_greedy = options.greedy;
  run_options.n_stages = options.stages;
  const auto* kv_type = find_element_type(options.kv_type);
  if (kv_type == nullptr) return fail(ErrorCode::kInvalidArgument, "'{}' is no number format", options.kv_type);
  run_options.kv_type = kv_type->type;
  if (options.widen) {
    EXO_TRY(auto widened, convert::widened_view(*model));
    model = std::make_shared<const formats::GgufFile>(std::move(widened));
  }
  EXO_TRY(const auto run, model::run_logits(std::move(model), tokens, run_options, *device));
  if (!options.out.empty()) EXO_CHECK_OK(write_file(options.out, run.logits));
  json::array greedy;
  for (TokenId token : run.greedy) greedy.push_back(token.value);
  out << json::serialize(json::object{{"shape", {tokens.size(), run.logits.size() / tokens.size()}},
                                      {"greedy", std::move(greedy)}})
      << "\n";
  return {};
}

Status debug_embed(std::shared_ptr<const formats::GgufFile> model, const std::vector<std::string>& texts,
                   int32_t threads, std::ostream& out) {
  const auto device = ops::make_cpu_ops({threads});
  EXO_TRY(const auto tokenizer, text::load_tokenizer(model->metadata()));
  EXO_TRY(const auto encoder, model::load_encoder(std::move(model), *device));
  for (const auto& line : texts) {
    const auto tokens = tokenizer->encode(line, {.add_special = true});
    EXO_TRY(const auto vector, encoder->embed(tokens));
    out << json::serialize(
               json::object{{"embedding", json::array(vector.begin(), vector.end())}, {"n_tokens", tokens.size()}})
        << "\n";
  }
  return {};
}

Status debug_dequantize(const std::string& type_name, const std::string& in, const std::string& out) {
  const auto* type = find_element_type(type_name);
  if (type == nullptr)
    return fail(ErrorCode::kInvalidArgument, "'{}' is no number format that exo knows", type_name);
  if (!kernels::can_dequantize(type->type))
    return fail(ErrorCode::kUnsupported, "{} has no dequantisation", type->name);
  std::ifstream file(in, std::ios::binary);
  if (!file) return fail(ErrorCode::kNotFound, "cannot read {}", in);
  const std::vector<char> packed((std::istreambuf_iterator<char>(file)), {});
  if (packed.size() % type->block_bytes != 0) {
    return fail(ErrorCode::kCorrupt, "{} bytes are no whole number of {} blocks of {} bytes", packed.size(),
                type->name, type->block_bytes);
  }
  std::vector<float> values(packed.size() / type->block_bytes * type->block_elements);
  kernels::dequantize_row(type->type, reinterpret_cast<const std::byte*>(packed.data()), values.data(),
                          static_cast<int64_t>(values.size()));
  return write_file(out, values);
}

}  // namespace exo::app
