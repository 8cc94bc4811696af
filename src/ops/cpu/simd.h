// Sixteen f32 lanes on every processor: one AVX-512 register, two AVX2 registers, or an array with std::fma.
//
// Every function gives the same bits in all three: lanes are independent, fused where it says fma and nowhere else, sums over
// lanes run through one fixed tree, exp and log are our own. Include it last, in a block of its own: it begins the
// variant's instruction set (ops/cpu/isa_begin.inc).
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#if defined(R1_CPU_avx512) || defined(R1_CPU_avx2)
#include <immintrin.h>
#endif

#include "ops/cpu/isa_begin.inc"

#define R1_INLINE inline __attribute__((always_inline))

namespace r1::ops::R1_CPU_NAMESPACE {

inline constexpr int kLanes = 16;

#if defined(R1_CPU_avx512)
#include "ops/cpu/simd_avx512.inc"
#elif defined(R1_CPU_avx2)
#include "ops/cpu/simd_avx2.inc"
#else
#include "ops/cpu/simd_portable.inc"
#endif

/// The first `count` lanes from memory (0 <= count <= 16), `rest` in the others.
R1_INLINE Vec load_first(const float* memory, std::int64_t count, Vec rest) {
  return count >= kLanes ? load(memory) : load_partial(memory, static_cast<int>(count), rest);
}
R1_INLINE void store_first(float* memory, Vec value, std::int64_t count) {
  if (count >= kLanes) {
    store(memory, value);
  } else {
    store_partial(memory, value, static_cast<int>(count));
  }
}

/// e^x to within 1 ulp or so; 0 below -86.5 (subnormal results are flushed), infinity above 88.72, NaN for NaN.
/// x = n ln 2 + r with n = round(x / ln 2), |r| <= ln 2 / 2; e^r = 1 + r + r^2 q(r), q of degree 4 (minimax, relative error
/// 3e-9); n ln 2 is subtracted in two parts. Adding and subtracting 1.5 * 2^23 rounds to nearest even on every processor.
R1_INLINE Vec exp(Vec x) {
  const Vec magic = broadcast(12582912.0F);
  const Vec clamped = min(broadcast(89.0F), x);  // the second argument where one is NaN
  const Vec shifted = fma(clamped, broadcast(0x1.715476p+0F), magic);
  const Vec n = sub(shifted, magic);
  Vec r = fma(n, broadcast(-0x1.62e4p-1F), clamped);
  r = fma(n, broadcast(-0x1.7f7d1cp-20F), r);
  Vec q = broadcast(0x1.6a2252p-10F);
  q = fma(q, r, broadcast(0x1.123b04p-7F));
  q = fma(q, r, broadcast(0x1.5558f8p-5F));
  q = fma(q, r, broadcast(0x1.55549p-3F));
  q = fma(q, r, broadcast(0x1.fffffcp-2F));
  const Vec e = add(fma(mul(r, r), q, r), broadcast(1.0F));
  // 2^(n-1), then * 2: n = 128 needs no exponent of its own.
  const Vec result = mul(mul(e, power_of_two(shifted)), broadcast(2.0F));
  return select_less(x, broadcast(-86.5F), zero(), result);
}

/// Lane 0 of exp(), for the odd scalar.
R1_INLINE float exp(float x) { return first_lane(exp(broadcast(x))); }

/// Natural logarithm of a positive number, in plain double arithmetic: x = m 2^k with m in [sqrt(1/2), sqrt(2)), s = (m-1)/(m+1),
/// log m = 2 (s + s^3/3 + s^5/5 + …); |s| < 0.172, so the terms up to s^19 leave an error under 1e-16.
/// +inf and NaN give themselves, 0 gives -inf.
R1_INLINE double log(double x) {
  if (!(x < std::numeric_limits<double>::infinity())) return x;
  if (x <= 0) return x == 0 ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  auto bits = std::bit_cast<std::uint64_t>(x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  if (exponent == -1023) {  // subnormal
    bits = std::bit_cast<std::uint64_t>(x * 0x1p54);
    exponent = static_cast<int>(bits >> 52) - 1023 - 54;
  }
  double mantissa = std::bit_cast<double>((bits & 0xFFFFFFFFFFFFFULL) | 0x3FF0000000000000ULL);
  if (mantissa > 1.4142135623730951) {
    mantissa *= 0.5;
    ++exponent;
  }
  const double s = (mantissa - 1.0) / (mantissa + 1.0);
  const double s2 = s * s;
  double series = 1.0 / 19;
  for (int odd = 17; odd >= 1; odd -= 2) series = series * s2 + 1.0 / odd;
  return 2.0 * s * series + exponent * 0.6931471805599453;
}

}  // namespace r1::ops::R1_CPU_NAMESPACE
