#pragma once
// How many micro-batches are kept in flight and how large they are, so that every stage always has one to compute.
//
// With m micro-batches in flight, n stages that take t seconds for one and links that take l seconds once around
// the ring, m come back in max(n t + l, m t) seconds: as soon as a trip allows, or as soon as a stage has computed
// what is before it. Without links m = n keeps all busy. While a micro-batch is on a slow link a stage waits,
// unless there are more of them; but smaller ones cost more per row, since each reads all weights.

#include <cstdint>

#include "serve/speculation.h"

namespace exo::serve {

class PipelineDepth {
 public:
  explicit PipelineDepth(int32_t n_stages) : n_stages_(n_stages) {}

  // What messages take once around the ring, nothing computed; 0: not known.
  void set_link_s(double seconds) { link_s_ = seconds; }
  // A step of `rows` was answered after `trip_s`; with it so many were `in_flight` when it was sent.
  void measure(int32_t rows, int32_t in_flight, double trip_s);

  // Micro-batches for so many decoding sequences: those with the best tokens per second.
  int32_t for_decodes(int32_t n_sequences) const;
  // Micro-batches of chunks of so many rows of prompts.
  int32_t for_chunks(int32_t rows) const;
  // Rows of the chunks of a prompt. All stages work on c chunks but for the time of n - 1 chunks while the pipeline
  // fills and empties, and each chunk costs as much as r rows more. The sum is least with √(tokens × r ÷ (n - 1))
  // rows.
  int32_t chunk_rows(int32_t n_tokens) const;

 private:
  double chunk_s(int32_t rows) const;  // of one stage; 0: nothing measured

  const int32_t n_stages_;
  double link_s_ = 0;
  StepCostEstimate few_rows_;  // of one stage, without what it waited for
  double chunk_row_s_ = 0;     // of one stage, a row of a chunk; 0: not measured
};

}  // namespace exo::serve
