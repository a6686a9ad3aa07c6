// 16 rows of a quantised weight interleaved into a panel (panel.h), which serves many columns. Included by one file
// per instruction set; `Isa` is that of int8_rows-inl.h and has besides: add_bytes, store_bytes.

#pragma once

#include <cstddef>

#include "kernels/int8_format_of-inl.h"
#include "kernels/kernel_table.h"

namespace exo::kernels {
namespace {

// What is added to a format's integers to make them those of a panel.
template <typename Isa, typename Format>
inline constexpr int kPanelOffset =
    !Format::kSmall || Format::kBiasShift >= 31 ? 0 : (Isa::kUnsigned ? 128 : 0) - (128 >> Format::kBiasShift);

// kCount: 8, or 0: `some`, for formats whose groups have blocks of their own.
template <typename Isa, typename Format, int kCount>
__attribute__((noinline)) void pack_groups(const PanelRows& rows, int64_t first, int64_t some, const Ahead& ahead,
                                           Panel& __restrict out) {
  using I = typename Isa::I;
  constexpr int kOffset = kPanelOffset<Isa, Format>;
  constexpr int64_t kSpan = Format::kTogether;
  const int64_t count = kCount > 0 ? kCount : some;
  auto asked = ahead.ask(count);
  for (int set = 0; set < kPanelRows / Isa::kLanes; ++set) {
    Format::scales(rows, set, first, count, out);
#pragma GCC unroll 1
    for (int64_t start = 0; start < count; start += kSpan) {
#pragma GCC unroll 8
      for (int64_t i = 0; i < kSpan; ++i) {
        if (set == 0) asked.step();
        I w[8];
        Format::words(rows, set, first, start, i, w);
        for (int k = 0; k < 8; ++k) {
          if constexpr (kOffset != 0) w[k] = Isa::add_bytes(w[k], Isa::bytes(kOffset));
          Isa::store_bytes(out.q[start + i][k] + set * Isa::kLanes * 4, w[k]);
        }
      }
    }
  }
}

template <typename Isa>
void pack(ElementType type, const PanelRows& rows, int64_t first, int64_t count, const Ahead& ahead, Panel& out) {
  const bool known = with_format<Isa>(type, [&](auto format) {
    using Format = decltype(format);
    if constexpr (Format::kTogether == 1) {
      if (count < kGroupsPerSuper) return pack_groups<Isa, Format, 0>(rows, first, count, ahead, out);
    }
    pack_groups<Isa, Format, kGroupsPerSuper>(rows, first, count, ahead, out);
  });
  if (!known) pack_reference(type, rows, first, count, Isa::kUnsigned ? 128 : 0, out);
}

}  // namespace
}  // namespace exo::kernels
