#pragma once
// The grids of ggml's IQ formats: part of the format, as the numbers of a code table are. IQ1 and IQ2 entries hold
// eight digits of two bits, IQ3 entries four digits of four bits, lowest first.

#include <cstdint>

namespace exo::kernels {

extern const uint16_t kGridIq2Xxs[256];
extern const uint16_t kGridIq2Xs[512];
extern const uint16_t kGridIq2S[1024];
extern const uint16_t kGridIq3Xxs[256];
extern const uint16_t kGridIq3S[512];
extern const uint16_t kGridIq1[2048];

}  // namespace exo::kernels
