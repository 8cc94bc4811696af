// Where each sequence of a packed batch begins in the buffers of an attention, as cuDNN wants to know it. Some hundred bytes.
#pragma once

#include "ops/cuda/device.cuh"

namespace r1::ops::kernels {

constexpr int kMaxAttentionBuffers = 9;

/// Elements from one token to the next in each buffer.
struct TokenStrides {
  int count;
  int elements[kMaxAttentionBuffers];
};

/// offsets[buffer][s] = cu_seqlens[s] * stride of the buffer, lengths[s] = tokens of sequence s. One thread for each of the
/// num_sequences + 1 borders.
[[maybe_unused]] static __global__ void __launch_bounds__(256)
    attention_offsets_kernel(const int* cu_seqlens, int num_sequences, TokenStrides strides, int* offsets, int* lengths) {
  begin_kernel();
  const int s = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (s > num_sequences) return;
  const int begin = load(cu_seqlens + s);
  for (int buffer = 0; buffer < strides.count; ++buffer) {
    store(offsets + buffer * (num_sequences + 1) + s, begin * strides.elements[buffer]);
  }
  if (s < num_sequences) store(lengths + s, load(cu_seqlens + s + 1) - begin);
}

}  // namespace r1::ops::kernels
