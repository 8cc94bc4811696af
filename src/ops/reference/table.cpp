#include "ops/reference/kernels.h"

namespace r1::ops {

const OpTable& reference_table() {
  static const OpTable entries{
      .linear = reference::linear,
      .linear_int8 = reference::linear_int8,
      .linear_fp8 = reference::linear_fp8,
      .linear_backward_input = reference::linear_backward_input,
      .linear_backward_weight = reference::linear_backward_weight,
      .rms_norm = reference::rms_norm,
      .add_rms_norm = reference::add_rms_norm,
      .rms_norm_backward = reference::rms_norm_backward,
      .rope = reference::rope,
      .attention = reference::attention,
      .attention_backward = reference::attention_backward,
      .write_kv_cache = reference::write_kv_cache,
      .paged_attention = reference::paged_attention,
      .swiglu = reference::swiglu,
      .swiglu_backward = reference::swiglu_backward,
      .embedding = reference::embedding,
      .embedding_backward = reference::embedding_backward,
      .linear_cross_entropy = reference::linear_cross_entropy,
      .selected_log_probs = reference::selected_log_probs,
      .selected_log_probs_backward = reference::selected_log_probs_backward,
      .log_probs_of_logits = reference::log_probs_of_logits,
      .fill = reference::fill,
      .add = reference::add,
      .scale = reference::scale,
      .copy = reference::copy,
      .cast = reference::cast,
      .sum_squares_blocks = reference::sum_squares_blocks,
      .sum_blocks = reference::sum_blocks,
      .adamw = reference::adamw,
      .sample = reference::sample,
      .sampling_probabilities = reference::sampling_probabilities,
  };
  return entries;
}

}  // namespace r1::ops
