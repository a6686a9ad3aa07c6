#include "cluster/explain.h"

#include <algorithm>

#include "cluster/strategies.h"

namespace exo::cluster {
namespace {

using Row = std::vector<std::string>;

// First column to the left, the others to the right; widths in bytes suit the ASCII that the cells hold.
std::string table(const std::vector<Row>& rows) {
  std::vector<size_t> widths(rows.front().size());
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += i == 0 ? fmt::format("  {:<{}}", row[i], widths[i]) : fmt::format("  {:>{}}", row[i], widths[i]);
    }
    line.resize(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string device_name(const StageEstimate& stage) {
  return stage.device.name.empty() ? stage.device.id.short_hex() : stage.device.name;
}

}  // namespace

std::string explain(const Plan& plan, const wire::ModelFacts& model) {
  std::string text = fmt::format("{}: {} layers, {} on {} device{}, {}, context {}\n", model.name, model.n_layers,
                                 human_bytes(model.file_bytes), plan.stages.size(),
                                 plan.stages.size() == 1 ? "" : "s", to_string(plan.strategy), plan.context_tokens);
  std::vector<Row> rows{
      {"device", "layers", "weights", "KV cache", "activations", "budget", "decode ms", "hop ms"}};
  StageEstimate total;
  for (const auto& stage : plan.stages) {
    rows.push_back(
        {device_name(stage),
         fmt::format("{}-{} ({})", stage.layers.begin.value, stage.layers.end.value - 1, stage.layers.size()),
         human_bytes(stage.weight_bytes), human_bytes(stage.kv_bytes), human_bytes(stage.activation_bytes),
         human_bytes(stage.budget_bytes), fmt::format("{:.2f}", stage.decode_ms),
         fmt::format("{:.2f}", stage.hop_ms)});
    total.weight_bytes += stage.weight_bytes;
    total.kv_bytes += stage.kv_bytes;
    total.activation_bytes += stage.activation_bytes;
    total.budget_bytes += stage.budget_bytes;
    total.decode_ms += stage.decode_ms;
    total.hop_ms += stage.hop_ms;
  }
  rows.push_back({"total", fmt::format("({})", model.n_layers), human_bytes(total.weight_bytes),
                  human_bytes(total.kv_bytes), human_bytes(total.activation_bytes), human_bytes(total.budget_bytes),
                  fmt::format("{:.2f}", total.decode_ms), fmt::format("{:.2f}", total.hop_ms)});
  text += table(rows);
  text += fmt::format(
      "predicted: {:.2f} ms per token; {:.1f} tokens/s alone, {:.1f} with {} at once; first token of a "
      "prompt of 512 after {:.0f} ms\n",
      plan.ms_per_token, plan.tokens_per_s_one, plan.tokens_per_s_full, plan.stages.size(), plan.ttft_ms_512);
  return text;
}

}  // namespace exo::cluster
