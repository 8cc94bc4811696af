#include "ops/norm.h"

#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/op_scope.h"

namespace r1::ops {
namespace {

void check_forward(const ExecContext& ctx, const char* op, const Tensor& x, const Tensor& weight, const Tensor& out, const Tensor* rstd) {
  require_activation(ctx, op, "x", x);
  require_rank(op, "x", x, 2);
  require_float_like(op, "weight", weight, x);
  require_shape(op, "weight", weight, Shape{x.dim(1)});
  require_float_like(op, "out", out, x);
  require_shape(op, "out", out, x.shape());
  if (rstd == nullptr) return;
  require_full_precision(op, "rstd", *rstd, x);
  require_shape(op, "rstd", *rstd, Shape{x.dim(0)});
}

}  // namespace

void rms_norm(const ExecContext& ctx, const Tensor& x, const Tensor& weight, float eps, Tensor& out, Tensor* rstd) {
  check_forward(ctx, "rms_norm", x, weight, out, rstd);
  OpScope scope(ctx, "rms_norm");
  op_table(ctx).rms_norm(ctx, x, weight, eps, out, rstd);
}

void add_rms_norm(const ExecContext& ctx, const Tensor& x, const Tensor& residual, const Tensor& weight, float eps, Tensor& sum,
                  Tensor& out, Tensor* rstd) {
  check_forward(ctx, "add_rms_norm", x, weight, out, rstd);
  for (const auto& [name, tensor] : {std::pair{"residual", &residual}, std::pair<const char*, const Tensor*>{"sum", &sum}}) {
    require_float_like("add_rms_norm", name, *tensor, x);
    require_shape("add_rms_norm", name, *tensor, x.shape());
  }
  OpScope scope(ctx, "add_rms_norm");
  op_table(ctx).add_rms_norm(ctx, x, residual, weight, eps, sum, out, rstd);
}

void rms_norm_backward(const ExecContext& ctx, const Tensor& grad_out, const Tensor& x, const Tensor& weight, const Tensor& rstd,
                       Tensor& grad_x, Accumulate accumulate, Tensor& grad_weight, Accumulate accumulate_weight) {
  const char* op = "rms_norm_backward";
  check_forward(ctx, op, x, weight, grad_x, &rstd);
  require_float_like(op, "grad_out", grad_out, x);
  require_shape(op, "grad_out", grad_out, x.shape());
  require_full_precision(op, "grad_weight", grad_weight, x);
  require_shape(op, "grad_weight", grad_weight, weight.shape());
  OpScope scope(ctx, op);
  op_table(ctx).rms_norm_backward(ctx, grad_out, x, weight, rstd, grad_x, accumulate, grad_weight, accumulate_weight);
}

}  // namespace r1::ops
