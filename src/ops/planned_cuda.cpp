#include "ops/planned_cuda.h"

#include <algorithm>

#include "ops/cuda/paged_splits.h"
#include "ops/cuda/sdpa_groups.h"
#include "ops/cuda_logits.h"

namespace r1::ops {
namespace planned {  // the ops' own names

// As ops/cuda has them.
constexpr std::int64_t kBlasWorkspaceBytes = std::int64_t{32} << 20;
constexpr std::int64_t kBiasRows = 512, kNormRows = 32;

static std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// A matrix product's workspace and the factor that is converted first.
static void multiply(const ExecContext& ctx, const Tensor& x, const Tensor& other) {
  Tensor converted;
  if (x.dtype() != other.dtype()) converted = ctx.empty(x.shape(), other.dtype());
  const Tensor workspace = ctx.empty({kBlasWorkspaceBytes}, DType::kU8);
}

static void linear(const ExecContext& ctx, const Tensor& x, const Tensor& weight, const Tensor* bias, Tensor& out) {
  Tensor added;
  if (bias != nullptr && bias->dtype() != out.dtype()) added = ctx.empty(bias->shape(), out.dtype());
  multiply(ctx, x, weight);
}

/// Where every row has its scale inside of the product; other devices keep the sums in f32, too.
static void linear_fp8(const ExecContext& ctx, const Tensor& x, const Tensor&, const Tensor&, const Tensor*, Tensor& out) {
  const Tensor rounded = ctx.empty(x.shape(), DType::kF8E4M3), x_scales = ctx.empty({x.dim(0)});
  Tensor sums;
  if (out.dtype() != DType::kBF16) sums = ctx.empty(out.shape());
  multiply(ctx, rounded, rounded);
}

static void linear_backward_input(const ExecContext& ctx, const Tensor& grad_out, const Tensor& weight, Tensor&, Accumulate) {
  multiply(ctx, grad_out, weight);
}

static void linear_backward_weight(const ExecContext& ctx, const Tensor& grad_out, const Tensor& x, Tensor&, Tensor* grad_bias,
                                   Accumulate) {
  multiply(ctx, grad_out, x);
  if (grad_bias != nullptr) const Tensor parts = ctx.empty({ceil_div(grad_out.dim(0), kBiasRows), grad_out.dim(1)});
}

static void rms_norm_backward(const ExecContext& ctx, const Tensor&, const Tensor& x, const Tensor&, const Tensor&, Tensor&, Accumulate,
                              Tensor&, Accumulate) {
  const Tensor parts = ctx.empty({ceil_div(x.dim(0), kNormRows), x.dim(1)});
}

// cuDNN's deterministic pass keeps scores; our own kernels, which take its place elsewhere, keep one number per token and head.
static void attention_backward(const ExecContext& ctx, const Tensor&, const Tensor& q, const Tensor&, const Tensor&, const Tensor&,
                               const Tensor&, const Tensor& cu_seqlens, const AttentionHeads& heads, Tensor&, Tensor&, Tensor&) {
  const std::int64_t longest = heads.longest_sequence > 0 ? heads.longest_sequence : q.dim(0);
  const cuda::SdpaGroups groups = cuda::sdpa_groups(cu_seqlens.dim(0) - 1, longest, heads.num_attention_heads, /*is_backward=*/true);
  Tensor scores;
  if (q.dtype() == DType::kBF16 && groups.score_bytes <= cuda::kSdpaLargestBytes) scores = ctx.empty({groups.score_bytes}, DType::kU8);
  const Tensor deltas = ctx.empty({q.dim(0), heads.num_attention_heads});
}

static void paged_attention(const ExecContext& ctx, const Tensor& q, const Tensor& key_cache, const Tensor&, const Tensor&, const Tensor&,
                            const Tensor& block_tables, const AttentionHeads& heads, Tensor&) {
  const int num_splits = kernels::most_splits(static_cast<int>(block_tables.dim(1) * key_cache.dim(3)));
  if (num_splits <= 1) return;
  const std::int64_t tokens =
      std::min<std::int64_t>(q.dim(0), kernels::tokens_per_launch(heads.num_attention_heads, num_splits, heads.head_dim));
  const Tensor partial_out = ctx.empty({tokens, heads.num_attention_heads, num_splits, heads.head_dim});
  const Tensor partial_stats = ctx.empty({tokens, heads.num_attention_heads, num_splits, 2});
}

/// One chunk of logits and what is made of it.
static void head_chunk(const ExecContext& ctx, const Tensor& hidden, const Tensor& weight, std::size_t workspace_bytes, bool has_results,
                       bool has_gradients) {
  const std::int64_t V = weight.dim(0), rows = cuda_rows_of_logits(hidden.dim(0), V, workspace_bytes);
  const Tensor logits = ctx.empty({rows, V});
  Tensor states, lse;
  if (has_results) {
    states = ctx.empty({rows, 4}, DType::kF64);
    if (has_gradients) lse = ctx.empty({rows});
  }
  multiply(ctx, hidden, weight);
  if (!has_gradients) return;
  Tensor grad_logits;
  const bool is_rounded = hidden.dtype() != DType::kF32;
  if (is_rounded) grad_logits = ctx.empty({rows, V}, hidden.dtype());
  multiply(ctx, is_rounded ? grad_logits : logits, hidden);
}

static void linear_cross_entropy(const ExecContext& ctx, const Tensor& hidden, const Tensor& weight, const Tensor&, Tensor&, Tensor&,
                                 const std::optional<CrossEntropyGradients>& gradients, std::size_t workspace_bytes) {
  head_chunk(ctx, hidden, weight, workspace_bytes, true, gradients.has_value());
}

static void selected_log_probs(const ExecContext& ctx, const Tensor& hidden, const Tensor& weight, const Tensor&, float, Tensor&, Tensor*,
                               Tensor*, std::size_t workspace_bytes) {
  head_chunk(ctx, hidden, weight, workspace_bytes, true, false);
}

static void selected_log_probs_backward(const ExecContext& ctx, const Tensor&, const Tensor& hidden, const Tensor& weight, const Tensor&,
                                        float, const Tensor&, Tensor&, Tensor&, Accumulate, std::size_t workspace_bytes) {
  head_chunk(ctx, hidden, weight, workspace_bytes, false, true);
}

static void log_probs_of_logits(const ExecContext& ctx, const Tensor& logits, const Tensor&, float, Tensor&, Tensor*) {
  const Tensor states = ctx.empty({logits.dim(0), 4}, DType::kF64);
}

static void sample(const ExecContext& ctx, const Tensor& logits, std::span<const SamplingSettings>, const Tensor&, const Tensor&,
                   const Tensor&, Tensor&, Tensor* log_probs) {
  const std::int64_t rows = logits.dim(0);
  {
    const Tensor settings = ctx.empty({rows, 5}, DType::kI32);
    const Tensor scores = ctx.empty({rows, logits.dim(1)}), seen = ctx.empty({rows, ceil_div(logits.dim(1), 32)}, DType::kI32);
  }
  if (log_probs != nullptr) const Tensor temperatures = ctx.empty({rows}), states = ctx.empty({rows, 4}, DType::kF64);
}

static void sampling_probabilities(const ExecContext& ctx, const Tensor& logits, std::span<const SamplingSettings>, const Tensor&,
                                   const Tensor&, Tensor&) {
  const Tensor scores = ctx.empty(logits.shape());
}

}  // namespace planned

const OpTable& planned_cuda_table() {
  static const OpTable table{
      .linear = planned::linear,
      .linear_int8 = [](const ExecContext& ctx, const Tensor& x, const Tensor&, const Tensor&, const Tensor*,
                        Tensor&) { planned::multiply(ctx, x, x); },
      .linear_fp8 = planned::linear_fp8,
      .linear_backward_input = planned::linear_backward_input,
      .linear_backward_weight = planned::linear_backward_weight,
      .rms_norm = [](const ExecContext&, const Tensor&, const Tensor&, float, Tensor&, Tensor*) {},
      .add_rms_norm = [](const ExecContext&, const Tensor&, const Tensor&, const Tensor&, float, Tensor&, Tensor&, Tensor*) {},
      .rms_norm_backward = planned::rms_norm_backward,
      .rope = [](const ExecContext&, Tensor&, const Tensor&, const Tensor&, const Tensor&, int, int, RopeStyle, RopeDirection) {},
      .attention = [](const ExecContext&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const AttentionHeads&, Tensor&,
                      Tensor*) {},
      .attention_backward = planned::attention_backward,
      .write_kv_cache = [](const ExecContext&, const Tensor&, const Tensor&, const Tensor&, const AttentionHeads&, Tensor&, Tensor&) {},
      .paged_attention = planned::paged_attention,
      .swiglu = [](const ExecContext&, const Tensor&, Tensor&) {},
      .swiglu_backward = [](const ExecContext&, const Tensor&, const Tensor&, Tensor&) {},
      .embedding = [](const ExecContext&, const Tensor&, const Tensor&, Tensor&) {},
      .embedding_backward = [](const ExecContext&, const Tensor&, const Tensor&, Tensor&, Accumulate) {},
      .linear_cross_entropy = planned::linear_cross_entropy,
      .selected_log_probs = planned::selected_log_probs,
      .selected_log_probs_backward = planned::selected_log_probs_backward,
      .log_probs_of_logits = planned::log_probs_of_logits,
      .fill = [](const ExecContext&, Tensor&, float) {},
      .add = [](const ExecContext&, const Tensor&, const Tensor&, Tensor&) {},
      .scale = [](const ExecContext&, Tensor&, float) {},
      .copy = [](const ExecContext&, const Tensor&, Tensor&) {},
      .cast = [](const ExecContext&, const Tensor&, Tensor&) {},
      .sum_squares_blocks = [](const ExecContext&, const Tensor&, Tensor&) {},
      .sum_blocks = [](const ExecContext&, const Tensor&, Tensor&) {},
      .adamw = [](const ExecContext&, Tensor&, const Tensor&, Tensor&, Tensor&, const AdamWStep&, Tensor*) {},
      .sample = planned::sample,
      .sampling_probabilities = planned::sampling_probabilities,
  };
  return table;
}

}  // namespace r1::ops
