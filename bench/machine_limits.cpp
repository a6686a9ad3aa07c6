#include "machine_limits.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "bench_run.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace exo::bench {
namespace {

#if defined(__x86_64__)
#define EXO_512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#define EXO_256 __attribute__((target("avx2,fma")))

bool has_512() { return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni"); }

EXO_512 uint64_t read_512(const uint64_t* p, uint64_t n) {
  __m512i a = _mm512_setzero_si512(), b = a, c = a, e = a;
  for (uint64_t i = 0; i + 32 <= n; i += 32) {
    a = _mm512_xor_si512(a, _mm512_loadu_si512(p + i));
    b = _mm512_xor_si512(b, _mm512_loadu_si512(p + i + 8));
    c = _mm512_xor_si512(c, _mm512_loadu_si512(p + i + 16));
    e = _mm512_xor_si512(e, _mm512_loadu_si512(p + i + 24));
  }
  return static_cast<uint64_t>(
      _mm512_reduce_add_epi64(_mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, e))));
}

// Twelve independent chains hide the latency; the barrier keeps the compiler from merging rounds.
#define EXO_CHAINS(type, zero, step)                                                                         \
  type a0 = zero, a1 = zero, a2 = zero, a3 = zero, a4 = zero, a5 = zero;                                     \
  type b0 = zero, b1 = zero, b2 = zero, b3 = zero, b4 = zero, b5 = zero;                                     \
  for (int i = 0; i < rounds; ++i) {                                                                         \
    a0 = step(a0);                                                                                           \
    a1 = step(a1);                                                                                           \
    a2 = step(a2);                                                                                           \
    a3 = step(a3);                                                                                           \
    a4 = step(a4);                                                                                           \
    a5 = step(a5);                                                                                           \
    b0 = step(b0);                                                                                           \
    b1 = step(b1);                                                                                           \
    b2 = step(b2);                                                                                           \
    b3 = step(b3);                                                                                           \
    b4 = step(b4);                                                                                           \
    b5 = step(b5);                                                                                           \
    asm volatile(""                                                                                          \
                 : "+v"(a0), "+v"(a1), "+v"(a2), "+v"(a3), "+v"(a4), "+v"(a5), "+v"(b0), "+v"(b1), "+v"(b2), \
                   "+v"(b3), "+v"(b4), "+v"(b5));                                                            \
  }

EXO_512 void int8_512(int rounds) {
  const __m512i w = _mm512_set1_epi8(1);
#define EXO_STEP(v) _mm512_dpbusd_epi32(v, w, w)
  EXO_CHAINS(__m512i, _mm512_setzero_si512(), EXO_STEP)
#undef EXO_STEP
}
EXO_512 void f32_512(int rounds) {
  const __m512 w = _mm512_set1_ps(0.5f);
#define EXO_STEP(v) _mm512_fmadd_ps(v, w, w)
  EXO_CHAINS(__m512, _mm512_setzero_ps(), EXO_STEP)
#undef EXO_STEP
}
EXO_256 void int8_256(int rounds) {
  const __m256i w = _mm256_set1_epi8(1), one = _mm256_set1_epi16(1);
#define EXO_STEP(v) _mm256_add_epi32(v, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_xor_si256(w, v), w), one))
  EXO_CHAINS(__m256i, _mm256_setzero_si256(), EXO_STEP)
#undef EXO_STEP
}
EXO_256 void f32_256(int rounds) {
  const __m256 w = _mm256_set1_ps(0.5f);
#define EXO_STEP(v) _mm256_fmadd_ps(v, w, w)
  EXO_CHAINS(__m256, _mm256_setzero_ps(), EXO_STEP)
#undef EXO_STEP
}
#endif

uint64_t read_plain(const uint64_t* p, uint64_t n) {
  uint64_t sum[8] = {};
  for (uint64_t i = 0; i + 8 <= n; i += 8) {
    for (int k = 0; k < 8; ++k) sum[k] ^= p[i + static_cast<uint64_t>(k)];
  }
  return sum[0] ^ sum[1] ^ sum[2] ^ sum[3] ^ sum[4] ^ sum[5] ^ sum[6] ^ sum[7];
}

uint64_t read_all(const uint64_t* p, uint64_t n) {
#if defined(__x86_64__)
  if (has_512()) return read_512(p, n);
#endif
  return read_plain(p, n);
}

constexpr int kRounds = 20000;  // short enough to be done between two interruptions

template <typename F>
[[maybe_unused]] double best_seconds(F f) {
  double best = 1e30;
  for (int i = 0; i < 2000; ++i) {
    const double start = seconds();
    f();
    best = std::min(best, seconds() - start);
  }
  return best;
}

}  // namespace

double read_bandwidth_gbps(ThreadPool& pool, uint64_t bytes) {
  std::vector<uint64_t> memory(bytes / 8, 1);
  const auto words = static_cast<int64_t>(memory.size());
  constexpr int64_t kPiece = 1 << 20;  // words that one call reads: 8 MB, as a weight matrix
  std::atomic<uint64_t> sink{0};
  double best = 1e30;
  for (int64_t at = 0; at < 4 * words; at += kPiece) {
    const uint64_t* piece = memory.data() + at % (words - kPiece);
    const double start = seconds();
    const int64_t part = kPiece / (8 * pool.size());
    pool.parallel_for(kPiece, part, [&](int64_t begin, int64_t end, int) {
      sink ^= read_all(piece + begin, static_cast<uint64_t>(end - begin));
    });
    best = std::min(best, seconds() - start);
  }
  return 8.0 * static_cast<double>(kPiece) / best / 1e9;
}

double int8_peak_gops() {
#if defined(__x86_64__)
  if (has_512()) return 12.0 * kRounds * 128 / best_seconds([] { int8_512(kRounds); }) / 1e9;
  return 12.0 * kRounds * 64 / best_seconds([] { int8_256(kRounds); }) / 1e9;
#else
  return 0.0;
#endif
}

double f32_peak_gflops() {
#if defined(__x86_64__)
  if (has_512()) return 12.0 * kRounds * 32 / best_seconds([] { f32_512(kRounds); }) / 1e9;
  return 12.0 * kRounds * 16 / best_seconds([] { f32_256(kRounds); }) / 1e9;
#else
  return 0.0;
#endif
}

}  // namespace exo::bench
