// Around a product of e4m3 matrices. M rows, K reduction index, N columns. Both kernels are bound by bandwidth.
#pragma once

#include "ops/cuda/device.cuh"

namespace r1::ops::kernels {

/// One block of up to 256 threads a row, read twice, the second time from cache. A NaN or infinity in the row makes NaN of it.
template <typename T, int kWidth>
__global__ void __launch_bounds__(256)
    round_rows_to_f8_kernel(const T* x, index_t x_stride, f8e4m3* rounded, float* scales, index_t row_length) {
  begin_kernel();
  const index_t row = blockIdx.x;
  x += row * x_stride;
  rounded += row * row_length;
  float largest = 0;
  for (index_t i = threadIdx.x * kWidth; i < row_length; i += static_cast<index_t>(blockDim.x) * kWidth) {
    const Floats<kWidth> values = load_floats<kWidth>(x + i);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) largest = fmaxf(largest, fabsf(values.v[k]));
  }
  largest = block_max(largest);
  const float scale = largest > 0.0f ? __fdiv_rn(largest, 448.0f) : 1.0f;
  if (threadIdx.x == 0) store(scales + row, scale);
  for (index_t i = threadIdx.x * kWidth; i < row_length; i += static_cast<index_t>(blockDim.x) * kWidth) {
    Floats<kWidth> values = load_floats<kWidth>(x + i);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) values.v[k] = __fdiv_rn(values.v[k], scale);
    store_floats(rounded + i, values);
  }
}

/// kWidth columns a thread; grid: columns by at most 65,535 rows, in strides.
template <typename T, typename B, int kWidth>
__global__ void __launch_bounds__(256) scale_sums_kernel(const float* sums, const float* row_scales, const float* column_scales,
                                                         const B* bias, T* out, index_t out_stride, index_t num_rows, index_t num_columns) {
  begin_kernel();
  const index_t column = (static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kWidth;
  if (column >= num_columns) return;
  const Floats<kWidth> factors = load_floats<kWidth>(column_scales + column);
  Floats<kWidth> added;
  if (bias != nullptr) added = load_floats<kWidth>(bias + column);
  for (index_t row = blockIdx.y; row < num_rows; row += gridDim.y) {
    Floats<kWidth> values = load_floats<kWidth>(sums + row * num_columns + column);
    const float row_scale = load(row_scales + row);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      values.v[k] = __fmul_rn(__fmul_rn(values.v[k], factors.v[k]), row_scale);
      if (bias != nullptr) values.v[k] = __fadd_rn(values.v[k], added.v[k]);
    }
    store_floats(out + row * out_stride + column, values);
  }
}

}  // namespace r1::ops::kernels
