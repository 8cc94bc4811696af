#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "tests/support/ordered/math.h"

namespace r1::test::ordered {

/// scale times one FMA chain over the head.
inline float attention_score(const float* q, const float* k, std::int64_t D, float scale) {
  float chain = 0;
  for (std::int64_t d = 0; d < D; ++d) chain = std::fma(q[d], k[d], chain);
  return chain * scale;
}

/// One query against the `count` keys of its sequence up to it; key(j), value(j) point at D floats. Returns the lse.
template <typename Key, typename Value>
float attention_row(const float* q, Key&& key, Value&& value, std::int64_t count, std::int64_t D, float scale, float* out) {
  float maximum = -std::numeric_limits<float>::infinity(), sum = 0;
  std::fill_n(out, D, 0.0F);
  for (std::int64_t first = 0; first < count; first += 64) {
    const std::int64_t end = std::min(first + 64, count);
    std::array<float, 64> p{};
    const float before = maximum;
    for (std::int64_t j = first; j < end; ++j) {
      p[static_cast<std::size_t>(j - first)] = attention_score(q, key(j), D, scale);
      maximum = std::max(maximum, p[static_cast<std::size_t>(j - first)]);
    }
    const float factor = exp(before - maximum);
    for (std::int64_t j = first; j < end; ++j)
      p[static_cast<std::size_t>(j - first)] = exp(p[static_cast<std::size_t>(j - first)] - maximum);
    std::array<float, 16> lanes{};
    for (std::size_t j = 0; j < 16; ++j) lanes[j] = (p[j] + p[16 + j]) + (p[32 + j] + p[48 + j]);
    sum = std::fma(sum, factor, add_lanes(lanes));
    for (std::int64_t d = 0; d < D; ++d) {
      out[d] *= factor;
      for (std::int64_t j = first; j < end; ++j) out[d] = std::fma(p[static_cast<std::size_t>(j - first)], value(j)[d], out[d]);
    }
  }
  const float inverse = 1.0F / sum;
  for (std::int64_t d = 0; d < D; ++d) out[d] *= inverse;
  return maximum + static_cast<float>(std::log(double{sum}));
}

/// p and d loss / d (q · k) of one query and key.
inline std::pair<float, float> attention_grad_score(const float* q, const float* k, const float* v, const float* grad_out, float lse,
                                                    float delta, std::int64_t D, float scale) {
  const float p = exp(attention_score(q, k, D, scale) - lse);
  return {p, p * (attention_score(grad_out, v, D, 1.0F) - delta) * scale};
}

}  // namespace r1::test::ordered
