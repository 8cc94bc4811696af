#include "ops/embedding.h"

#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/op_scope.h"

namespace r1::ops {

void embedding(const ExecContext& ctx, const Tensor& ids, const Tensor& weight, Tensor& out) {
  const char* op = "embedding";
  require_dtype(op, "ids", ids, DType::kI32);
  require_rank(op, "ids", ids, 1);
  require_activation(ctx, op, "out", out);
  require_rank(op, "weight", weight, 2);
  require_contiguous(op, "weight", weight);
  if (weight.dtype() != DType::kBF16) require_float_like(op, "weight", weight, out);
  require_shape(op, "out", out, Shape{ids.dim(0), weight.dim(1)});
  OpScope scope(ctx, op);
  op_table(ctx).embedding(ctx, ids, weight, out);
}

void embedding_backward(const ExecContext& ctx, const Tensor& ids, const Tensor& grad_out, Tensor& grad_weight, Accumulate accumulate) {
  const char* op = "embedding_backward";
  require_dtype(op, "ids", ids, DType::kI32);
  require_rank(op, "ids", ids, 1);
  require_activation(ctx, op, "grad_out", grad_out);
  require_full_precision(op, "grad_weight", grad_weight, grad_out);
  require_rank(op, "grad_weight", grad_weight, 2);
  require_contiguous(op, "grad_weight", grad_weight);
  require_shape(op, "grad_out", grad_out, Shape{ids.dim(0), grad_weight.dim(1)});
  OpScope scope(ctx, op);
  op_table(ctx).embedding_backward(ctx, ids, grad_out, grad_weight, accumulate);
}

}  // namespace r1::ops
