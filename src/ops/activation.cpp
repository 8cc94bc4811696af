#include "ops/activation.h"

#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/op_scope.h"

namespace r1::ops {
namespace {

void check_swiglu(const ExecContext& ctx, const char* op, const Tensor& gate_up, const char* out_name, const Tensor& out) {
  require_activation(ctx, op, "gate_up", gate_up);
  require_rank(op, "gate_up", gate_up, 2);
  if (gate_up.dim(1) % 2 != 0) {
    fail(ErrorKind::kShape, "{}: gate_up must have 2 * intermediate_size columns, found {}", op, gate_up.shape().to_string());
  }
  require_float_like(op, out_name, out, gate_up);
  require_shape(op, out_name, out, Shape{gate_up.dim(0), gate_up.dim(1) / 2});
}

}  // namespace

void swiglu(const ExecContext& ctx, const Tensor& gate_up, Tensor& out) {
  check_swiglu(ctx, "swiglu", gate_up, "out", out);
  OpScope scope(ctx, "swiglu");
  op_table(ctx).swiglu(ctx, gate_up, out);
}

void swiglu_backward(const ExecContext& ctx, const Tensor& grad_out, const Tensor& gate_up, Tensor& grad_gate_up) {
  check_swiglu(ctx, "swiglu_backward", gate_up, "grad_out", grad_out);
  require_float_like("swiglu_backward", "grad_gate_up", grad_gate_up, gate_up);
  require_shape("swiglu_backward", "grad_gate_up", grad_gate_up, gate_up.shape());
  OpScope scope(ctx, "swiglu_backward");
  op_table(ctx).swiglu_backward(ctx, grad_out, gate_up, grad_gate_up);
}

}  // namespace r1::ops
