#pragma once
// What an Arm processor has beyond the baseline of its 64-bit architecture.

namespace exo::kernels {

struct ArmFeatures {
  bool dot_product = false;  // FEAT_DotProd: SDOT
  bool matrix_int8 = false;  // FEAT_I8MM: SMMLA
};

ArmFeatures arm_features();  // of this machine, as its system tells; arm_features_<system>.cpp

}  // namespace exo::kernels
