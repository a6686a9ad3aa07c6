#pragma once
// e^x from additions and multiplications alone, so that all machines agree on the last bit (std::exp varies between
// C libraries). The module is compiled without contraction to fused multiply-add for the same reason.
// logit_scan.cpp does the same in vectors.

#include <bit>
#include <cstdint>

namespace exo::sample {

inline constexpr double kLowestExponent = -700.0;
inline constexpr double kLog2e = 1.4426950408889634074, kLn2High = 6.93147180369123816490e-01,
                        kLn2Low = 1.90821492927058770002e-10;
// Adding this rounds to a whole number, which then stands in the low bits of the sum.
inline constexpr double kExpRound = 6755399441055744.0;  // 1.5 * 2^52
inline constexpr int kExpBias = 1023, kExpShift = 52;    // of a double's exponent
// Taylor's series from the last term; the 14th is below 2^-56.
inline constexpr double kExpFirstTerm = 1.0 / 6227020800.0;
inline constexpr double kExpTerms[] = {1.0 / 479001600.0,
                                       1.0 / 39916800.0,
                                       1.0 / 3628800.0,
                                       1.0 / 362880.0,
                                       1.0 / 40320.0,
                                       1.0 / 5040.0,
                                       1.0 / 720.0,
                                       1.0 / 120.0,
                                       1.0 / 24.0,
                                       1.0 / 6.0,
                                       0.5,
                                       1.0,
                                       1.0};

// For x <= 0; 0 below -700 and for NaN. Relative error below 1e-15.
inline double portable_exp(double x) {
  const double clamped = x > kLowestExponent ? x : kLowestExponent;
  const double shifted = clamped * kLog2e + kExpRound;
  const double n = shifted - kExpRound;
  const double r = (clamped - n * kLn2High) - n * kLn2Low;  // |r| <= ln 2 / 2
  double sum = kExpFirstTerm;
  for (const double term : kExpTerms) sum = sum * r + term;
  const double power = std::bit_cast<double>((std::bit_cast<uint64_t>(shifted) + kExpBias) << kExpShift);
  return x > kLowestExponent ? sum * power : 0.0;
}

// The least x with portable_exp(x) >= share, for a share of (0, 1].
inline double portable_log_floor(double share) {
  double low = kLowestExponent, high = 0.0;
  for (int i = 0; i < 64; ++i) {
    const double middle = 0.5 * (low + high);
    (portable_exp(middle) >= share ? high : low) = middle;
  }
  return high;
}

}  // namespace exo::sample
