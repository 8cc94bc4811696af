#include "ops/loss.h"

#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/op_scope.h"

namespace r1::ops {
namespace {

void require_per_row(const char* op, const char* argument, const Tensor& tensor, const Tensor& rows) {
  require_full_precision(op, argument, tensor, rows);
  require_shape(op, argument, tensor, Shape{rows.dim(0)});
}

void check_head(const ExecContext& ctx, const char* op, const Tensor& hidden, const Tensor& weight, const char* ids_name, const Tensor& ids,
                bool takes_bf16_weight = false) {
  require_activation(ctx, op, "hidden", hidden);
  require_rank(op, "hidden", hidden, 2);
  if (!takes_bf16_weight || weight.dtype() != DType::kBF16) require_float_like(op, "weight", weight, hidden);
  require_rank(op, "weight", weight, 2);
  require_shape(op, "weight", weight, Shape{weight.dim(0), hidden.dim(1)});
  require_contiguous(op, "weight", weight);
  require_dtype(op, ids_name, ids, DType::kI32);
  require_shape(op, ids_name, ids, Shape{hidden.dim(0)});
}

void require_temperature(const char* op, float temperature) {
  if (!(temperature > 0)) fail(ErrorKind::kUsage, "{}: temperature must be positive, found {}", op, temperature);
}

}  // namespace

void linear_cross_entropy(const ExecContext& ctx, const Tensor& hidden, const Tensor& weight, const Tensor& labels, Tensor& token_loss,
                          Tensor& is_correct, const std::optional<CrossEntropyGradients>& gradients, std::size_t workspace_bytes) {
  const char* op = "linear_cross_entropy";
  check_head(ctx, op, hidden, weight, "labels", labels);
  require_per_row(op, "token_loss", token_loss, hidden);
  require_per_row(op, "is_correct", is_correct, hidden);
  if (gradients) {
    R1_ASSERT(gradients->hidden != nullptr && gradients->weight != nullptr, "linear_cross_entropy: both gradients are computed together");
    require_float_like(op, "gradients.hidden", *gradients->hidden, hidden);
    require_shape(op, "gradients.hidden", *gradients->hidden, hidden.shape());
    require_full_precision(op, "gradients.weight", *gradients->weight, hidden);
    require_shape(op, "gradients.weight", *gradients->weight, weight.shape());
    require_contiguous(op, "gradients.weight", *gradients->weight);
  }
  OpScope scope(ctx, op);
  op_table(ctx).linear_cross_entropy(ctx, hidden, weight, labels, token_loss, is_correct, gradients, workspace_bytes);
}

void selected_log_probs(const ExecContext& ctx, const Tensor& hidden, const Tensor& weight, const Tensor& ids, float temperature,
                        Tensor& log_probs, Tensor* entropy, Tensor* lse, std::size_t workspace_bytes) {
  const char* op = "selected_log_probs";
  check_head(ctx, op, hidden, weight, "ids", ids, /*takes_bf16_weight=*/true);
  require_temperature(op, temperature);
  require_per_row(op, "log_probs", log_probs, hidden);
  if (entropy != nullptr) require_per_row(op, "entropy", *entropy, hidden);
  if (lse != nullptr) require_per_row(op, "lse", *lse, hidden);
  OpScope scope(ctx, op);
  op_table(ctx).selected_log_probs(ctx, hidden, weight, ids, temperature, log_probs, entropy, lse, workspace_bytes);
}

void selected_log_probs_backward(const ExecContext& ctx, const Tensor& grad_log_probs, const Tensor& hidden, const Tensor& weight,
                                 const Tensor& ids, float temperature, const Tensor& lse, Tensor& grad_hidden, Tensor& grad_weight,
                                 Accumulate accumulate_weight, std::size_t workspace_bytes) {
  const char* op = "selected_log_probs_backward";
  check_head(ctx, op, hidden, weight, "ids", ids);
  require_temperature(op, temperature);
  require_per_row(op, "grad_log_probs", grad_log_probs, hidden);
  require_per_row(op, "lse", lse, hidden);
  require_float_like(op, "grad_hidden", grad_hidden, hidden);
  require_shape(op, "grad_hidden", grad_hidden, hidden.shape());
  require_full_precision(op, "grad_weight", grad_weight, hidden);
  require_shape(op, "grad_weight", grad_weight, weight.shape());
  require_contiguous(op, "grad_weight", grad_weight);
  OpScope scope(ctx, op);
  op_table(ctx).selected_log_probs_backward(ctx, grad_log_probs, hidden, weight, ids, temperature, lse, grad_hidden, grad_weight,
                                            accumulate_weight, workspace_bytes);
}

void log_probs_of_logits(const ExecContext& ctx, const Tensor& logits, const Tensor& ids, float temperature, Tensor& log_probs,
                         Tensor* entropy) {
  const char* op = "log_probs_of_logits";
  require_float(ctx, op, "logits", logits);
  require_rank(op, "logits", logits, 2);
  require_dtype(op, "ids", ids, DType::kI32);
  require_shape(op, "ids", ids, Shape{logits.dim(0)});
  require_temperature(op, temperature);
  require_per_row(op, "log_probs", log_probs, logits);
  if (entropy != nullptr) require_per_row(op, "entropy", *entropy, logits);
  OpScope scope(ctx, op);
  op_table(ctx).log_probs_of_logits(ctx, logits, ids, temperature, log_probs, entropy);
}

}  // namespace r1::ops
