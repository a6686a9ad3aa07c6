#include "cluster/explain.h"

#include <algorithm>

#include "base/printable.h"
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

std::string device_name(const PlacementDevice& device) {
  return device.name.empty() ? device.id.short_hex() : printable(device.name);
}

std::string milliseconds(double ms) {
  return ms >= 10'000 ? fmt::format("{:.1f} s", ms / 1e3)
         : ms >= 100  ? fmt::format("{:.0f} ms", ms)
                      : fmt::format("{:.2f} ms", ms);
}

Row stage_row(const StageEstimate& stage) {
  const bool group = stage.members.size() > 1;
  return {group ? fmt::format("{} devices", stage.members.size()) : device_name(stage.device),
          fmt::format("{}-{} ({})", stage.layers.begin.value, stage.layers.end.value - 1, stage.layers.size()),
          human_bytes(stage.weight_bytes),
          human_bytes(stage.kv_bytes),
          human_bytes(stage.activation_bytes),
          human_bytes(stage.budget_bytes),
          fmt::format("{:.2f}", stage.decode_ms),
          fmt::format("{:.2f}", stage.hop_ms)};
}

Row member_row(const StageMember& member) {
  return {"  " + device_name(member.device),
          fmt::format("{:.1f} % of each", 100 * member.share),
          human_bytes(member.weight_bytes),
          human_bytes(member.kv_bytes),
          human_bytes(member.activation_bytes),
          human_bytes(member.budget_bytes),
          "",
          ""};
}

std::string stages_table(const Plan& plan, int32_t n_layers) {
  std::vector<Row> rows{
      {"device", "layers", "weights", "KV cache", "activations", "budget", "decode ms", "hop ms"}};
  StageEstimate total;
  for (const auto& stage : plan.stages) {
    rows.push_back(stage_row(stage));
    if (stage.members.size() > 1) {
      for (const auto& member : stage.members) rows.push_back(member_row(member));
    }
    total.weight_bytes += stage.weight_bytes;
    total.kv_bytes += stage.kv_bytes;
    total.activation_bytes += stage.activation_bytes;
    total.budget_bytes += stage.budget_bytes;
    total.decode_ms += stage.decode_ms;
    total.hop_ms += stage.hop_ms;
  }
  Row sum = stage_row(total);
  sum[0] = "total";
  sum[1] = fmt::format("({})", n_layers);
  rows.push_back(std::move(sum));
  return table(rows);
}

std::string alternatives_table(const Plan& plan) {
  std::vector<Row> rows{{"instead", "devices", "ms per token", "tokens/s", "first token"}};
  std::string refusals;
  for (const auto& other : plan.alternatives) {
    if (!other.refusal.empty()) {
      refusals += fmt::format("  {}: {}\n", to_string(other.strategy), printable(other.refusal));
      continue;
    }
    rows.push_back({std::string(to_string(other.strategy)), std::to_string(other.n_devices),
                    fmt::format("{:.2f}", other.ms_per_token), fmt::format("{:.1f}", other.tokens_per_s),
                    milliseconds(other.ttft_ms)});
  }
  return (rows.size() > 1 ? table(rows) : "") + refusals;
}

}  // namespace

std::string explain(const Plan& plan, const wire::ModelFacts& model) {
  size_t devices = 0;
  uint64_t disk_bytes = 0;
  double exchange_ms = 0;
  for (const auto& stage : plan.stages) {
    devices += stage.members.size();
    disk_bytes += stage.disk_bytes;
    exchange_ms += stage.exchange_ms;
  }
  std::string strategy(to_string(plan.strategy));
  if (plan.strategy == Strategy::kAuto) {
    strategy += fmt::format(" for {}: {}", to_string(plan.objective), to_string(plan.chosen));
  }
  std::string text =
      fmt::format("{}: {} layers, {} on {} device{}, {}, context {}\n", printable(model.name), model.n_layers,
                  human_bytes(model.file_bytes), devices, devices == 1 ? "" : "s", strategy, plan.context_tokens);
  text += stages_table(plan, model.n_layers);
  text += fmt::format(
      "predicted: {:.2f} ms per token, {:.1f} tokens/s alone, {:.1f} with {} at once; first token of a "
      "prompt of {} after {}\n",
      plan.ms_per_token, plan.tokens_per_s_one, plan.tokens_per_s, plan.concurrency, plan.prompt_tokens,
      milliseconds(plan.ttft_ms));
  if (exchange_ms > 0)
    text += fmt::format("of a token's time, {:.2f} ms are exchanges within groups\n", exchange_ms);
  if (disk_bytes > 0) text += fmt::format("{} are read from disk for every token\n", human_bytes(disk_bytes));
  for (const auto& stage : plan.stages) {
    if (stage.measured_ms <= 0) continue;
    text += fmt::format(
        "measured on {}: {:.2f} ms per token with {} in the cache, predicted from its rates {:.2f}\n",
        device_name(stage.device), stage.measured_ms, kReferencePositions, stage.predicted_for_measured_ms);
  }
  if (!plan.unused.empty()) {
    text += fmt::format("without a stage: {}\n", printable(fmt::format("{}", fmt::join(plan.unused, ", "))));
  }
  if (!plan.alternatives.empty()) text += alternatives_table(plan);
  return text;
}

}  // namespace exo::cluster
