#include "ops/linear.h"

#include "ops/activation.h"
#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/op_scope.h"

namespace r1::ops {

namespace {

/// x [T, K], weight [N, K], bias [N], out [T, N].
void require_product(const char* op, const Tensor& x, const Tensor& weight, const Tensor* bias, const Tensor& out) {
  require_rank(op, "x", x, 2);
  require_rank(op, "weight", weight, 2);
  require_shape(op, "weight", weight, Shape{weight.dim(0), x.dim(1)});
  require_contiguous(op, "weight", weight);
  if (bias != nullptr) {
    if (bias->dtype() != x.dtype()) require_full_precision(op, "bias", *bias, x);
    require_shape(op, "bias", *bias, Shape{weight.dim(0)});
  }
  if (out.dtype() != x.dtype()) require_full_precision(op, "out", out, x);
  require_shape(op, "out", out, Shape{x.dim(0), weight.dim(0)});
}

}  // namespace

void linear(const ExecContext& ctx, const Tensor& x, const Tensor& weight, const Tensor* bias, Tensor& out) {
  const char* op = "linear";
  require_activation(ctx, op, "x", x);
  if (weight.dtype() != DType::kBF16) require_float_like(op, "weight", weight, x);
  require_product(op, x, weight, bias, out);
  OpScope scope(ctx, op);
  op_table(ctx).linear(ctx, x, weight, bias, out);
}

void linear_swiglu(const ExecContext& ctx, const Tensor& x, const Tensor& weight, Tensor& out) {
  const char* op = "linear_swiglu";
  require_rank(op, "x", x, 2);
  require_rank(op, "weight", weight, 2);
  if (weight.dim(0) % 2 != 0)
    fail(ErrorKind::kShape, "{}: weight must have 2 * intermediate_size rows, found {}", op, weight.shape().to_string());
  if (op_table(ctx).linear_swiglu == nullptr) {
    Tensor gate_up = ctx.empty({x.dim(0), weight.dim(0)}, x.dtype());
    linear(ctx, x, weight, nullptr, gate_up);
    return swiglu(ctx, gate_up, out);
  }
  require_activation(ctx, op, "x", x);
  if (weight.dtype() != DType::kBF16) require_float_like(op, "weight", weight, x);
  require_shape(op, "weight", weight, Shape{weight.dim(0), x.dim(1)});
  require_contiguous(op, "weight", weight);
  require_float_like(op, "out", out, x);
  require_shape(op, "out", out, Shape{x.dim(0), weight.dim(0) / 2});
  OpScope scope(ctx, op);
  op_table(ctx).linear_swiglu(ctx, x, weight, out);
}

void linear_int8(const ExecContext& ctx, const Tensor& x, const Tensor& weight, const Tensor& scales, const Tensor* bias, Tensor& out) {
  const char* op = "linear_int8";
  require_float(ctx, op, "x", x);
  require_dtype(op, "weight", weight, DType::kI8);
  require_product(op, x, weight, bias, out);
  if (bias != nullptr) require_float_like(op, "bias", *bias, x);
  require_float_like(op, "out", out, x);
  require_float_like(op, "scales", scales, x);
  require_shape(op, "scales", scales, Shape{weight.dim(0)});
  OpScope scope(ctx, op);
  op_table(ctx).linear_int8(ctx, x, weight, scales, bias, out);
}

void linear_fp8(const ExecContext& ctx, const Tensor& x, const Tensor& weight, const Tensor& scales, const Tensor* bias, Tensor& out) {
  const char* op = "linear_fp8";
  require_activation(ctx, op, "x", x);
  require_dtype(op, "weight", weight, DType::kF8E4M3);
  require_product(op, x, weight, bias, out);
  require_full_precision(op, "scales", scales, x);
  require_shape(op, "scales", scales, Shape{weight.dim(0)});
  OpScope scope(ctx, op);
  op_table(ctx).linear_fp8(ctx, x, weight, scales, bias, out);
}

void linear_backward_input(const ExecContext& ctx, const Tensor& grad_out, const Tensor& weight, Tensor& grad_x, Accumulate accumulate) {
  const char* op = "linear_backward_input";
  require_activation(ctx, op, "grad_out", grad_out);
  require_rank(op, "grad_out", grad_out, 2);
  require_float_like(op, "weight", weight, grad_out);
  require_rank(op, "weight", weight, 2);
  require_shape(op, "weight", weight, Shape{grad_out.dim(1), weight.dim(1)});
  require_contiguous(op, "weight", weight);
  if (grad_x.dtype() != grad_out.dtype()) require_full_precision(op, "grad_x", grad_x, grad_out);
  require_shape(op, "grad_x", grad_x, Shape{grad_out.dim(0), weight.dim(1)});
  OpScope scope(ctx, op);
  op_table(ctx).linear_backward_input(ctx, grad_out, weight, grad_x, accumulate);
}

void linear_backward_weight(const ExecContext& ctx, const Tensor& grad_out, const Tensor& x, Tensor& grad_weight, Tensor* grad_bias,
                            Accumulate accumulate) {
  const char* op = "linear_backward_weight";
  require_activation(ctx, op, "grad_out", grad_out);
  require_rank(op, "grad_out", grad_out, 2);
  require_float_like(op, "x", x, grad_out);
  require_rank(op, "x", x, 2);
  require_shape(op, "x", x, Shape{grad_out.dim(0), x.dim(1)});
  require_full_precision(op, "grad_weight", grad_weight, grad_out);
  require_shape(op, "grad_weight", grad_weight, Shape{grad_out.dim(1), x.dim(1)});
  require_contiguous(op, "grad_weight", grad_weight);
  if (grad_bias != nullptr) {
    require_full_precision(op, "grad_bias", *grad_bias, grad_out);
    require_shape(op, "grad_bias", *grad_bias, Shape{grad_out.dim(1)});
  }
  OpScope scope(ctx, op);
  op_table(ctx).linear_backward_weight(ctx, grad_out, x, grad_weight, grad_bias, accumulate);
}

}  // namespace r1::ops
