#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "tests/support/ordered/math.h"

namespace r1::test::ordered {

struct LogSoftmax {
  float largest = -std::numeric_limits<float>::infinity();
  double sum = 0, weighted = 0;
  // The cpu's logarithm is good to 1e-16 relative, so that the rounded results agree with libm's.
  double lse() const { return double{largest} + std::log(sum); }
  float log_prob(float y) const { return static_cast<float>(double{y} - lse()); }
  float entropy() const { return static_cast<float>(std::log(sum) - weighted / sum); }
};

/// Blocks of 1,024 ids; 16 chains a block; sums over blocks in double, rescaled when the largest logit changes.
inline LogSoftmax log_softmax(const std::vector<float>& logits, float temperature) {
  LogSoftmax stats;
  for (std::size_t first = 0; first < logits.size(); first += 1024) {
    const std::size_t end = std::min(first + 1024, logits.size());
    float largest = stats.largest;
    for (std::size_t i = first; i < end; ++i) largest = std::max(largest, logits[i] / temperature);
    if (first > 0) {
      const float change = stats.largest - largest;
      const double factor = double{exp(change)};
      stats.weighted = factor * (stats.weighted + double{change} * stats.sum);
      stats.sum *= factor;
    }
    stats.largest = largest;
    std::array<float, 16> sums{}, weighted{};
    for (std::size_t i = first; i < end; ++i) {
      const float distance = logits[i] / temperature - largest;
      sums[(i - first) % 16] += exp(distance);
      weighted[(i - first) % 16] = std::fma(exp(distance), std::max(distance, -200.0F), weighted[(i - first) % 16]);
    }
    stats.sum += double{add_lanes(sums)};
    stats.weighted += double{add_lanes(weighted)};
  }
  return stats;
}

/// (p - [is id]) * coefficient with p = e^(y - lse).
inline std::vector<float> cross_entropy_gradient(const std::vector<float>& logits, float temperature, float lse, std::int32_t id,
                                                 float coefficient) {
  std::vector<float> gradient;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const float p = exp(logits[i] / temperature - lse);
    gradient.push_back((i == static_cast<std::size_t>(id) ? p - 1.0F : p) * coefficient);
  }
  return gradient;
}

}  // namespace r1::test::ordered
