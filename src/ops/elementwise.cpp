#include "ops/elementwise.h"

#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/op_scope.h"

namespace r1::ops {

void fill(const ExecContext& ctx, Tensor& x, float value) {
  if (value != 0) require_float(ctx, "fill", "x (for a value other than 0)", x);
  OpScope scope(ctx, "fill");
  op_table(ctx).fill(ctx, x, value);
}

void add(const ExecContext& ctx, const Tensor& a, const Tensor& b, Tensor& out) {
  require_activation(ctx, "add", "a", a);
  for (const auto& [name, tensor] : {std::pair<const char*, const Tensor*>{"b", &b}, {"out", &out}}) {
    require_float_like("add", name, *tensor, a);
    require_shape("add", name, *tensor, a.shape());
  }
  OpScope scope(ctx, "add");
  op_table(ctx).add(ctx, a, b, out);
}

void scale(const ExecContext& ctx, Tensor& x, float factor) {
  require_float(ctx, "scale", "x", x);
  OpScope scope(ctx, "scale");
  op_table(ctx).scale(ctx, x, factor);
}

void copy(const ExecContext& ctx, const Tensor& x, Tensor& out) {
  require_dtype("copy", "out", out, x.dtype());
  require_shape("copy", "out", out, x.shape());
  OpScope scope(ctx, "copy");
  op_table(ctx).copy(ctx, x, out);
}

}  // namespace r1::ops
