#pragma once
// The number formats of a model's weights, and how fast a device computes with each.

#include <vector>

#include "base/element_type.h"
#include "wire/messages.h"

namespace exo::cluster {

// Shares of the bytes that layers take beside their routed experts, of these, and of the head; of all formats
// together 1. Every layer is taken to have the average share.
struct WeightFormat {
  const ElementTypeInfo* type = nullptr;  // nullptr: a name that means nothing
  double dense = 0, experts = 0, head = 0;

  double ops_per_byte() const;  // a multiplication and an addition per weight; unknown formats have 8 bits
  bool is_float() const;        // products with it compute with f32
};

// Never empty: what the facts do not say is in their weight_type ("Q4_K_M" means Q4_K).
std::vector<WeightFormat> weight_formats(const wire::ModelFacts& model);

// What was measured of the format, else of the device; 0: neither.
wire::FormatRate rate_of(const wire::DeviceProfile& profile, const WeightFormat& format);

}  // namespace exo::cluster
