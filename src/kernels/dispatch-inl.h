// HWY_ONCE part of a Highway source: defines EXO_DISPATCH(target, call), which runs `call` in the target's
// namespace and returns true, or falls through. Namespaces of targets that are not compiled must not be named,
// hence the list.
#if HWY_TARGETS & HWY_AVX3
#define EXO_TRY_AVX3(target, call) \
  if ((target) == HWY_AVX3) {      \
    N_AVX3::call;                  \
    return true;                   \
  }
#else
#define EXO_TRY_AVX3(target, call)
#endif
#if HWY_TARGETS & HWY_AVX2
#define EXO_TRY_AVX2(target, call) \
  if ((target) == HWY_AVX2) {      \
    N_AVX2::call;                  \
    return true;                   \
  }
#else
#define EXO_TRY_AVX2(target, call)
#endif
#if HWY_TARGETS & HWY_SSE4
#define EXO_TRY_SSE4(target, call) \
  if ((target) == HWY_SSE4) {      \
    N_SSE4::call;                  \
    return true;                   \
  }
#else
#define EXO_TRY_SSE4(target, call)
#endif
#if HWY_TARGETS & HWY_NEON
#define EXO_TRY_NEON(target, call) \
  if ((target) == HWY_NEON) {      \
    N_NEON::call;                  \
    return true;                   \
  }
#else
#define EXO_TRY_NEON(target, call)
#endif
#if HWY_TARGETS & HWY_WASM
#define EXO_TRY_WASM(target, call) \
  if ((target) == HWY_WASM) {      \
    N_WASM::call;                  \
    return true;                   \
  }
#else
#define EXO_TRY_WASM(target, call)
#endif
#if HWY_TARGETS & HWY_EMU128
#define EXO_TRY_EMU128(target, call) \
  if ((target) == HWY_EMU128) {      \
    N_EMU128::call;                  \
    return true;                     \
  }
#else
#define EXO_TRY_EMU128(target, call)
#endif
#if HWY_TARGETS & HWY_SCALAR
#define EXO_TRY_SCALAR(target, call) \
  if ((target) == HWY_SCALAR) {      \
    N_SCALAR::call;                  \
    return true;                     \
  }
#else
#define EXO_TRY_SCALAR(target, call)
#endif
#define EXO_DISPATCH(target, call)                                                                            \
  EXO_TRY_AVX3(target, call)                                                                                  \
  EXO_TRY_AVX2(target, call) EXO_TRY_SSE4(target, call) EXO_TRY_NEON(target, call) EXO_TRY_WASM(target, call) \
      EXO_TRY_EMU128(target, call) EXO_TRY_SCALAR(target, call)
