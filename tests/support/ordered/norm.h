#pragma once

#include "tests/support/ordered/math.h"

namespace r1::test::ordered {

inline float rms_norm_row(const float* x, const float* weight, std::int64_t H, float eps, float* out) {
  const float squares = sum_of_products(
      H, [&](std::int64_t i) { return x[i]; }, [&](std::int64_t i) { return x[i]; });
  const float rstd = 1.0F / std::sqrt(squares / static_cast<float>(H) + eps);
  for (std::int64_t i = 0; i < H; ++i) out[i] = (x[i] * rstd) * weight[i];
  return rstd;
}

/// One row of grad_x (before accumulation); grad_weight goes on with its chains.
inline void rms_norm_backward_row(const float* grad, const float* x, const float* weight, float rstd, std::int64_t H, float* grad_x,
                                  float* grad_weight) {
  for (std::int64_t i = 0; i < H; ++i) grad_weight[i] = std::fma(grad[i], x[i] * rstd, grad_weight[i]);
  const float dot = sum_of_products(
      H, [&](std::int64_t i) { return grad[i] * weight[i]; }, [&](std::int64_t i) { return x[i] * rstd; });
  const float minus_mean = -(dot / static_cast<float>(H));
  for (std::int64_t i = 0; i < H; ++i) grad_x[i] = std::fma(x[i] * rstd, minus_mean, grad[i] * weight[i]) * rstd;
}

}  // namespace r1::test::ordered
