#include <sys/sysctl.h>

#include "kernels/arm_features.h"

namespace exo::kernels {
namespace {
bool has(const char* name) {
  int value = 0;
  size_t size = sizeof value;
  return ::sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}
}  // namespace

ArmFeatures arm_features() {
  return {.dot_product = has("hw.optional.arm.FEAT_DotProd"), .matrix_int8 = has("hw.optional.arm.FEAT_I8MM")};
}

}  // namespace exo::kernels
