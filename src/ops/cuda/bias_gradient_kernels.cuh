// Column sums of a matrix [M, N], first of parts of 512 rows, then of the parts (sum_parts_kernel). Bound by bandwidth.
#pragma once

#include "ops/cuda/device.cuh"

namespace r1::ops::kernels {

constexpr int kBiasWarps = 8;
constexpr int kBiasRows = 512;

/// parts[part, column] = sum of the part's rows. Grid: columns / (32 kWidth) by parts; 256 threads. A warp's lanes lie along the columns,
/// so that each row is read in whole pieces of memory; the eight warps take every eighth row, and their sums are added in ascending order.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kBiasWarps* kWarp)
    bias_parts_kernel(const T* grad_out, index_t stride, index_t num_rows, index_t num_columns, float* parts) {
  begin_kernel();
  R1_SHARED(float, sums, kBiasWarps* kWarp* kWidth);  // [element of a lane][warp][lane]
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const index_t column = (static_cast<index_t>(blockIdx.x) * kWarp + lane) * kWidth;
  const index_t first = static_cast<index_t>(blockIdx.y) * kBiasRows;
  const index_t end = first + kBiasRows < num_rows ? first + kBiasRows : num_rows;
  Floats<kWidth> total;
#pragma unroll
  for (int k = 0; k < kWidth; ++k) total.v[k] = 0.0f;
  if (column < num_columns) {
#pragma unroll 4
    for (index_t row = first + warp; row < end; row += kBiasWarps) {
      const Floats<kWidth> values = load_floats<kWidth>(grad_out + row * stride + column);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) total.v[k] += values.v[k];
    }
  }
#pragma unroll
  for (int k = 0; k < kWidth; ++k) sums[(k * kBiasWarps + warp) * kWarp + lane] = total.v[k];
  __syncthreads();
  if (warp != 0 || column >= num_columns) return;
#pragma unroll
  for (int k = 0; k < kWidth; ++k) {
    for (int w = 1; w < kBiasWarps; ++w) total.v[k] += sums[(k * kBiasWarps + w) * kWarp + lane];
  }
  store_floats(parts + blockIdx.y * num_columns + column, total);
}

}  // namespace r1::ops::kernels
