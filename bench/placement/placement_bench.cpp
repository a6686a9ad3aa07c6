// Placement, compared and timed.
//   placement_bench compare [FOLDER]   predicted ms per token of ten clusters (FOLDER/*.toml) as exo's
//   memory-weighted
//                                      split, prima.cpp's Halda, llama.cpp's split and this project would run them
//   placement_bench rivals MODEL.gguf CLUSTER.toml   the layers per device that the others would choose there
//   placement_bench speed              how long place() takes for 12 and for 64 devices

#include <fmt/format.h>

#include <ctime>
#include <filesystem>
#include <random>

#include "app/cluster_file.h"
#include "app/model_argument.h"
#include "app/model_facts.h"
#include "cluster/known_models.h"
#include "cluster/stage_memory.h"
#include "model/load.h"
#include "rivals.h"

namespace exo::bench {
namespace {

using cluster::PlacementRequest;
using cluster::Plan;
using cluster::Strategy;

struct Setting {
  const char* cluster;
  const char* model;
};
constexpr Setting kSettings[] = {
    {"two-laptops", "llama-3.1-8b@Q4_K"}, {"pis", "llama-3.1-8b@Q4_K"},
    {"home-70b", "llama-3.3-70b@Q4_K"},   {"phone-and-pcs", "llama-3.3-70b@Q4_K"},
    {"two-rooms", "llama-3.3-70b@Q8_0"},  {"office", "llama-3.3-70b@Q8_0"},
    {"gaming", "gpt-oss-120b@MXFP4"},     {"three-big", "qwen3-235b-a22b@Q4_K"},
    {"home-405b", "llama-3.1-405b@Q4_K"}, {"eight-minis", "deepseek-v3@Q4_K"},
};

std::string cell(const Result<Plan>& plan, double best) {
  if (!plan) return "does not fit";
  uint64_t disk = 0;
  for (const auto& stage : plan->stages) disk += stage.disk_bytes;
  return fmt::format("{:.1f} ({:.2f} ×{})", plan->ms_per_token, plan->ms_per_token / best,
                     disk > 0 ? ", disk" : "");
}

int compare(const std::filesystem::path& folder) {
  fmt::print(
      "| cluster | model | exo (memory-weighted) | prima.cpp (Halda) | llama.cpp | ours: fastest | ours: auto |\n");
  fmt::print("|---|---|---|---|---|---|---|\n");
  int worse = 0;
  for (const auto& [name, model_name] : kSettings) {
    const auto imagined = app::read_cluster_file(folder / fmt::format("{}.toml", name));
    const auto model = cluster::known_model(model_name);
    if (!imagined || !model) {
      fmt::print(stderr, "{}\n", !imagined ? imagined.error().message : model.error().message);
      return 1;
    }
    const auto with = [&](Strategy strategy, Assignment manual = {}) {
      PlacementRequest request{.strategy = strategy, .manual = std::move(manual)};
      request.larger_than_memory = strategy == Strategy::kManual;  // others read from disk instead of refusing
      return cluster::place(*model, imagined->devices, imagined->links, request);
    };
    const auto ours = with(Strategy::kFastest), chosen = with(Strategy::kAuto);
    const auto weighted = with(Strategy::kRingMemoryWeighted);
    const auto halda = with(Strategy::kManual, halda_like(*model, imagined->devices, {}));
    const auto llama = with(Strategy::kManual, llama_cpp_split(*model, imagined->devices, {}));
    const double best = ours ? ours->ms_per_token : 1;
    fmt::print("| {} | {} | {} | {} | {} | {} on {} of {} | {} |\n", name, model_name, cell(weighted, best),
               cell(halda, best), cell(llama, best), cell(ours, best), ours ? ours->stages.size() : 0,
               imagined->devices.size(), cell(chosen, best));
    for (const auto* other : {&weighted, &halda, &llama}) {
      if (*other && (!ours || (*other)->ms_per_token < ours->ms_per_token * (1 - 1e-9))) ++worse;
    }
  }
  fmt::print("\nslower than one of the others: {}\n", worse);
  return worse == 0 ? 0 : 1;
}

// A line for each: its name, then NODE=LAYERS in ring order.
Status print_rivals(const std::filesystem::path& model, const std::filesystem::path& cluster) {
  EXO_TRY(const auto file, app::open_model(model, {}, {}));
  EXO_TRY(const auto info, model::read_model_info(*file));
  const auto facts = app::facts_of(info, info.name, std::string(64, '0'), file->file_bytes());
  EXO_TRY(const auto imagined, app::read_cluster_file(cluster));
  const auto print = [](std::string_view name, const Assignment& assignment) {
    fmt::print("{}", name);
    for (const auto& stage : assignment) fmt::print(" {}={}", stage.node, stage.n_layers);
    fmt::print("\n");
  };
  print("llama.cpp", llama_cpp_split(facts, imagined.devices, {}));
  print("halda", halda_like(facts, imagined.devices, {}));
  return {};
}

void time_placing(const char* what, size_t n, bool equal_links, bool alike, const char* model_name) {
  std::mt19937_64 random(n);
  const auto between = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  const auto model = *cluster::known_model(model_name);
  const cluster::StageMemory memory = *cluster::StageMemory::of(model, {});
  const double mean = 1.6 * static_cast<double>(memory.need(0, model.n_layers)) / static_cast<double>(n);
  std::vector<cluster::PlacementDevice> devices(n);
  std::vector<cluster::PlacementLink> links;
  for (size_t i = 0; i < n; ++i) {
    auto& device = devices[i];
    device.id.bytes[0] = static_cast<uint8_t>(i);
    device.name = fmt::format("d{}", i);
    auto& profile = device.profile;
    profile.memory_budget_bytes = static_cast<uint64_t>(alike ? mean : mean * between(0.3, 1.7));
    profile.memory_bandwidth_bytes_per_s = alike ? 100e9 : between(20e9, 800e9);
    profile.int8_ops_per_s = alike ? 1e12 : between(0.2e12, 50e12);
    profile.f32_flops_per_s = profile.int8_ops_per_s / 2;
    for (size_t j = 0; j < i; ++j) {
      links.push_back({devices[j].id, device.id, equal_links ? 5e-4 : between(1e-4, 8e-3),
                       equal_links ? 1.2e8 : between(2e7, 2e9)});
    }
  }
  for (const Strategy strategy : {Strategy::kRingMemoryWeighted, Strategy::kFastest, Strategy::kThroughput,
                                  Strategy::kHybrid, Strategy::kAuto}) {
    const std::clock_t start = std::clock();
    PlacementRequest request{.strategy = strategy};
    const auto plan = cluster::place(model, devices, links, request);
    const double ms = 1e3 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    fmt::print("{:<28} {:<22} {:>8.1f} ms   {}\n", what, to_string(strategy), ms,
               plan ? fmt::format("{:.1f} ms per token, {} stages, slowest {:.1f}{}", plan->ms_per_token,
                                  plan->stages.size(), plan->slowest_stage_ms, plan->optimal ? ", optimal" : "")
                    : plan.error().message);
  }
}

int speed() {
  time_placing("12 unlike, unlike links", 12, false, false, "llama-3.1-405b");
  time_placing("12 unlike, equal links", 12, true, false, "llama-3.1-405b");
  time_placing("12 alike, unlike links", 12, false, true, "llama-3.1-405b");
  time_placing("12 alike, equal links", 12, true, true, "llama-3.1-405b");
  time_placing("12 unlike, DeepSeek", 12, false, false, "deepseek-v3");
  time_placing("64 unlike, unlike links", 64, false, false, "llama-3.1-405b");
  time_placing("64 alike, equal links", 64, true, true, "llama-3.1-405b");
  return 0;
}

}  // namespace
}  // namespace exo::bench

int main(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "speed") return exo::bench::speed();
  if (command == "compare") return exo::bench::compare(argc > 2 ? argv[2] : "bench/placement/clusters");
  if (command == "rivals" && argc == 4) {
    const auto printed = exo::bench::print_rivals(argv[2], argv[3]);
    if (!printed) fmt::print(stderr, "{}\n", printed.error().message);
    return printed ? 0 : 1;
  }
  fmt::print(
      stderr,
      "usage: placement_bench compare [FOLDER] | placement_bench rivals MODEL CLUSTER.toml | placement_bench "
      "speed\n");
  return 2;
}
