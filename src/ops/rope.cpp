#include "ops/rope.h"

#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/op_scope.h"

namespace r1::ops {

void rope(const ExecContext& ctx, Tensor& x, const Tensor& position_ids, const Tensor& cos, const Tensor& sin, int num_heads, int head_dim,
          RopeStyle style, RopeDirection direction) {
  require_activation(ctx, "rope", "x", x);
  require_rank("rope", "x", x, 2);
  require_dtype("rope", "position_ids", position_ids, DType::kI32);
  require_shape("rope", "position_ids", position_ids, Shape{x.dim(0)});
  require_full_precision("rope", "cos", cos, x);
  require_rank("rope", "cos", cos, 2);
  require_contiguous("rope", "cos", cos);
  require_full_precision("rope", "sin", sin, x);
  require_shape("rope", "sin", sin, cos.shape());
  require_contiguous("rope", "sin", sin);
  if (x.dim(1) < std::int64_t{num_heads} * head_dim) {
    fail(ErrorKind::kShape, "rope: x must have at least {} columns ({} heads × head_dim {}), found {}", std::int64_t{num_heads} * head_dim,
         num_heads, head_dim, x.shape().to_string());
  }
  if (2 * cos.dim(1) > head_dim) {
    fail(ErrorKind::kShape, "rope: cos has {} angles, rotary_dim {} is over head_dim {}", cos.dim(1), 2 * cos.dim(1), head_dim);
  }
  OpScope scope(ctx, "rope");
  op_table(ctx).rope(ctx, x, position_ids, cos, sin, num_heads, head_dim, style, direction);
}

}  // namespace r1::ops
