#include "kernels/kernel_table.h"

#include <string>
#include <vector>

#include "hwy/targets.h"
#include "kernels/int8_multiply.h"
#include "kernels/targets.h"
#include "kernels/unpack.h"

namespace exo::kernels {
namespace {

struct FloatTarget {
  int64_t bit;
  std::string_view name;
};
constexpr FloatTarget kFloatTargets[] = {{HWY_AVX3, "AVX3"},      {HWY_AVX2, "AVX2"}, {HWY_NEON, "NEON"},
                                         {HWY_SSE4, "SSE4"},      {HWY_WASM, "WASM"}, {HWY_EMU128, "portable"},
                                         {HWY_SCALAR, "portable"}};

bool fill(int64_t target, const Int8Target& int8, KernelTable& table) {
  table.pack = int8.pack;
  table.multiply = int8.multiply;
  table.multiply_rows = int8.multiply_rows;
  table.straight_columns = int8.straight_columns ? int8.straight_columns : [](ElementType) { return 0; };
  return fill_vector_math(target, table) && fill_float_conversions(target, table) &&
         fill_float_product(target, table) && fill_attention(target, table) && fill_delta_rule(target, table);
}

// Every float target once with the best integer product, then the best float target with each other product.
struct Tables {
  std::vector<KernelTable> list;
  std::vector<std::string> names;  // what the tables' names point to

  void add(const FloatTarget& target, const Int8Target& int8) {
    KernelTable table{};
    if ((hwy::SupportedTargets() & target.bit) == 0 || !fill(target.bit, int8, table)) return;
    names.push_back(std::string(target.name) + "+" + std::string(int8.name));
    list.push_back(table);
  }

  Tables() {
    const auto int8 = int8_targets();
    for (const auto& target : kFloatTargets) {
      // The portable build of the float kernels goes with the portable product, so that one table is portable
      // alone.
      add(target, target.name == "portable" ? int8.back() : int8.front());
    }
    if (!list.empty()) {
      const int64_t best = hwy::SupportedTargets();
      for (const auto& target : kFloatTargets) {
        if ((best & target.bit) == 0) continue;
        for (const auto& other : int8.subspan(1)) add(target, other);
        break;
      }
    }
    for (size_t i = 0; i < list.size(); ++i) list[i].name = names[i];
  }
};

}  // namespace

std::span<const KernelTable> all_kernels() {
  static const Tables tables;
  return tables.list;
}

void pack_reference(ElementType type, const PanelRows& rows, int64_t first, int64_t count, uint8_t bias,
                    Panel& out) {
  Group groups[kGroupsPerSuper];
  const uint8_t add = has_minimums(type) && !has_centred_minimums(type) ? 0 : bias;
  for (int r = 0; r < kPanelRows; ++r) {
    unpack_groups(type, rows.row(r), first, count, groups);
    for (int64_t g = 0; g < count; ++g) {
      for (int e = 0; e < kGroup; ++e) {
        out.q[g][e / 4][4 * r + e % 4] = static_cast<uint8_t>(static_cast<uint8_t>(groups[g].q[e]) + add);
      }
      for (int h = 0; h < 2; ++h) {
        out.scale[g][h][r] = groups[g].scale[h];
        out.min[g][h][r] = groups[g].min[h];
      }
    }
  }
}

}  // namespace exo::kernels
