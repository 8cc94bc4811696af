#include "ops/cuda/table.h"

#include "ops/cuda/attention_cudnn.h"
#include "ops/cuda/kernels.h"

namespace r1::ops {

const OpTable& cuda_backend_table() {
  static const OpTable entries{
      .linear = cuda::linear,
      .linear_int8 = cuda::linear_int8,
      .linear_fp8 = cuda::linear_fp8,
      .linear_swiglu = cuda::linear_swiglu,
      .linear_backward_input = cuda::linear_backward_input,
      .linear_backward_weight = cuda::linear_backward_weight,
      .rms_norm = cuda::rms_norm,
      .add_rms_norm = cuda::add_rms_norm,
      .rms_norm_backward = cuda::rms_norm_backward,
      .rope = cuda::rope,
      .attention = cuda::attention_of_choice,
      .attention_backward = cuda::attention_backward_of_choice,
      .write_kv_cache = cuda::write_kv_cache,
      .paged_attention = cuda::paged_attention,
      .swiglu = cuda::swiglu,
      .swiglu_backward = cuda::swiglu_backward,
      .embedding = cuda::embedding,
      .embedding_backward = cuda::embedding_backward,
      .linear_cross_entropy = cuda::linear_cross_entropy,
      .selected_log_probs = cuda::selected_log_probs,
      .selected_log_probs_backward = cuda::selected_log_probs_backward,
      .log_probs_of_logits = cuda::log_probs_of_logits,
      .fill = cuda::fill,
      .add = cuda::add,
      .scale = cuda::scale,
      .copy = cuda::copy,
      .cast = cuda::cast,
      .sum_squares_blocks = cuda::sum_squares_blocks,
      .sum_blocks = cuda::sum_blocks,
      .adamw = cuda::adamw,
      .sample = cuda::sample,
      .sampling_probabilities = cuda::sampling_probabilities,
  };
  return entries;
}

// Ops call each other through here (the losses call linear): inside the module there is one backend.
const OpTable& op_table(const ExecContext&) { return cuda_backend_table(); }

}  // namespace r1::ops
