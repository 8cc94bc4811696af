// Column sums of a matrix [M, N]. A warp's lanes lie along the columns, so that each row is read in whole pieces of memory; the eight
// warps of a block take every eighth row, and their sums are added in ascending order.
#pragma once

#include "ops/cuda/device.cuh"

namespace r1::ops::kernels {

constexpr int kBiasWarps = 8;

/// Grid: columns / 32. 256 threads.
template <typename T, typename B>
__global__ void __launch_bounds__(kBiasWarps* kWarp)
    bias_gradient_kernel(const T* grad_out, index_t stride, index_t num_rows, index_t num_columns, B* grad_bias, bool adds) {
  R1_SHARED(float, sums, kBiasWarps* kWarp);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const index_t column = static_cast<index_t>(blockIdx.x) * kWarp + lane;
  float sum = 0;
  if (column < num_columns) {
    for (index_t row = warp; row < num_rows; row += kBiasWarps) sum += to_float(load(grad_out + row * stride + column));
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (warp != 0 || column >= num_columns) return;
  for (int w = 1; w < kBiasWarps; ++w) sum += sums[w * kWarp + lane];
  if (adds) sum += to_float(load(grad_bias + column));
  B result;
  from_float(sum, result);
  store(grad_bias + column, result);
}

}  // namespace r1::ops::kernels
