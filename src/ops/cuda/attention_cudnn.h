// Attention of training on the tensor cores, through cuDNN's graph of scaled dot-product attention.
#pragma once

#include <cstdint>
#include <memory>

#include "ops/attention.h"
#include "tensor/cuda_abi.h"

namespace r1::ops::cuda {

/// attention() and attention_backward() of ops/attention.h. Through cuDNN: bf16 on a device of compute capability 9.x or 10.x, head_dim
/// a multiple of 8 up to 256, rows that begin at multiples of 16 bytes, fewer than 2^31 elements, and in the backward pass sequences whose
/// scores fit (sdpa_groups.h). Everything else takes our own kernels, as does a libcudnn that is not there or refuses a shape (one notice
/// each). Both keep lse as the natural logarithm, so that either's backward pass follows either's forward pass. Deterministic. The host
/// waits for nothing. Graphs are made once per shape, which is rounded up: empty sequences are added.
decltype(ops::attention) attention_of_choice;
decltype(ops::attention_backward) attention_backward_of_choice;

/// For all devices and threads, from the next call on. Throws Error(kUsage) for R1_CUDA_ATTENTION_CUDNN in a build without cuDNN; with it,
/// a call that cuDNN does not serve throws Error(kUsage) "attention: cuDNN does not serve …".
void choose_attention(R1CudaAttention choice);

/// The shape that a graph is made for.
struct SdpaShape {
  bool is_backward = false, with_lse = false;
  std::int64_t num_sequences = 0, longest_sequence = 0;  // at most
  std::int64_t num_attention_heads = 0, num_key_value_heads = 0, head_dim = 0;
  float scale = 0;
  std::int64_t q_stride = 0, k_stride = 0, v_stride = 0, out_stride = 0;                      // elements from token to token
  std::int64_t grad_out_stride = 0, grad_q_stride = 0, grad_k_stride = 0, grad_v_stride = 0;  // backward only
  auto operator<=>(const SdpaShape&) const = default;
};

}  // namespace r1::ops::cuda
