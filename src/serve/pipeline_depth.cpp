#include "serve/pipeline_depth.h"

#include <algorithm>
#include <cmath>

#include "cluster/placement.h"
#include "serve/measures.h"

namespace exo::serve {
namespace {

using cluster::kMostMicroBatchesPerStage;

constexpr double kWorthSplitting = 0.97;           // of the time with fewer micro-batches
constexpr double kMayWait = 0.35;                  // of a step's time: stages are never quite equal
constexpr double kWorthFilling = 0.1;              // of a chunk's time: shorter waits are not filled
constexpr int32_t kFewRows = 32, kChunkRows = 48;  // what a step of decodes has at most, and a chunk at least
constexpr int32_t kLeastChunkRows = 32;
constexpr double kUsualLeastRows = 8;
// What a chunk costs beside its rows, of one row's step: most of its reading is hidden behind its arithmetic.
constexpr double kNotHidden = 0.4;

}  // namespace

void PipelineDepth::Cost::measure(int32_t rows, double seconds) {
  if (rows <= kFewRows) few_rows.measure(rows, seconds);
  if (rows < kChunkRows) return;
  smooth(chunk_row_s, seconds / rows);
}

double PipelineDepth::Cost::few_s(double rows) const {
  const StepCost cost = few_rows.cost();
  return cost.fixed_s > 0 ? cost.fixed_s + (rows - 1) * cost.per_row_s : 0;
}

double PipelineDepth::Cost::chunk_s(int32_t rows) const {
  return chunk_row_s > 0 ? rows * chunk_row_s : few_s(rows);  // rows of few cost at least as much
}

void PipelineDepth::measure(int32_t rows, double slowest_s, double all_s) {
  if (rows <= 0 || slowest_s <= 0 || all_s <= 0) return;
  slowest_.measure(rows, slowest_s);
  all_.measure(rows, all_s);
}

int32_t PipelineDepth::for_decodes(int32_t n_sequences) const {
  if (n_stages_ == 1 || link_s_ <= 0 || slowest_.few_s(1) <= 0) return n_stages_;
  int32_t best = n_stages_;
  double best_s = 0;
  for (int32_t m = n_stages_; m <= std::min(n_sequences, kMostMicroBatchesPerStage * n_stages_); ++m) {
    const double rows = std::ceil(static_cast<double>(n_sequences) / m);
    const double round_s = std::max(all_.few_s(rows) + link_s_, m * slowest_.few_s(rows));
    if (best_s > 0 && round_s > kWorthSplitting * best_s) continue;
    best = m;
    best_s = round_s;
  }
  return best;
}

int32_t PipelineDepth::for_trip(int32_t rows) const {
  const double slowest_s = slowest_.few_s(rows);
  if (n_stages_ == 1 || slowest_s <= 0) return n_stages_;
  const double most = kMostMicroBatchesPerStage * n_stages_;
  return static_cast<int32_t>(std::clamp((all_.few_s(rows) + link_s_) / slowest_s + kMayWait, 1.0, most));
}

int32_t PipelineDepth::for_chunks(int32_t rows) const {
  const double one_s = slowest_.chunk_s(rows);
  if (n_stages_ == 1 || one_s <= 0) return n_stages_;
  const double waits = std::ceil(link_s_ / one_s - kWorthFilling);
  return n_stages_ +
         static_cast<int32_t>(std::clamp<double>(waits, 0, (kMostMicroBatchesPerStage - 1) * n_stages_));
}

int32_t PipelineDepth::chunk_rows(int32_t n_tokens) const {
  if (n_stages_ == 1) return n_tokens;
  const double one_row_s = all_.few_s(1);
  // Rows whose arithmetic takes as long as one row does, which waits for the weights: with fewer a stage does not
  // compute faster.
  const double least = one_row_s > 0 && all_.chunk_row_s > 0 ? std::clamp(one_row_s / all_.chunk_row_s, 2.0, 1024.0)
                                                             : kUsualLeastRows;
  const double overhead = kNotHidden * least;
  const double best = std::max(std::sqrt(std::max(n_tokens, 0) * overhead / (n_stages_ - 1)), least);
  const auto chunks = std::max(1, static_cast<int32_t>(n_tokens / std::max<double>(best, kLeastChunkRows)));
  return (n_tokens + chunks - 1) / chunks;
}

}  // namespace exo::serve
