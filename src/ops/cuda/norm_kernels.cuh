// Root-mean-square normalisation. T rows, H hidden_size.
//
// One block of up to 256 threads a row; the row is read twice, the second time from cache. Bound by bandwidth.
#pragma once

#include "ops/cuda/device.cuh"

namespace r1::ops::kernels {

/// out = x * rstd * weight; with a residual first sum = x + residual, and the sum is what is normalised.
/// rstd may be null. out may alias x, sum may alias x or residual: each thread reads an element before it writes it.
template <typename T, int kWidth, bool kAdd>
__global__ void __launch_bounds__(256)
    rms_norm_kernel(const T* x, index_t x_stride, const T* residual, index_t residual_stride, const T* weight, float eps, T* sum,
                    index_t sum_stride, T* out, index_t out_stride, float* rstd, index_t hidden_size) {
  begin_kernel();
  const index_t row = blockIdx.x;
  x += row * x_stride;
  if (kAdd) residual += row * residual_stride;
  if (kAdd) sum += row * sum_stride;
  out += row * out_stride;
  float squares = 0;
  for (index_t i = threadIdx.x * kWidth; i < hidden_size; i += static_cast<index_t>(blockDim.x) * kWidth) {
    Floats<kWidth> values = load_floats<kWidth>(x + i);
    if constexpr (kAdd) {
      const Floats<kWidth> added = load_floats<kWidth>(residual + i);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) {
        T rounded;
        from_float(values.v[k] + added.v[k], rounded);
        values.v[k] = to_float(rounded);
      }
      store_floats(sum + i, values);
    }
#pragma unroll
    for (int k = 0; k < kWidth; ++k) squares = __fmaf_rn(values.v[k], values.v[k], squares);
  }
  const float factor = 1.0f / __fsqrt_rn(block_sum(squares) / static_cast<float>(hidden_size) + eps);
  if (rstd != nullptr && threadIdx.x == 0) store(rstd + row, factor);
  const T* input = kAdd ? sum : x;
  for (index_t i = threadIdx.x * kWidth; i < hidden_size; i += static_cast<index_t>(blockDim.x) * kWidth) {
    Floats<kWidth> values = load_floats<kWidth>(input + i);
    const Floats<kWidth> weights = load_floats<kWidth>(weight + i);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) values.v[k] = values.v[k] * factor * weights.v[k];
    store_floats(out + i, values);
  }
}

/// Rows whose share of grad_weight one block adds up.
constexpr int kNormRowsPerBlock = 32;

/// With n = x * rstd and g = grad_out * weight: grad_x (+)= rstd * (g - n * mean(g * n)).
/// partial_sums [blocks, H] f32: the block's rows of grad_out * n in ascending order. Dynamic shared memory: H floats.
/// grad_x may alias grad_out when kAccumulate is false.
template <typename T, int kWidth, bool kAccumulate>
__global__ void __launch_bounds__(256)
    rms_norm_backward_kernel(const T* grad_out, index_t grad_out_stride, const T* x, index_t x_stride, const T* weight, const float* rstd,
                             T* grad_x, index_t grad_x_stride, float* partial_sums, index_t num_rows, index_t hidden_size) {
  begin_kernel();
  // [kWidth, H / kWidth]: neighbouring threads use neighbouring banks.
  R1_DYNAMIC_SHARED(float, weight_sums);
  const index_t vectors = hidden_size / kWidth;
  const index_t first = static_cast<index_t>(blockIdx.x) * kNormRowsPerBlock;
  const index_t end = first + kNormRowsPerBlock < num_rows ? first + kNormRowsPerBlock : num_rows;
  for (index_t v = threadIdx.x; v < vectors; v += blockDim.x) {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) weight_sums[k * vectors + v] = 0.0f;
  }
  for (index_t row = first; row < end; ++row) {
    const float factor = load(rstd + row);
    float dot = 0;
    for (index_t v = threadIdx.x; v < vectors; v += blockDim.x) {
      const Floats<kWidth> grads = load_floats<kWidth>(grad_out + row * grad_out_stride + v * kWidth);
      const Floats<kWidth> values = load_floats<kWidth>(x + row * x_stride + v * kWidth);
      const Floats<kWidth> weights = load_floats<kWidth>(weight + v * kWidth);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) {
        const float normalised = values.v[k] * factor;
        dot = __fmaf_rn(grads.v[k] * weights.v[k], normalised, dot);
        weight_sums[k * vectors + v] = __fmaf_rn(grads.v[k], normalised, weight_sums[k * vectors + v]);
      }
    }
    const float mean = block_sum(dot) / static_cast<float>(hidden_size);
    for (index_t v = threadIdx.x; v < vectors; v += blockDim.x) {
      const Floats<kWidth> grads = load_floats<kWidth>(grad_out + row * grad_out_stride + v * kWidth);
      const Floats<kWidth> values = load_floats<kWidth>(x + row * x_stride + v * kWidth);
      const Floats<kWidth> weights = load_floats<kWidth>(weight + v * kWidth);
      T* target = grad_x + row * grad_x_stride + v * kWidth;
      Floats<kWidth> results;
#pragma unroll
      for (int k = 0; k < kWidth; ++k) results.v[k] = factor * (grads.v[k] * weights.v[k] - values.v[k] * factor * mean);
      if constexpr (kAccumulate) {
        const Floats<kWidth> before = load_floats<kWidth>(target);
#pragma unroll
        for (int k = 0; k < kWidth; ++k) results.v[k] += before.v[k];
      }
      store_floats(target, results);
    }
  }
  for (index_t v = threadIdx.x; v < vectors; v += blockDim.x) {
    Floats<kWidth> sums;
#pragma unroll
    for (int k = 0; k < kWidth; ++k) sums.v[k] = weight_sums[k * vectors + v];
    store_floats(partial_sums + blockIdx.x * hidden_size + v * kWidth, sums);
  }
}

/// out[column] (+)= sum over parts of partial_sums[part, column]. Blocks of 256: 32 columns by 8 runs of parts; the runs are added
/// in ascending order.
template <typename T, int kWidth>
__global__ void __launch_bounds__(256)
    sum_parts_kernel(const float* partial_sums, index_t num_parts, index_t num_columns, T* out, bool accumulate) {
  begin_kernel();
  R1_SHARED(float, run_sums, 8 * kWarp * kWidth);  // [element of a lane][run][lane]
  const int lane = threadIdx.x % kWarp, run = threadIdx.x / kWarp;
  const index_t column = (static_cast<index_t>(blockIdx.x) * kWarp + lane) * kWidth;
  const index_t parts_per_run = (num_parts + 7) / 8;
  const index_t end = (run + 1) * parts_per_run < num_parts ? (run + 1) * parts_per_run : num_parts;
  Floats<kWidth> sums;
#pragma unroll
  for (int k = 0; k < kWidth; ++k) sums.v[k] = 0.0f;
  if (column < num_columns) {
#pragma unroll 4
    for (index_t part = run * parts_per_run; part < end; ++part) {
      const Floats<kWidth> values = load_floats<kWidth>(partial_sums + part * num_columns + column);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sums.v[k] += values.v[k];
    }
  }
#pragma unroll
  for (int k = 0; k < kWidth; ++k) run_sums[(k * 8 + run) * kWarp + lane] = sums.v[k];
  __syncthreads();
  if (run != 0 || column >= num_columns) return;
  Floats<kWidth> totals;
#pragma unroll
  for (int k = 0; k < kWidth; ++k) totals.v[k] = 0.0f;
  if (accumulate) totals = load_floats<kWidth>(out + column);
#pragma unroll
  for (int k = 0; k < kWidth; ++k) {
    for (int r = 0; r < 8; ++r) totals.v[k] += run_sums[(k * 8 + r) * kWarp + lane];
  }
  store_floats(out + column, totals);
}

}  // namespace r1::ops::kernels
