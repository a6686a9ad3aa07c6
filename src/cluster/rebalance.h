#pragma once
// Whether a running ring should move to a better one.

#include "cluster/placement.h"

namespace exo::cluster {

// How much faster `next` is than `now` by what its strategy is for, both predicted with the same cost model from
// the same facts: 0.25 is a quarter, 0 or less no gain.
//   fastest, single, tensor-parallel, hybrid, auto for latency   ms per token of one request
//   auto for ttft                                                the first token
//   throughput, auto for throughput                              tokens/s of several requests
//   ring-memory-weighted   tokens/s of several requests or the whole time of one (a prompt, then 128 tokens),
//   whichever
//                          gains more, as long as a token of one request gets no slower than by a tenth: this ring
//                          spreads a model to use the memory of all, and what a further stage brings is a pipeline,
//                          for prompts above all
//   manual                 never: somebody has chosen
double predicted_gain(const Plan& now, const Plan& next);

}  // namespace exo::cluster
