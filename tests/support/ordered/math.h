// The order of sums of the cpu backend, spelled out with scalar std::fma. The cpu ops equal these functions bit for bit.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace r1::test::ordered {

/// Sixteen lanes added pairwise: lane j + lane j + 8, then 4, 2, 1.
inline float add_lanes(std::array<float, 16> lanes) {
  for (std::size_t half = 8; half > 0; half /= 2) {
    for (std::size_t j = 0; j < half; ++j) lanes[j] += lanes[j + half];
  }
  return lanes[0];
}

/// Sum of a(i) * b(i): chain j takes the elements j, j + 16, …
template <typename A, typename B>
float sum_of_products(std::int64_t count, A&& a, B&& b) {
  std::array<float, 16> lanes{};
  for (std::int64_t i = 0; i < count; ++i) {
    float& lane = lanes[static_cast<std::size_t>(i % 16)];
    lane = std::fma(a(i), b(i), lane);
  }
  return add_lanes(lanes);
}

/// e^x: n = round(x / ln 2), r = x - n ln 2, 2^n (1 + r + r^2 q(r)); 0 below -86.5.
inline float exp(float x) {
  if (x < -86.5F) return 0.0F;
  const float clamped = 89.0F < x ? 89.0F : x;
  const float n = std::fma(clamped, 0x1.715476p+0F, 12582912.0F) - 12582912.0F;
  const float r = std::fma(n, -0x1.7f7d1cp-20F, std::fma(n, -0x1.62e4p-1F, clamped));
  float q = 0x1.6a2252p-10F;
  for (const float next : {0x1.123b04p-7F, 0x1.5558f8p-5F, 0x1.55549p-3F, 0x1.fffffcp-2F}) q = std::fma(q, r, next);
  return (std::fma(r * r, q, r) + 1.0F) * std::ldexp(1.0F, static_cast<int>(n) - 1) * 2.0F;
}

}  // namespace r1::test::ordered
