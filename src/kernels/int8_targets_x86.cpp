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
        list[count++] = {"AVX512-VNNI", true, int8_multiply_avx512_vnni, int8_rows_avx512_vnni,
                         straight_columns_avx512_vnni};
      }
      const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
      if (avx2 && __builtin_cpu_supports("avxvnni"))
        list[count++] = {"AVX-VNNI", true, int8_multiply_avx_vnni, int8_rows_avx_vnni, straight_columns_avx_vnni};
      if (avx2) list[count++] = {"AVX2", false, int8_multiply_avx2, int8_rows_avx2, straight_columns_avx2};
      list[count++] = {"scalar", false, int8_multiply_scalar};
    }
  } found;
  return {found.list, found.count};
}

}  // namespace exo::kernels
