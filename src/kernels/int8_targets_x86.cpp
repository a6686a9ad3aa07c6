#include "kernels/int8_multiply.h"

namespace exo::kernels {

std::span<const Int8Target> int8_targets() {
  static const struct Found {
    Int8Target list[4];
    size_t count = 0;
    Found() {
      __builtin_cpu_init();
      if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
          __builtin_cpu_supports("avx512vnni")) {
        list[count++] = kInt8Avx512Vnni;
      }
      const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
      if (avx2 && __builtin_cpu_supports("avxvnni")) list[count++] = kInt8AvxVnni;
      if (avx2) list[count++] = kInt8Avx2;
      list[count++] = kInt8Scalar;
    }
  } found;
  return {found.list, found.count};
}

}  // namespace exo::kernels
