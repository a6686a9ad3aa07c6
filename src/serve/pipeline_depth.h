#pragma once
// How many micro-batches are kept in flight and how large they are, so that every stage always has one to compute.
//
// With m micro-batches in flight, stages that take s seconds for one together and t at most, and links that take l
// seconds once around the ring, m come back in max(s + l, m t) seconds: as soon as a trip allows, or as soon as the
// slowest stage has computed what is before it. Without links as many as there are stages keep all busy. While a
// micro-batch is on a slow link a stage waits, unless there are more of them; but smaller ones cost more per row,
// since each reads all weights.

#include <cstdint>

#include "serve/speculation.h"

namespace exo::serve {

class PipelineDepth {
 public:
  explicit PipelineDepth(int32_t n_stages) : n_stages_(n_stages) {}

  // What messages take once around the ring, nothing computed; 0: not known.
  void set_link_s(double seconds) { link_s_ = seconds; }
  // For a step of `rows` the slowest stage computed for `slowest_s`, all together for `all_s`; 0: not known.
  void measure(int32_t rows, double slowest_s, double all_s);

  // Micro-batches for so many decoding sequences: those with the best tokens per second.
  int32_t for_decodes(int32_t n_sequences) const;
  // Steps of so many rows that can be on their way and hardly wait for each other: as many as the slowest stage
  // computes in the time of a trip.
  int32_t for_trip(int32_t rows) const;
  // Micro-batches of chunks of so many rows of prompts.
  int32_t for_chunks(int32_t rows) const;
  // Rows of the chunks of a prompt. All stages work on c chunks but for the time of n - 1 chunks while the pipeline
  // fills and empties, and each chunk costs as much as r rows more. The sum is least with √(tokens × r ÷ (n - 1))
  // rows.
  int32_t chunk_rows(int32_t n_tokens) const;

 private:
  struct Cost {
    StepCostEstimate few_rows;
    double chunk_row_s = 0;  // a row of a chunk; 0: not measured

    void measure(int32_t rows, double seconds);
    double few_s(double rows) const;     // of a step of few rows; 0: nothing measured
    double chunk_s(int32_t rows) const;  // likewise
  };

  const int32_t n_stages_;
  double link_s_ = 0;
  Cost slowest_, all_;  // of the stages, without what steps waited for
};

}  // namespace exo::serve
