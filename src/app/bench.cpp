#include "app/bench.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <cstdio>

#include "app/live_view.h"
#include "app/weight_streaming.h"
#include "model/load.h"
#include "ops/cpu/cpu_ops.h"

namespace exo::app {
namespace json = boost::json;

namespace {

constexpr int32_t kBlockPositions = 32;
constexpr int32_t kBatchRows = 512;

struct Test {
  std::string name;  // "pp512", "tg64", "tg64 x4 @1024"
  int32_t tokens = 0, sequences = 1, depth = 0;
  bool decode = false;
};

struct Measurement {
  Test test;
  int32_t threads = 0;
  std::vector<double> tokens_per_s;

  double median() const {
    auto sorted = tokens_per_s;
    std::ranges::sort(sorted);
    return sorted[sorted.size() / 2];
  }
};

std::vector<Test> tests_of(const BenchOptions& options) {
  std::vector<Test> tests;
  for (int32_t depth : options.depths) {
    const auto at = depth > 0 ? fmt::format(" @{}", depth) : std::string();
    for (int32_t n : options.prompt_tokens) {
      if (n > 0) tests.push_back({fmt::format("pp{}{}", n, at), n, 1, depth, false});
    }
    for (int32_t sequences : options.sequences) {
      for (int32_t n : options.decode_tokens) {
        if (n > 0)
          tests.push_back({fmt::format("tg{}{}{}", n, sequences > 1 ? fmt::format(" x{}", sequences) : "", at), n,
                           sequences, depth, true});
      }
    }
  }
  return tests;
}

// A whole model in one stage with block tables for `sequences` sequences of `positions` positions each.
class Bencher {
 public:
  Bencher(model::Stage& stage, int32_t sequences, int32_t positions) : stage_(stage), tables_(sequences) {
    const int32_t blocks = (positions + kBlockPositions - 1) / kBlockPositions;
    for (int32_t s = 0; s < sequences; ++s) {
      for (int32_t b = 0; b < blocks; ++b) tables_[s].emplace_back(static_cast<uint32_t>(s * blocks + b));
    }
  }

  Status prefill(int32_t sequence, int32_t first, int32_t n) {
    for (int32_t done = 0; done < n; done += kBatchRows) {
      const int32_t rows = std::min(kBatchRows, n - done);
      const model::StepSequence row{Position(first + done), rows, tables_[sequence], done + rows == n};
      EXO_CHECK_OK(step({&row, 1}, rows));
    }
    return {};
  }

  Status decode(int32_t position) {
    std::vector<model::StepSequence> rows;
    for (const auto& table : tables_) rows.push_back({Position(position), 1, table, true});
    return step(rows, static_cast<int32_t>(rows.size()));
  }

 private:
  Status step(std::span<const model::StepSequence> sequences, int32_t rows) {
    tokens_.resize(rows);
    for (auto& token : tokens_)
      token = TokenId(static_cast<int32_t>((next_ = next_ * 1103515245 + 12345) >> 8) % stage_.model().n_vocab);
    EXO_TRY([[maybe_unused]] const auto logits, stage_.forward({sequences, tokens_, {}}));
    return {};
  }

  model::Stage& stage_;
  std::vector<std::vector<BlockId>> tables_;
  std::vector<TokenId> tokens_;
  uint32_t next_ = 1;
};

// The positions before the test's stay in the cache from one repetition to the next.
Status fill(Bencher& bencher, const Test& test) {
  for (int32_t s = 0; s < test.sequences && test.depth > 0; ++s) EXO_CHECK_OK(bencher.prefill(s, 0, test.depth));
  return {};
}

Result<double> run_once(Bencher& bencher, const Test& test) {
  const auto start = std::chrono::steady_clock::now();
  if (test.decode) {
    for (int32_t i = 0; i < test.tokens; ++i) EXO_CHECK_OK(bencher.decode(test.depth + i));
  } else {
    EXO_CHECK_OK(bencher.prefill(0, test.depth, test.tokens));
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return double(test.tokens) * test.sequences / seconds;
}

void print_json(const std::vector<Measurement>& results, const model::ModelInfo& model) {
  json::array rows;
  for (const auto& result : results) {
    json::array samples(result.tokens_per_s.begin(), result.tokens_per_s.end());
    rows.push_back(json::object{{"model", model.name},
                                {"weight_type", model.weight_type},
                                {"test", result.test.name},
                                {"threads", result.threads},
                                {"n_prompt", result.test.decode ? 0 : result.test.tokens},
                                {"n_gen", result.test.decode ? result.test.tokens : 0},
                                {"n_sequences", result.test.sequences},
                                {"n_depth", result.test.depth},
                                {"median_tokens_per_s", result.median()},
                                {"samples_tokens_per_s", std::move(samples)}});
  }
  std::puts(json::serialize(rows).c_str());
}

}  // namespace

Status run_bench(const std::shared_ptr<const formats::GgufFile>& model, const BenchOptions& options) {
  EXO_TRY(const auto info, model::read_model_info(*model));
  const auto* kv_type = find_element_type(options.kv_type);
  if (kv_type == nullptr) return fail(ErrorCode::kInvalidArgument, "'{}' is no number format", options.kv_type);
  if (options.repetitions < 1) return fail(ErrorCode::kInvalidArgument, "-r must be at least 1");
  const auto tests = tests_of(options);
  if (tests.empty()) return fail(ErrorCode::kInvalidArgument, "nothing to measure: give -p or -n");
  int32_t blocks = 0;
  for (const auto& test : tests) {
    blocks =
        std::max(blocks, test.sequences * ((test.depth + test.tokens + kBlockPositions - 1) / kBlockPositions));
  }
  const bool table = options.output == "table";
  std::vector<Measurement> results;
  for (int32_t threads : options.threads) {
    const auto device = ops::make_cpu_ops({threads});
    model::StageConfig config;
    config.layers = {LayerIndex(0), LayerIndex(info.n_layers)};
    config.max_batch_rows = kBatchRows;
    config.block_positions = kBlockPositions;
    config.n_blocks = blocks;
    config.kv_type = kv_type->type;
    config.stream_weights = exceeds_memory(*model, config.layers, info.n_layers);
    EXO_TRY(const auto stage, model::load_stage(model, config, *device));
    if (table && results.empty()) {
      std::printf("%s, %s, %s, %s\n", info.name.c_str(), info.weight_type.c_str(),
                  human_bytes(stage->weight_bytes()).c_str(), device->description().c_str());
      std::printf("%-18s %8s %12s %12s %12s %10s\n", "test", "threads", "median t/s", "min", "max", "GB/s");
    }
    Bencher warm(*stage, 1, 8);
    EXO_TRY([[maybe_unused]] const auto warm_up, run_once(warm, {"", 8, 1, 0, true}));
    for (const auto& test : tests) {
      Measurement result{test, threads, {}};
      Bencher bencher(*stage, test.sequences, test.depth + test.tokens);
      EXO_CHECK_OK(fill(bencher, test));
      for (int32_t i = 0; i < options.repetitions; ++i) {
        EXO_TRY(result.tokens_per_s.emplace_back(), run_once(bencher, test));
      }
      if (table) {
        const auto [least, most] = std::ranges::minmax(result.tokens_per_s);
        // Weights are read once per step: what decoding draws from memory.
        const std::string rate =
            test.decode
                ? fmt::format("{:.1f}", result.median() / test.sequences * double(stage->weight_bytes()) / 1e9)
                : "";
        std::printf("%-18s %8d %12.2f %12.2f %12.2f %10s\n", test.name.c_str(), threads, result.median(), least,
                    most, rate.c_str());
        std::fflush(stdout);
      }
      results.push_back(std::move(result));
    }
  }
  if (!table) print_json(results, info);
  return {};
}

}  // namespace exo::app
