#pragma once

#include <vector>

#include "tensor/dtype.h"
#include "tests/support/ordered/math.h"

namespace r1::test::ordered {

/// One FMA chain over k ascending, from `start`.
template <typename A, typename B>
float product_chain(std::int64_t count, A&& a, B&& b, float start = 0.0F) {
  for (std::int64_t k = 0; k < count; ++k) start = std::fma(a(k), b(k), start);
  return start;
}

/// out [M, N] = x [M, K] · weight [N, K]^T + bias.
inline std::vector<float> linear(std::int64_t M, std::int64_t N, std::int64_t K, const float* x, const float* weight, const float* bias) {
  std::vector<float> out;
  for (std::int64_t m = 0; m < M; ++m) {
    for (std::int64_t n = 0; n < N; ++n) {
      const float sum = product_chain(
          K, [&](std::int64_t k) { return x[m * K + k]; }, [&](std::int64_t k) { return weight[n * K + k]; });
      out.push_back(bias != nullptr ? sum + bias[n] : sum);
    }
  }
  return out;
}

/// The chain on the unscaled 8-bit weights, then scale, then bias.
inline std::vector<float> linear_int8(std::int64_t M, std::int64_t N, std::int64_t K, const float* x, const std::int8_t* weight,
                                      const float* scales, const float* bias) {
  std::vector<float> out;
  for (std::int64_t m = 0; m < M; ++m) {
    for (std::int64_t n = 0; n < N; ++n) {
      const float sum = product_chain(
          K, [&](std::int64_t k) { return x[m * K + k]; }, [&](std::int64_t k) { return static_cast<float>(weight[n * K + k]); });
      const float scaled = sum * scales[n];
      out.push_back(bias != nullptr ? scaled + bias[n] : scaled);
    }
  }
  return out;
}

/// x rounded to e4m3 by rows; the chain on unscaled values, then the weight's scale, the row's, then bias.
inline std::vector<float> linear_fp8(std::int64_t M, std::int64_t N, std::int64_t K, const float* x, const std::uint8_t* weight,
                                     const float* scales, const float* bias) {
  std::vector<float> out;
  for (std::int64_t m = 0; m < M; ++m) {
    float largest = 0;
    for (std::int64_t k = 0; k < K; ++k) largest = std::fmax(largest, std::fabs(x[m * K + k]));
    const float row_scale = largest > 0 ? largest / 448.0F : 1.0F;
    for (std::int64_t n = 0; n < N; ++n) {
      const float sum = product_chain(
          K, [&](std::int64_t k) { return f8e4m3_to_f32(f32_to_f8e4m3(x[m * K + k] / row_scale)); },
          [&](std::int64_t k) { return f8e4m3_to_f32(weight[n * K + k]); });
      const float scaled = sum * scales[n] * row_scale;
      out.push_back(bias != nullptr ? scaled + bias[n] : scaled);
    }
  }
  return out;
}

/// grad_x [M, K] from grad_out [M, N], weight [N, K]; the chains start from `before` when there is one.
inline std::vector<float> linear_backward_input(std::int64_t M, std::int64_t N, std::int64_t K, const float* grad_out, const float* weight,
                                                const float* before) {
  std::vector<float> grad_x;
  for (std::int64_t i = 0; i < M * K; ++i) {
    grad_x.push_back(product_chain(
        N, [&](std::int64_t n) { return grad_out[i / K * N + n]; }, [&](std::int64_t n) { return weight[n * K + i % K]; },
        before != nullptr ? before[i] : 0.0F));
  }
  return grad_x;
}

/// grad_weight [N, K] from grad_out [M, N], x [M, K].
inline std::vector<float> linear_backward_weight(std::int64_t M, std::int64_t N, std::int64_t K, const float* grad_out, const float* x,
                                                 const float* before) {
  std::vector<float> grad_weight;
  for (std::int64_t i = 0; i < N * K; ++i) {
    grad_weight.push_back(product_chain(
        M, [&](std::int64_t m) { return grad_out[m * N + i / K]; }, [&](std::int64_t m) { return x[m * K + i % K]; },
        before != nullptr ? before[i] : 0.0F));
  }
  return grad_weight;
}

/// grad_bias [N]: one chain of additions, rows ascending.
inline std::vector<float> column_sums(std::int64_t M, std::int64_t N, const float* grad_out, const float* before) {
  std::vector<float> sums(static_cast<std::size_t>(N));
  for (std::int64_t n = 0; n < N; ++n) {
    float sum = before != nullptr ? before[n] : 0.0F;
    for (std::int64_t m = 0; m < M; ++m) sum += grad_out[m * N + n];
    sums[static_cast<std::size_t>(n)] = sum;
  }
  return sums;
}

}  // namespace r1::test::ordered
