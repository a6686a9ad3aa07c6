#include <algorithm>
#include <cmath>
#include <numbers>

#include "ops/cpu/cpu_context.h"

namespace exo::ops {
namespace {

// The pair whose wavelength makes `rotations` turns over the original context (YaRN, section 3.2).
double yarn_pair(const RopeParams& p, double rotations) {
  return p.dims * std::log(p.yarn_original_context / (rotations * 2.0 * std::numbers::pi)) /
         (2.0 * std::log(p.theta));
}

// Radians per position of each pair.
void make_frequencies(const RopeParams& p, std::vector<double>& frequencies) {
  const int32_t half = p.dims / 2;
  double low = 0.0, high = 0.0;
  if (p.yarn_ext_factor != 0.0f) {
    low = yarn_pair(p, p.yarn_beta_fast);
    high = yarn_pair(p, p.yarn_beta_slow);
    if (p.yarn_rounds) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low = std::max(0.0, low);
    high = std::min(p.dims - 1.0, high);
  }
  frequencies.resize(static_cast<size_t>(half));
  for (int32_t i = 0; i < half; ++i) {
    double base = std::pow(static_cast<double>(p.theta), -2.0 * i / p.dims);
    if (p.frequency_factors) base /= p.frequency_factors.data[i];
    double frequency = base * p.position_scale;
    if (p.yarn_ext_factor != 0.0f) {
      // High frequencies are extrapolated (kept), low ones interpolated (scaled), with a ramp between.
      const double ramp = std::clamp((i - low) / std::max(0.001, high - low), 0.0, 1.0);
      const double keep = (1.0 - ramp) * p.yarn_ext_factor;
      frequency = frequency * (1.0 - keep) + base * keep;
    }
    frequencies[static_cast<size_t>(i)] = frequency;
  }
}

bool same(const RopeParams& a, const RopeParams& b) {
  return a.dims == b.dims && a.theta == b.theta && a.position_scale == b.position_scale &&
         a.yarn_ext_factor == b.yarn_ext_factor && a.yarn_beta_fast == b.yarn_beta_fast &&
         a.yarn_beta_slow == b.yarn_beta_slow && a.yarn_original_context == b.yarn_original_context &&
         a.yarn_rounds == b.yarn_rounds && a.magnitude_scale == b.magnitude_scale;
}

}  // namespace

bool CpuRope::same_as_last(std::span<const Position> positions, const RopeParams& params) const {
  if (!same(params, params_) || !std::ranges::equal(positions, positions_)) return false;
  if (!params.frequency_factors) return factors_.empty();
  return std::ranges::equal(std::span(params.frequency_factors.data, static_cast<size_t>(params.dims / 2)),
                            factors_);
}

void CpuRope::make_table(std::span<const Position> positions, const RopeParams& params) {
  params_ = params;
  positions_.assign(positions.begin(), positions.end());
  factors_.clear();
  if (params.frequency_factors) {
    factors_.assign(params.frequency_factors.data, params.frequency_factors.data + params.dims / 2);
  }
  std::vector<double> frequencies;
  make_frequencies(params, frequencies);
  const int32_t half = params.dims / 2;
  float* table = table_.get<float>(positions.size() * static_cast<size_t>(params.dims));
  context_.for_rows(static_cast<int64_t>(positions.size()), params.dims * 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* row = table + r * params.dims;
      for (int32_t i = 0; i < half; ++i) {
        const double angle = positions[static_cast<size_t>(r)].value * frequencies[static_cast<size_t>(i)];
        row[i] = static_cast<float>(std::cos(angle)) * params.magnitude_scale;
        row[half + i] = static_cast<float>(std::sin(angle)) * params.magnitude_scale;
      }
    }
  });
}

void CpuRope::run(Tensor x, int32_t head_dim, std::span<const Position> positions, const RopeParams& params) {
  if (params.dims == 0 || x.rows == 0) return;
  if (!same_as_last(positions, params)) make_table(positions, params);
  const float* table = table_.get<float>(0);
  const bool interleaved = params.style == RopeStyle::kInterleaved;
  context_.for_rows(x.rows, x.cols, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t c = 0; c + head_dim <= x.cols; c += head_dim) {
        context_.kernels.rotate(x.data + r * x.stride + c + params.first, table + r * params.dims, params.dims,
                                interleaved);
      }
    }
  });
}

}  // namespace exo::ops
