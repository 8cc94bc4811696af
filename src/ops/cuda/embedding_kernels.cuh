// Token embedding. T tokens, H hidden_size. Bound by bandwidth (random rows of H elements).
#pragma once

#include "ops/cuda/device.cuh"

namespace r1::ops::kernels {

/// out[t] = weight[ids[t]]. Columns by grid.y.
template <typename W, typename T, int kWidth>
__global__ void __launch_bounds__(256) embedding_kernel(const int* ids, const W* weight, T* out, index_t out_stride, index_t hidden_size) {
  begin_kernel();
  const index_t token = blockIdx.x, i = (static_cast<index_t>(blockIdx.y) * blockDim.x + threadIdx.x) * kWidth;
  if (i >= hidden_size) return;
  store_floats(out + token * out_stride + i, load_floats<kWidth>(weight + load(ids + token) * hidden_size + i));
}

constexpr int kEmbeddingThreads = 128;

/// grad_weight[id] += grad_out[t] for the tokens t with this id in ascending order: one rounding per element and token, no atomics.
///
/// One block per token and 128 pieces of columns; the block of an id's first token does the work of all of them. 128 ids are compared
/// at a time, and a vote per warp gives the matches in order. The scan of ids costs T^2 / 2 comparisons, in cache.
template <typename T, typename W, int kWidth>
__global__ void __launch_bounds__(kEmbeddingThreads)
    embedding_backward_kernel(const int* ids, index_t num_tokens, const T* grad_out, index_t grad_out_stride, W* grad_weight,
                              index_t hidden_size) {
  begin_kernel();
  constexpr int kWarps = kEmbeddingThreads / kWarp;
  R1_SHARED(unsigned, matches, kWarps);
  const index_t token = blockIdx.x;
  const int id = load(ids + token);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const index_t i = (static_cast<index_t>(blockIdx.y) * blockDim.x + threadIdx.x) * kWidth;
  const bool has_columns = i < hidden_size;
  W* target = grad_weight + id * hidden_size + i;
  Floats<kWidth> total;
  for (index_t first = 0; first < num_tokens; first += kEmbeddingThreads) {
    const index_t mine = first + threadIdx.x;
    const unsigned found = __ballot_sync(kFullWarp, mine < num_tokens && load(ids + mine) == id);
    __syncthreads();  // the last piece's matches have been read
    if (lane == 0) matches[warp] = found;
    __syncthreads();
    for (int w = 0; w < kWarps; ++w) {
      unsigned bits = matches[w];
      while (bits != 0) {
        const index_t match = first + w * kWarp + __ffs(bits) - 1;
        bits &= bits - 1;
        if (match < token) return;  // the same in all threads of the block: an earlier token is the first of this id
        if (!has_columns) continue;
        if (match == token) total = load_floats<kWidth>(target);
        const Floats<kWidth> grads = load_floats<kWidth>(grad_out + match * grad_out_stride + i);
#pragma unroll
        for (int k = 0; k < kWidth; ++k) total.v[k] += grads.v[k];
      }
    }
  }
  if (has_columns) store_floats(target, total);
}

}  // namespace r1::ops::kernels
