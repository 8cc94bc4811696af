// Sums over fixed blocks of 1,024 elements, in double: the gradient norm and metrics. Bound by bandwidth.
#pragma once

#include "ops/cuda/device.cuh"

namespace r1::ops::kernels {

constexpr index_t kReduceElements = 1024;

/// sums[b] over the elements of block b: eight chains of double, chain j over the elements j, j + 8, …, added pairwise (4, 2, 1): the
/// CPU's order, hence its bits.
///
/// One thread holds the chains of one 16-byte piece: two neighbouring lanes share a block of f32, one lane has a block of bf16.
template <typename T, bool kSquares, bool kAligned>
__global__ void __launch_bounds__(256) sum_blocks_kernel(const T* x, index_t count, double* sums, index_t num_blocks) {
  begin_kernel();
  constexpr int kWidth = kVectorWidth<T>, kLanes = 8 / kWidth;
  const index_t thread = static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const index_t block = thread / kLanes;
  const int part = static_cast<int>(thread % kLanes) * kWidth;
  double chains[8] = {0, 0, 0, 0, 0, 0, 0, 0};
  const index_t begin = block * kReduceElements + part;
  const index_t end = (block + 1) * kReduceElements < count ? (block + 1) * kReduceElements : count;
  for (index_t i = begin; i < end; i += 8) {
    if (kAligned && i + kWidth <= end) {
      const Floats<kWidth> values = load_floats<kWidth>(x + i);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) {
        const double value = values.v[k];
        chains[k] = kSquares ? __fma_rn(value, value, chains[k]) : __dadd_rn(chains[k], value);
      }
    } else {
#pragma unroll
      for (int k = 0; k < kWidth; ++k) {
        if (i + k >= end) continue;
        const double value = to_float(load(x + i + k));
        chains[k] = kSquares ? __fma_rn(value, value, chains[k]) : __dadd_rn(chains[k], value);
      }
    }
  }
  if constexpr (kLanes == 2) {  // the other lane's four chains, 4 + j
#pragma unroll
    for (int k = 0; k < 4; ++k) chains[4 + k] = __shfl_xor_sync(kFullWarp, chains[k], 1);
  }
#pragma unroll
  for (int distance = 4; distance > 0; distance /= 2) {
#pragma unroll
    for (int k = 0; k < distance; ++k) chains[k] = __dadd_rn(chains[k], chains[k + distance]);
  }
  if (part == 0 && block < num_blocks) store(sums + block, chains[0]);
}

}  // namespace r1::ops::kernels
