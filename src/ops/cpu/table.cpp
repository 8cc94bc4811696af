#include "ops/cpu/kernels.h"

namespace r1::ops::R1_CPU_NAMESPACE {

const OpTable& table() {
  static const OpTable entries{
      .linear = R1_CPU_NAMESPACE::linear,
      .linear_int8 = R1_CPU_NAMESPACE::linear_int8,
      .linear_fp8 = R1_CPU_NAMESPACE::linear_fp8,
      .linear_backward_input = R1_CPU_NAMESPACE::linear_backward_input,
      .linear_backward_weight = R1_CPU_NAMESPACE::linear_backward_weight,
      .rms_norm = R1_CPU_NAMESPACE::rms_norm,
      .add_rms_norm = R1_CPU_NAMESPACE::add_rms_norm,
      .rms_norm_backward = R1_CPU_NAMESPACE::rms_norm_backward,
      .rope = R1_CPU_NAMESPACE::rope,
      .attention = R1_CPU_NAMESPACE::attention,
      .attention_backward = R1_CPU_NAMESPACE::attention_backward,
      .write_kv_cache = R1_CPU_NAMESPACE::write_kv_cache,
      .paged_attention = R1_CPU_NAMESPACE::paged_attention,
      .swiglu = R1_CPU_NAMESPACE::swiglu,
      .swiglu_backward = R1_CPU_NAMESPACE::swiglu_backward,
      .embedding = R1_CPU_NAMESPACE::embedding,
      .embedding_backward = R1_CPU_NAMESPACE::embedding_backward,
      .linear_cross_entropy = R1_CPU_NAMESPACE::linear_cross_entropy,
      .selected_log_probs = R1_CPU_NAMESPACE::selected_log_probs,
      .selected_log_probs_backward = R1_CPU_NAMESPACE::selected_log_probs_backward,
      .log_probs_of_logits = R1_CPU_NAMESPACE::log_probs_of_logits,
      .fill = R1_CPU_NAMESPACE::fill,
      .add = R1_CPU_NAMESPACE::add,
      .scale = R1_CPU_NAMESPACE::scale,
      .copy = R1_CPU_NAMESPACE::copy,
      .cast = R1_CPU_NAMESPACE::cast,
      .sum_squares_blocks = R1_CPU_NAMESPACE::sum_squares_blocks,
      .sum_blocks = R1_CPU_NAMESPACE::sum_blocks,
      .adamw = R1_CPU_NAMESPACE::adamw,
      .sample = R1_CPU_NAMESPACE::sample,
      .sampling_probabilities = R1_CPU_NAMESPACE::sampling_probabilities,
  };
  return entries;
}

}  // namespace r1::ops::R1_CPU_NAMESPACE
